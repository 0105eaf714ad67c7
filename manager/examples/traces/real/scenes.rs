//! The recordings: one for each way in which agents and users behave.

use super::scene::Scene;

/// An editor would stop its cursor's blinking.
const TERMINAL: &str = "xterm -bc -geometry 90x30+8+8 -e cat";

pub(super) fn all() -> Vec<Scene> {
    [alternating(), overlapping(), idle(), typing(), motion(), bursts()].map(Scene::in_order).into()
}

/// The user edits at the desk, has something compressed, and comes back to it; twice. 100 ms to the compute site.
fn alternating() -> Scene {
    let mut s = Scene::new(
        "alternating",
        "desk",
        0,
        290,
        "a text is edited, a file compressed, the text edited again, twice; 100 ms to the compute site",
    );
    s.takes_the_editor(1.0);
    s.phase(0, "cognitive");
    s.types(2.0, 10.0, 0.3);
    s.drags(11.0, 13.0);
    s.types(14.0, 24.0, 0.25);
    s.phase(25, "crunch");
    s.computes(25.0, 110.0);
    s.arrives(45.0, "compute", 100);
    s.phase(110, "cognitive");
    s.drags(110.2, 113.0);
    s.types(114.0, 120.0, 0.25);
    s.drags(121.0, 123.0);
    s.types(124.0, 127.0, 0.3);
    s.arrives(128.0, "desk", 0);
    s.types(130.0, 138.0, 0.3);
    s.drags(140.0, 143.0);
    s.types(145.0, 182.0, 0.4);
    s.phase(185, "crunch");
    s.computes(185.0, 270.0);
    s.arrives(205.0, "compute", 100);
    s.phase(270, "cognitive");
    s.drags(270.2, 273.0);
    s.types(274.0, 288.0, 0.25);
    s
}

/// The program computes all the time and the user works with it all the time, with pauses of 3 to 6 s: who follows the
/// CPU and the user in turn never comes to rest.
fn overlapping() -> Scene {
    let mut s = Scene::new(
        "overlapping",
        "compute",
        100,
        200,
        "a text is edited while a file is compressed, with pauses of 3 to 6 s, then only compressed; begins 100 ms away",
    );
    s.phase(0, "cognitive");
    s.takes_the_editor(0.5);
    s.computes(0.0, 200.0);
    s.arrives(70.0, "desk", 0);
    let mut at = 1.5;
    for turn in 0..20u8 {
        let lasts = 3.0 + f64::from(turn % 4);
        s.drags(at, at + lasts * 0.6);
        s.types(at + lasts * 0.6 + 0.2, at + lasts, 0.25);
        at += lasts + 3.0 + f64::from(turn % 3) * 1.5;
    }
    // The user has left.
    s.phase(176, "crunch");
    s
}

/// Nothing happens, 100 ms away, but for a cursor; now and then the pointer is moved over the page that is read.
fn idle() -> Scene {
    let made = "a page is read, a terminal's cursor blinks, the pointer wanders; 100 ms away";
    let mut s = Scene::new("idle", "compute", 100, 120, made).with(TERMINAL);
    s.phase(0, "");
    s.takes_the_window(0.8);
    for (from, until) in [(20.0, 32.0), (50.0, 65.0), (85.0, 97.0)] {
        s.wanders(from, until);
    }
    s
}

/// Slow typing in a terminal 100 ms away: each key is one update, so there is no rate to go by.
fn typing() -> Scene {
    let made = "slow typing in a terminal whose cursor blinks; 100 ms away";
    let mut s = Scene::new("typing", "compute", 100, 120, made).with(TERMINAL);
    s.phase(0, "");
    s.takes_the_window(0.8);
    s.phase(20, "cognitive");
    s.types(20.0, 60.0, 0.6);
    s.types(80.0, 115.0, 0.7);
    s
}

/// A body turns at 60 FPS under the pointer, 100 ms away: smooth, and yet it swims.
fn motion() -> Scene {
    let made = "a body turns at 60 FPS while the pointer drags; 100 ms away";
    let mut s =
        Scene::new("motion", "compute", 100, 40, made).with("ico -faces -sleep 0.015 -geometry 400x400+0+0");
    s.phase(0, "");
    s.phase(10, "cognitive");
    for drag in [10.0, 15.0, 20.0, 25.0, 30.0] {
        s.drags(drag, drag + 4.0);
    }
    s
}

/// Bursts of 2 to 5 s: over before anything could be done about them.
fn bursts() -> Scene {
    let made = "bursts of 2 to 5 s of compressing, about every 20 s; some typing";
    let mut s = Scene::new("bursts", "desk", 0, 220, made);
    s.phase(0, "");
    s.takes_the_editor(1.0);
    s.types(3.0, 9.0, 0.25);
    for burst in 0..10u8 {
        let at = 12.0 + f64::from(burst) * 20.0 + f64::from(burst % 3) * 1.3;
        s.computes(at, at + 2.0 + f64::from(burst % 4));
    }
    s
}
