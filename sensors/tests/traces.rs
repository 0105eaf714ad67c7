//! Traces: what is written is read again, and what is wrong is told with its line.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use sensors::trace::{Header, LINE_MAX, Line, Reader, Writer, parse_line};
use sensors::{Event, Input};

const HEADER: &str = "{\"trace\":\"snowbird\",\"version\":1}\n";

fn every_event() -> Vec<Event> {
    let name = |name: &str| name.to_owned();
    vec![
        Event::Input(Input::Key { down: true }),
        Event::Input(Input::Button { down: false }),
        Event::Input(Input::Wheel),
        Event::Input(Input::Motion),
        Event::Update { area: u64::MAX },
        Event::Swap,
        Event::Rtt(Duration::from_micros(66_100)),
        Event::Cpu { wall: Duration::from_secs(1), busy: vec![Duration::from_micros(5), Duration::ZERO] },
        Event::Host(0.25),
        Event::Net { anchor: name("data:set"), inward: 5, outward: 6, waited: Duration::ZERO },
        Event::Net { anchor: name("b"), inward: 7, outward: 8, waited: Duration::from_micros(9) },
        Event::External { name: name("gpu"), value: -1.5 },
        Event::Restart { place: None },
        Event::Restart { place: Some(name("desk")) },
    ]
}

#[test]
fn every_event_is_read_as_it_was_written() {
    let header = Header::new("by a test", Some("desk".to_owned()));
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    let events: Vec<_> = (0..).map(Duration::from_millis).zip(every_event()).collect();
    for (at, event) in &events {
        writer.event(*at, event).unwrap();
    }
    // Told late: at the time of the one before.
    writer.event(Duration::ZERO, &Event::Swap).unwrap();
    let bytes = writer.finish().unwrap();
    let reader = Reader::new(bytes.as_slice()).unwrap();
    assert_eq!(reader.header(), &header);
    let mut read: Vec<Line> = reader.map(Result::unwrap).collect();
    assert_eq!(read.pop().map(|line| line.at), events.last().map(|(at, _)| *at));
    assert_eq!(read.into_iter().map(|line| (line.at, line.event)).collect::<Vec<_>>(), events);
    let first = String::from_utf8(bytes).unwrap();
    assert_eq!(first.lines().nth(1), Some("{\"t\":0,\"e\":\"key\",\"down\":true}"));
}

#[test]
fn what_no_reader_would_take_is_not_written() {
    let mut writer = Writer::new(Vec::new(), &Header::new("", None)).unwrap();
    let name = "no name".to_owned();
    for event in [
        Event::Host(1.5),
        Event::External { name: "gpu".to_owned(), value: f64::NAN },
        Event::External { name, value: 1.0 },
        Event::Cpu { wall: Duration::ZERO, busy: vec![] },
    ] {
        assert!(writer.event(Duration::ZERO, &event).is_err(), "{event:?}");
    }
    assert!(writer.event(Duration::from_secs(31 * 86_400), &Event::Swap).is_err());
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let long = format!("{HEADER}{{\"t\":1,\"e\":\"swap\"{}}}\n", " ".repeat(LINE_MAX));
    for (text, expected) in [
        ("", "line 1: is no trace"),
        ("{}\n", "line 1: is no trace"),
        (
            "{\"trace\":\"snowbird\",\"version\":2}\n",
            "line 1: version 2 of traces is not known here (known: 1)",
        ),
        (&format!("{HEADER}{{\"t\":1,\"e\":\"swap\"}}\n\n"), "line 3: is no event"),
        (&format!("{HEADER}{{\"e\":\"swap\"}}\n"), "line 2: is no event: it has no time"),
        (&format!("{HEADER}{{\"t\":-1,\"e\":\"swap\"}}\n"), "line 2: is no event"),
        (&format!("{HEADER}{{\"t\":1,\"e\":\"swop\"}}\n"), "line 2: is no event: unknown variant `swop`"),
        (&format!("{HEADER}{{\"t\":1,\"e\":\"swap\",\"x\":1}}\n"), "line 2: is no event"),
        (&format!("{HEADER}{{\"t\":1,\"e\":\"host\",\"share\":2}}\n"), "a share is from 0 to 1, not 2"),
        (
            &format!("{HEADER}{{\"t\":2,\"e\":\"swap\"}}\n{{\"t\":1,\"e\":\"swap\"}}\n"),
            "line 3: goes back in time: 1 µs after 2 µs",
        ),
        (&format!("{HEADER}{{\"t\":9999999999999,\"e\":\"swap\"}}\n"), "beyond 30 days"),
        (&format!("{HEADER}{{\"t\":1,\"e\":\"swap\"}}"), "line 2: is cut off"),
        (&long, "line 2: longer than 16384 bytes"),
    ] {
        let error = match Reader::new(text.as_bytes()) {
            Err(error) => error,
            Ok(reader) => reader.filter_map(Result::err).next().unwrap_or_else(|| panic!("read: {text}")),
        };
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}

#[test]
fn after_an_error_nothing_more_is_given() {
    let text = format!("{HEADER}x\n{{\"t\":1,\"e\":\"swap\"}}\n");
    let read: Vec<_> = Reader::new(text.as_bytes()).unwrap().collect();
    assert!(read.len() == 1 && read[0].is_err());
}

#[test]
fn a_line_by_itself_needs_no_time() {
    let (at, event) = parse_line(b"{\"e\":\"external\",\"name\":\"gpu\",\"value\":1}").unwrap();
    assert_eq!((at, event), (None, Event::External { name: "gpu".to_owned(), value: 1.0 }));
    assert!(parse_line(&vec![b' '; LINE_MAX + 1]).is_err());
}
