//! Whatever a profile or a trace holds: it is read or refused with a place, and what was read can be used.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use manager::condition;
use manager::profile::{Profile, check, read};
use manager::replay::{Options, replay, svg, table};
use sensors::trace::{Reader, Writer, parse_line};

fn profiles() -> Vec<Vec<u8>> {
    Profile::EMBEDDED.iter().map(|(_, text)| text.as_bytes().to_vec()).collect()
}

/// The beginnings of kept traces: mutations reach further in short ones.
fn traces() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let names = ["alternating", "idle", "network", "quota"];
    let mut seeds: Vec<Vec<u8>> = names
        .iter()
        .map(|name| {
            let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
            text.lines().take(80).flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
        })
        .collect();
    seeds.push(b"{\"trace\":\"snowbird\",\"version\":1}\n{\"t\":5,\"e\":\"external\",\"name\":\"gpu\",\"value\":0.5}\n{\"t\":6,\"e\":\"swap\"}\n{\"t\":7,\"e\":\"restart\",\"place\":\"desk\"}\n".to_vec());
    seeds
}

wandisk_fuzz::target!(a_profile_is_read_or_refused_with_a_place_in_it, 4000, profiles(), |bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    match read(&text) {
        Ok(profile) => {
            assert!(check(&profile).iter().all(|warning| warning.line >= 1));
            profile.to_string();
            assert!(profile.start < profile.states.len());
            assert!(profile.rules.iter().all(|rule| rule.to < profile.states.len()));
        }
        Err(manager::profile::ProfileError::At { line, column, .. }) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&line) && column >= 1, "line {line} of {lines}, column {column}");
        }
        Err(manager::profile::ProfileError::Whole(_)) => assert!(text.len() > 1000),
    }
});

wandisk_fuzz::target!(
    a_condition_is_read_or_refused_at_a_place_in_it,
    20_000,
    conditions(),
    |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        match condition::parse(&text, &["gpu".to_owned()]) {
            Ok(parsed) => {
                condition::satisfiable([&parsed]);
            }
            Err(error) => assert!(text.is_char_boundary(error.at), "{error:?}"),
        }
    }
);

fn conditions() -> Vec<Vec<u8>> {
    let all = [
        "inputs >= 15 and (fps < 20 or response > 80ms)",
        "not (cpu > 80% or net_in:home >= 2 MiB/s) and gpu < .5",
        "demand:there >= 80% and not net_wait > .5 or updates < 5",
    ];
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

wandisk_fuzz::target!(
    a_trace_is_read_or_refused_with_its_line_and_written_as_it_was_read,
    4000,
    traces(),
    |bytes: &[u8]| {
        for line in bytes.split(|byte| *byte == b'\n') {
            parse_line(line).ok();
        }
        let Ok(reader) = Reader::new(bytes) else { return };
        let header = reader.header().clone();
        let mut lines = Vec::new();
        for line in reader {
            match line {
                Ok(line) => lines.push(line),
                Err(error) => {
                    assert!(
                        error.line >= 2 && error.line <= bytes.split(|byte| *byte == b'\n').count(),
                        "{error}"
                    );
                    break;
                }
            }
        }
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        for line in &lines {
            writer.event(line.at, &line.event).unwrap();
        }
        let written = writer.finish().unwrap();
        let again: Vec<_> = Reader::new(written.as_slice()).unwrap().map(Result::unwrap).collect();
        assert_eq!(again, lines);
    }
);

wandisk_fuzz::target!(a_replay_of_any_trace_ends, 600, traces(), |bytes: &[u8]| {
    let profile = Profile::embedded("builtin").unwrap();
    if let Ok(replay) = replay(&profile, bytes, &Options::default()) {
        let picture = svg(&replay);
        assert!(!picture.contains("NaN"));
        assert!(!table(&replay).is_empty());
    }
});
