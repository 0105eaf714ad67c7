//! The rules of the crate's description, one by one, and what holds whatever happens.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use proptest::prelude::*;
use sensors::{Event, Input, Readings, Sensors, Settings};

const KEY: Event = Event::Input(Input::Key { down: true });
const RELEASE: Event = Event::Input(Input::Key { down: false });
const MOTION: Event = Event::Input(Input::Motion);
const UPDATE: Event = Event::Update { area: 5000 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Readings at `at` (ms) after these events (ms), with the default window.
fn read(at: u64, mut events: Vec<(u64, Event)>) -> Readings {
    let mut sensors = Sensors::new(Settings::default());
    sensors.readings(ms(0));
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        sensors.event(ms(at), event);
    }
    sensors.readings(ms(at))
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-6)
}

#[test]
fn a_window_speaks_after_three_seconds_and_again_after_a_migration() {
    let cpu = |at| (at, Event::Cpu { wall: ms(1000), busy: vec![ms(500)] });
    let mut sensors = Sensors::new(Settings::default());
    for (at, event) in (1..=20).map(|second| cpu(second * 1000)) {
        sensors.event(ms(at), event);
        let readings = sensors.readings(ms(at));
        // The window begins with the first event.
        assert_eq!(readings.cpu.is_some(), at >= 4000, "{at}");
        assert_eq!(readings.inputs.is_some(), at >= 4000, "{at}");
    }
    sensors.event(ms(20_500), Event::Restart { place: None });
    assert_eq!(sensors.readings(ms(23_499)), Readings { span: ms(2999), ..Readings::default() });
    let after = sensors.readings(ms(23_500));
    assert_eq!((after.inputs, after.cpu), (Some(0.0), None), "nothing of before is left");
}

#[test]
fn inputs_are_told_for_ten_seconds_and_motion_counts_ten_times_a_second() {
    let keys = (0..4).flat_map(|i| [(500 + i * 1000, KEY), (600 + i * 1000, RELEASE)]).collect();
    assert!(near(read(5000, keys).inputs, 16.0), "8 in 5 s");
    let flood = (0..4000).map(|i| (i, MOTION)).collect();
    assert!(near(read(4000, flood).inputs, 100.0));
    let wheel = (0..4).map(|i| (i, Event::Input(Input::Wheel))).collect();
    assert!(near(read(4000, wheel).inputs, 10.0));
    // What is older than the window is forgotten.
    let old = (0..5).map(|i| (i * 100, KEY)).collect();
    assert!(near(read(10_250, old).inputs, 2.0));
}

#[test]
fn an_input_with_no_update_counts_nowhere_but_as_unanswered() {
    let readings = read(5000, vec![(1000, KEY), (4500, KEY)]);
    assert_eq!((readings.fps, readings.fps_paper, readings.response), (None, None, None));
    assert_eq!(readings.unanswered, 1, "the second may still be answered");
    let late = read(5000, vec![(1000, KEY), (2001, UPDATE)]);
    assert_eq!((late.response, late.unanswered), (None, 1), "after a second nothing is looked for");
}

#[test]
fn an_input_with_one_update_counts_in_response_only() {
    let readings = read(5000, vec![(1000, KEY), (1040, UPDATE)]);
    assert_eq!((readings.fps, readings.response), (None, Some(40.0)));
    assert!(near(readings.fps_paper, 25.0));
}

/// A window that notices the pointer when it comes, and a page that does not care: a real recording of that had a move
/// made for it.
#[test]
fn one_update_in_many_inputs_is_no_answer() {
    let wander = |updates: u64| {
        let mut events: Vec<_> = (0..30).map(|i| (1000 + i * 110, MOTION)).collect();
        events.extend((0..updates).map(|i| (1100 + i * 440, UPDATE)));
        read(6000, events)
    };
    assert_eq!((wander(1).response, wander(1).fps, wander(1).unanswered), (None, None, 29));
    assert!(wander(8).response.is_some(), "{:?}", wander(8));
}

#[test]
fn fps_is_the_rate_of_pictures_whatever_the_distance_is() {
    for distance in [0, 100, 300] {
        let mut events = vec![(1, Event::Rtt(ms(distance))), (1000, KEY)];
        events.extend((0..10).map(|i| (1000 + distance + i * 25, UPDATE)));
        let readings = read(5000, events);
        assert!(near(readings.fps, 40.0), "{distance} ms: {readings:?}");
        assert!(near(readings.response, f64::from(u32::try_from(distance).unwrap())));
    }
}

#[test]
fn an_episode_ends_after_a_quarter_of_a_second_of_rest_or_a_second_after_its_input() {
    let rest = |pause: u64| {
        read(5000, vec![(1000, KEY), (1100, UPDATE), (1200, UPDATE), (1200 + pause, UPDATE)]).fps
    };
    assert!(near(rest(250), 2.0 / 0.35) && near(rest(251), 10.0));
    let long = (0..40).map(|i| (1000 + i * 100, UPDATE)).chain([(1000, KEY)]);
    assert!(near(read(5000, long.collect()).fps, 10.0));
    let (mut first, mut second) = (vec![(1000, KEY)], vec![(1000, KEY)]);
    first.extend([(1800, UPDATE), (2000, UPDATE)]);
    second.extend([(1800, UPDATE), (2001, UPDATE)]);
    assert!(near(read(5000, first).fps, 5.0) && read(5000, second).fps.is_none());
}

#[test]
fn updates_of_one_picture_are_one_and_no_more_than_sixty_are_told() {
    let rects = vec![(1000, KEY), (1020, UPDATE), (1021, UPDATE), (1022, UPDATE)];
    assert_eq!(read(5000, rects).fps, None);
    let flood = (0..50).map(|i| (1000 + i * 10, UPDATE)).chain([(999, KEY)]).collect();
    assert_eq!(read(5000, flood).fps, Some(60.0));
}

#[test]
fn an_update_is_due_to_no_input_that_the_path_had_no_time_for() {
    // The second key is 60 ms old when the echo of the first comes over a path of 80 ms.
    let keys = vec![(1, Event::Rtt(ms(80))), (1000, KEY), (1030, KEY), (1090, UPDATE), (1125, UPDATE)];
    assert_eq!(read(5000, keys.clone()).response, Some(92.5), "90 and 95");
    let blind = keys.into_iter().skip(1).collect();
    assert_eq!(read(5000, blind).response, Some(75.0), "without the path the first update answers both");
}

#[test]
fn the_release_of_a_key_takes_no_answer_from_its_press() {
    let events = vec![(1, Event::Rtt(ms(66))), (1000, KEY), (1080, RELEASE), (1150, UPDATE)];
    assert_eq!(read(5000, events).response, Some(150.0));
}

#[test]
fn a_swap_is_an_update() {
    let frames = (0..10).map(|i| (1000 + i * 20, Event::Swap)).chain([(999, Event::Input(Input::Wheel))]);
    assert!(near(read(5000, frames.collect()).fps, 50.0));
}

#[test]
fn a_blinking_cursor_answers_nobody_who_moves_the_pointer() {
    let blink = |i: u64| (i / 2 * 900 + i % 2 * 600, Event::Update { area: 128 });
    let mut events: Vec<_> = (0..22).map(blink).collect();
    events.extend((4000..9900).step_by(50).map(|at| (at, MOTION)));
    let readings = read(9950, events.clone());
    assert_eq!((readings.response, readings.fps), (None, None));
    assert!(readings.unanswered > 40);
    // The same with a large area are answers.
    let large = events.into_iter().map(|(at, event)| (at, if event == MOTION { event } else { UPDATE }));
    assert!(read(9950, large.collect()).response.is_some());
}

#[test]
fn motion_floods_leave_attribution_alone() {
    let frames = |step: usize| {
        let motion = (1000..5000).step_by(step).map(|at| (at, MOTION));
        motion.chain((0..240).map(|i| (1005 + i * 50 / 3, UPDATE))).collect()
    };
    let (calm, flood) = (read(5500, frames(100)), read(5500, frames(2)));
    assert_eq!((calm.fps, calm.response), (flood.fps, flood.response));
    assert!(calm.fps.is_some_and(|fps| fps > 55.0), "{calm:?}");
}

#[test]
fn the_papers_fps_is_updates_over_the_time_to_the_last_of_them() {
    let events =
        vec![(1000, KEY), (1100, UPDATE), (1500, UPDATE), (2000, KEY), (2100, UPDATE), (2200, RELEASE)];
    assert!(near(read(5000, events).fps_paper, f64::midpoint(2.0 / 0.5, 1.0 / 0.1)));
}

#[test]
fn cpu_is_demand_of_all_and_of_the_busiest_weighed_by_time() {
    let cpu = |wall: u64, busy: [u64; 2]| Event::Cpu { wall: ms(wall), busy: busy.map(ms).into() };
    // One thread that the guest moves between two vCPUs.
    let readings = read(4000, vec![(1000, cpu(1000, [1000, 0])), (4000, cpu(3000, [0, 3000]))]);
    assert_eq!((readings.cpu, readings.busiest), (Some(0.5), Some(1.0)));
    let readings = read(4000, vec![(1000, cpu(1000, [1000, 1000])), (4000, cpu(3000, [0, 0]))]);
    assert_eq!((readings.cpu, readings.busiest), (Some(0.25), Some(0.25)));
    assert_eq!(read(4000, vec![(1000, cpu(1000, [1005, 0]))]).busiest, Some(1.0), "no more than all");
}

#[test]
fn traffic_is_by_anchor_and_silence_of_a_known_anchor_is_zero() {
    let net = |anchor: &str, inward, outward| Event::Net {
        anchor: anchor.to_owned(),
        inward,
        outward,
        waited: Duration::ZERO,
    };
    let mut sensors = Sensors::new(Settings::default());
    sensors.event(ms(0), net("home", 0, 0));
    sensors.event(ms(2000), net("home", 4_000_000, 40));
    sensors.event(ms(3000), net("data", 1_000_000, 0));
    let readings = sensors.readings(ms(4000));
    assert_eq!((readings.get("net_in:home"), readings.get("net_out:home")), (Some(1e6), Some(10.0)));
    assert_eq!((readings.get("net_in"), readings.get("net_in:other")), (Some(1.25e6), None));
    assert_eq!(sensors.readings(ms(20_000)).get("net_in:home"), Some(0.0));
}

#[test]
fn who_waits_for_an_anchor_and_computes_in_turn_wants_all_of_the_time_there() {
    let cpu = |at, busy| (at, Event::Cpu { wall: ms(1000), busy: vec![ms(busy), ms(0)] });
    let net = |at, anchor: &str, waited| {
        (at, Event::Net { anchor: anchor.to_owned(), inward: 1, outward: 1, waited: ms(waited) })
    };
    let readings = read(
        4000,
        vec![
            (0, Event::Swap),
            cpu(1000, 0),
            net(1000, "data", 900),
            net(1000, "home", 100),
            cpu(2000, 200),
            net(2000, "data", 700),
            cpu(3000, 1000),
            cpu(4000, 1000),
        ],
    );
    assert!(near(readings.busiest, 0.55) && near(readings.get("net_wait:data"), 0.4), "{readings:?}");
    assert!(near(readings.get("net_wait"), 0.4) && near(readings.get("net_wait:home"), 0.025));
    assert!(near(readings.get("demand:data"), 0.95) && near(readings.get("demand:home"), 0.575));
    assert!(near(readings.get("demand"), 0.95));
    assert_eq!((readings.get("demand:other"), readings.get("net_wait:other")), (None, None));
    // Counted late, it is no more than all.
    let readings = read(4000, vec![cpu(4000, 1000), net(4000, "data", 9000)]);
    assert_eq!((readings.get("net_wait:data"), readings.get("demand:data")), (Some(1.0), Some(1.0)));
}

#[test]
fn pictures_are_counted_whatever_they_are_due_to_and_a_blinking_cursor_is_none() {
    // A film: 25 pictures a second, each of three pieces.
    let film = (0..100).flat_map(|n| [0, 2, 4].map(|piece| (n * 40 + piece, UPDATE))).collect();
    assert!(near(read(4000, film).updates, 25.0));
    let blinks = (0..20).map(|n| (n * 500, Event::Update { area: 128 })).collect();
    assert!(read(10_000, blinks).updates.is_some_and(|updates| updates < 0.6));
    assert_eq!(read(4000, vec![]).updates, Some(0.0), "nobody looks, or nothing changes");
}

#[test]
fn an_external_sensor_is_averaged_and_its_silence_is_no_reading() {
    let gpu = |value| Event::External { name: "gpu".to_owned(), value };
    let events = vec![(1000, gpu(1.0)), (2000, gpu(4.0)), (3000, gpu(f64::NAN))];
    assert_eq!(read(4000, events.clone()).get("gpu"), Some(2.5));
    assert_eq!(read(13_000, events).get("gpu"), None);
}

#[test]
fn settings_are_checked() {
    let s = Duration::from_secs;
    assert!(Settings::new(s(1), s(10)).is_ok());
    assert!(Settings::new(s(0), s(10)).is_err() && Settings::new(s(1), s(3601)).is_err());
    assert!(Settings::new(s(2), s(1)).unwrap_err().to_string().contains("shorter"));
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(|down| Event::Input(Input::Key { down })),
        2 => any::<bool>().prop_map(|down| Event::Input(Input::Button { down })),
        4 => Just(MOTION),
        1 => Just(Event::Input(Input::Wheel)),
        8 => prop_oneof![Just(128u64), 0..2_000_000u64].prop_map(|area| Event::Update { area }),
        4 => Just(Event::Swap),
        1 => (0..400u64).prop_map(|rtt| Event::Rtt(ms(rtt))),
        2 => (0..2000u64, prop::collection::vec(0..3000u64, 0..4))
            .prop_map(|(wall, busy)| Event::Cpu { wall: ms(wall), busy: busy.into_iter().map(ms).collect() }),
        1 => (-2.0..2.0f64).prop_map(Event::Host),
        1 => ("[a-c]", any::<u64>(), any::<u64>(), 0..2000u64)
            .prop_map(|(anchor, inward, outward, waited)| Event::Net { anchor, inward, outward, waited: ms(waited) }),
        1 => ("[a-c]", any::<f64>()).prop_map(|(name, value)| Event::External { name, value }),
        1 => Just(Event::Restart { place: None }),
    ]
}

proptest! {
    #[test]
    fn readings_are_in_their_ranges_and_the_same_each_time(
        events in prop::collection::vec((0..900u64, event()), 0..400),
        window in 1..20u64,
    ) {
        let settings = Settings::new(ms(1000), Duration::from_secs(window)).unwrap();
        let play = || {
            let (mut sensors, mut now, mut all) = (Sensors::new(settings), 0, Vec::new());
            for (step, event) in &events {
                now += step;
                sensors.event(ms(now), event.clone());
                all.push(sensors.readings(ms(now)));
            }
            all
        };
        let all = play();
        for r in &all {
            for share in [r.cpu, r.busiest, r.host, r.get("net_wait"), r.get("demand:a")] {
                prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{r:?}");
            }
            prop_assert!(r.cpu.zip(r.busiest).is_none_or(|(cpu, busiest)| cpu <= busiest + 1e-9), "{r:?}");
            prop_assert!(r.fps.is_none_or(|fps| fps > 0.0 && fps <= 60.0), "{r:?}");
            prop_assert!(r.fps_paper.is_none_or(|fps| fps > 0.0 && fps.is_finite()), "{r:?}");
            prop_assert!(r.response.is_none_or(|ms| (0.0..=1000.0).contains(&ms)), "{r:?}");
            prop_assert!(r.inputs.is_none_or(|inputs| inputs >= 0.0 && inputs.is_finite()), "{r:?}");
            prop_assert!(r.span <= settings.window());
            prop_assert!(r.inputs.is_some() == (r.span >= ms(3000).min(settings.window())) || r.span == settings.window(), "{r:?}");
        }
        prop_assert_eq!(format!("{all:?}"), format!("{:?}", play()));
    }

    /// Time that goes back counts as none, and asking changes nothing.
    #[test]
    fn late_news_and_more_questions_change_nothing(
        events in prop::collection::vec((0..20_000u64, event()), 0..200),
    ) {
        let (mut given, mut sorted) = (Sensors::new(Settings::default()), Sensors::new(Settings::default()));
        let mut latest = 0;
        for (at, event) in events {
            latest = latest.max(at);
            given.event(ms(at), event.clone());
            sorted.event(ms(latest), event);
            sorted.readings(ms(latest));
        }
        prop_assert_eq!(format!("{:?}", given.readings(ms(25_000))), format!("{:?}", sorted.readings(ms(25_000))));
    }
}
