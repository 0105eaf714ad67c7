//! The table of how chunks came and went, in `status --json`: it is true at both ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::os::unix::fs::FileExt;

use framework::*;
use serde_json::Value;

/// Chunks of text, and of noise behind them.
const TEXT: u64 = 24;
const NOISE: u64 = 8;

fn text() -> Vec<u8> {
    let words = (0..).map(|n: u64| format!("{} words of chunk text, ", n * n % 9973));
    let bytes = words.flat_map(String::into_bytes);
    bytes.take(usize::try_from(TEXT * CHUNK).unwrap()).collect()
}

fn ways(site: &Site) -> Value {
    site.status("d")["fetch"]["ways"].clone()
}

fn sum(table: &Value, field: &str) -> u64 {
    table.as_object().unwrap().values().map(|form| number(&form[field])).sum()
}

#[test]
fn the_table_of_ways_says_what_was_chosen_and_what_it_came_to() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", (TEXT + NOISE) * CHUNK, (TEXT + NOISE) * CHUNK / MIB, 17);
    let file = std::fs::File::options().write(true).open(image.name()).unwrap();
    file.write_all_at(&text(), 0).unwrap();
    a.ok(["create", "d", "--from", image.name()]);
    // There and back, so that b has a replica; with a front-end each, so that keepers stay and go on counting.
    a.ok(["move", "d", "--to", "b"]);
    b.ok(["move", "d", "--to", "a"]);
    let _standby = b.attach_with("d", &["--standby"]);
    let export = a.attach("d");

    a.ok(["sync", "d", "--site", "b"]);
    let came = ways(&b)["came"].clone();
    assert_eq!((number(&came["stream"]["chunks"]), number(&came["raw"]["chunks"])), (TEXT, NOISE), "{came}");
    assert_eq!(number(&came["stream"]["bytes"]), TEXT * CHUNK);
    assert!(number(&came["stream"]["on_the_wire"]) < TEXT * CHUNK / 3, "{came}");
    assert_eq!(number(&came["raw"]["on_the_wire"]), NOISE * CHUNK);
    eventually("both ends say the same", SOON, || ways(&a)["went"] == came);
    assert_eq!(sum(&came, "on_the_wire"), number(&b.status("d")["fetch"]["bytes_in"]));
    assert!(ways(&a)["level"].is_i64(), "how hard the stream was packed");

    // A block of noise and one that is as before; both of chunks that b has an older version of.
    export.write(5, TEXT * CHUNK + 4096, 4096);
    export.python(&format!("h.pwrite(h.pread(4096, {0}), {0})", (TEXT + 3) * CHUNK));
    export.flush();
    a.ok(["sync", "d", "--site", "b"]);
    let came = ways(&b)["came"].clone();
    assert_eq!((number(&came["blocks"]["chunks"]), number(&came["same"]["chunks"])), (1, 1), "{came}");
    assert!(number(&came["blocks"]["on_the_wire"]) <= 4096 + 200, "{came}");
    assert_eq!(number(&came["same"]["on_the_wire"]), 0);
}
