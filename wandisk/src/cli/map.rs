//! The map of a disk for people: a letter a cell, 64 in a line.

use serde_json::Value;

use super::units::show_bytes;

const LINE: usize = 64;

/// The map in letters, and what they mean that occur.
pub(super) fn show(map: &Value) -> String {
    let list = |name: &str| -> Vec<u64> {
        map[name].as_array().into_iter().flatten().map(|number| number.as_u64().unwrap_or(0)).collect()
    };
    let [written, stale, absent, zero, alone] = ["written", "stale", "absent", "zero", "only_here"].map(list);
    let letters: Vec<char> = (0..written.len())
        .map(|cell| {
            let has = |list: &[u64]| list.get(cell).is_some_and(|number| *number > 0);
            match () {
                () if !has(&written) => '.',
                () if has(&absent) => 'a',
                () if has(&stale) => 's',
                () if has(&alone) => '!',
                () if zero.get(cell) == written.get(cell) => '0',
                () => 'h',
            }
        })
        .collect();
    let per = map["chunks_per_cell"].as_u64().unwrap_or(1);
    let bytes = map["chunk_size"].as_u64().unwrap_or(0).saturating_mul(per);
    let mut lines =
        vec![format!("{} a letter, at {}", show_bytes(bytes), map["site"].as_str().unwrap_or("-"))];
    lines.extend(letters.chunks(LINE).map(|line| line.iter().collect::<String>()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_letter_says_the_worst_of_its_cell() {
        let map = json!({
            "site": "a", "chunk_size": 131_072, "chunks_per_cell": 2,
            "written": [0, 2, 2, 2, 2, 2], "stale": [0, 1, 1, 0, 0, 0], "absent": [0, 1, 0, 0, 0, 0],
            "zero": [0, 0, 0, 0, 2, 1], "only_here": [0, 0, 0, 1, 0, 0],
        });
        assert_eq!(show(&map), "256.0 KiB a letter, at a\n.as!0h");
    }
}
