//! How many pictures of a program are on a long line, and how many there are a second: the interval that the program wants is
//! kept at any distance, and nothing that the user does is behind more pictures than must be on their way. Alone on the machine,
//! since time is counted.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::desk::Desk;
use crate::line::Line;
use crate::peers::{Running, eventually};
use crate::unmodified::{build, travelling};

const TRIP: Duration = Duration::from_millis(100);
/// What the machine of the tests makes a round trip longer.
const BUSY: Duration = Duration::from_millis(25);
const SCREEN: Duration = Duration::from_nanos(16_666_667);

/// Pictures that are shown before it is looked, and while.
const FIRST: usize = 60;
const COUNTED: usize = 90;

/// A program with an interval and a time for each picture: pictures a second, and most that were on their way.
fn plays(desk: &Desk, program: &Path, interval: u32, each: u64) -> (f64, usize) {
    let line = Line::to(&desk.door, TRIP);
    let mut command = travelling(desk, program);
    command.args([interval.to_string(), each.to_string()]).stdout(Stdio::null());
    let program = Running(command.env("VMGL_GL", &line.address).spawn().unwrap());
    eventually("the first pictures", || (line.shown() >= FIRST).then_some(()));
    let (began, before) = (Instant::now(), line.shown());
    line.count_anew();
    let shown = eventually("the others", || Some(line.shown()).filter(|shown| *shown >= before + COUNTED));
    let rate = f64::from(u32::try_from(shown - before).unwrap()) / began.elapsed().as_secs_f64();
    let most = line.most();
    drop(program);
    (rate, most)
}

/// ⌈line ÷ frame⌉ + 2.
fn promised(frame: Duration) -> usize {
    usize::try_from((TRIP + BUSY).as_nanos().div_ceil(frame.as_nanos()) + 2).unwrap()
}

#[test]
fn a_program_has_the_interval_that_it_wants_and_no_more_pictures_on_their_way_than_the_line_holds_and_two() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), "swaps", &["-l:libGL.so.1", "-l:libX11.so.6"]);
    let desk = Desk::new("320x240");
    for (interval, each, frame) in [
        (1, 0, SCREEN),
        (2, 0, 2 * SCREEN),
        // The program's own time is the frame's.
        (0, 50, Duration::from_millis(50)),
        (1, 50, Duration::from_millis(50)),
    ] {
        let (rate, most) = plays(&desk, &program, interval, each);
        let told = format!("interval {interval}, {each} ms: {rate} a second, {most} on their way");
        println!("{told}");
        assert!(rate * frame.as_secs_f64() < 1.05, "{told}");
        assert!(rate * frame.as_secs_f64() > 0.75, "{told}");
        assert!(most <= promised(frame), "{told}");
    }
    // Who does not wait for the screen is not held by its rate, nor by the line's.
    let (rate, most) = plays(&desk, &program, 0, 0);
    assert!(rate > 80.0, "{rate} a second, {most} on their way");
}
