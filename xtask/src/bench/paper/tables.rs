//! The tables, in Markdown: Table 2, and what Fig. 6 and Fig. 7 draw.

use std::collections::BTreeSet;

use super::kept::{Moved, Row};

/// How long the crunch of the bar takes at the server, in seconds.
const LONG: f64 = 600.0;

/// Names of the jobs that were measured.
pub(super) fn jobs(rows: &[Row]) -> BTreeSet<&str> {
    rows.iter().map(|row| row.job.as_str()).collect()
}

/// A job in a mode; at this round trip, else at any.
pub(super) fn find<'a>(rows: &'a [Row], job: &str, mode: &str, rtt_ms: u64) -> Option<&'a Row> {
    let of = |row: &&Row| row.job == job && row.mode == mode;
    rows.iter().filter(of).find(|row| row.rtt_ms == rtt_ms).or_else(|| rows.iter().find(of))
}

/// Prints all of them.
pub(super) fn print(rows: &[Row]) {
    moves(rows);
    crunches(rows);
    sessions(rows);
}

fn snowbirds(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.mode == "snowbird")
}

fn moves(rows: &[Row]) {
    println!(
        "\n| job | round trip | to the server: detect | migrate | suspend | back: detect | migrate | suspend |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let told = |moved: Option<Moved>| {
        moved.map_or("- | - | -".to_owned(), |m| {
            format!("{:.1} | {:.1} | {:.1}", m.detect_s, m.migrate_s, m.suspend_s)
        })
    };
    for row in snowbirds(rows) {
        println!("| {} | {} ms | {} | {} |", row.job, row.rtt_ms, told(row.there), told(row.back));
    }
}

fn crunches(rows: &[Row]) {
    println!(
        "\n| job | round trip | desk only | server only | Snowbird | of server only | a crunch of 10 min there |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in snowbirds(rows) {
        let time = |mode| find(rows, &row.job, mode, row.rtt_ms).map(|row| row.crunch_s);
        let (desk, server) = (time("desk"), time("server"));
        let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |s| format!("{s:.1}"));
        let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |r| format!("{r:.2}"));
        let long = server.map(|server| long(row.crunch_s, server));
        println!(
            "| {} | {} ms | {} | {} | {:.1} | {} | {} |",
            row.job,
            row.rtt_ms,
            seconds(desk),
            seconds(server),
            row.crunch_s,
            ratio(server.map(|server| row.crunch_s / server)),
            ratio(long)
        );
    }
    for row in rows {
        println!("{}, {}, {} ms: {}", row.job, row.mode, row.rtt_ms, row.size);
    }
}

/// What detection and moving cost is the same for a long crunch: its ratio, computed from a short one's.
fn long(snowbird_s: f64, server_s: f64) -> f64 {
    (LONG + snowbird_s - server_s) / LONG
}

fn sessions(rows: &[Row]) {
    println!("\n| job | where | round trip | FPS, median | response, median | 95 of 100 |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for (row, seen) in rows.iter().filter_map(|row| Some((row, row.seen?))) {
        println!(
            "| {} | {} | {} ms | {:.1} | {:.0} ms | {:.0} ms |",
            row.job, row.mode, row.rtt_ms, seen.fps_median, seen.response_median_ms, seen.response_p95_ms
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_crunch_pays_what_a_short_one_pays() {
        assert!((long(90.0, 60.0) - 1.05).abs() < 1e-9);
    }
}
