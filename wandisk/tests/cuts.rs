//! Links that are cut at any byte, links that stall, keepers that are killed.
//!
//! The oracle is one sentence: at most one site is resident, the same command again finishes, and every acknowledged
//! write is there. Cuts are enumerated over the whole conversation, which is first measured on an uncut link.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use framework::*;
use rustix::process::Signal;

/// Bytes between two cuts.
const STEP: u64 = 200;
/// Cuts tried at a time: they wait more than they work.
const AT_A_TIME: usize = 4;

/// Runs `cut` for every cut point of both ways, a few at a time.
fn every_cut(total: (u64, u64), step: u64, cut: impl Fn(Way, u64) + Sync) {
    let there = (0..=total.0).step_by(usize::try_from(step).unwrap()).map(|n| (Way::There, n));
    let back = (0..=total.1).step_by(usize::try_from(step).unwrap()).map(|n| (Way::Back, n));
    let points: Vec<(Way, u64)> = there.chain(back).collect();
    eprintln!("{} cuts in {total:?} bytes", points.len());
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((way, n)) =
                    points.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap())
                {
                    eprintln!("cut {way:?} after {n} bytes");
                    cut(*way, *n);
                }
            });
        }
    });
}

#[test]
fn a_move_cut_anywhere_leaves_one_resident_and_finishes_when_repeated() {
    let measured = Pair::new();
    measured.a.ok(["move", "d", "--to", "b"]);
    let total = measured.link.bytes();
    drop(measured);

    every_cut(total, STEP, |way, n| {
        let pair = Pair::new();
        pair.link.cut_after(way, n);
        let output = pair.a.run(["move", "d", "--to", "b"]);
        let residents = pair.residents();
        assert!(residents.len() <= 1, "{way:?} {n}: {residents:?}");
        if !output.status.success() {
            let text = shown(&output);
            assert_eq!(output.status.code(), Some(1), "{way:?} {n}: {text}");
            assert!(text.contains("Hint") && text.contains("site b"), "{way:?} {n}: {text}");
            // Released or not, somebody has it, and status can say who.
            let at_a = pair.a.status("d");
            assert!(
                residents.len() == 1 || at_a["residency"] == "released",
                "{way:?} {n}: nobody has it: {at_a}"
            );
        }
        pair.link.mend();
        let again = pair.a.run(["move", "d", "--to", "b"]);
        let text = shown(&again);
        assert!(again.status.success() || text.contains("already"), "{way:?} {n}: {text}");
        assert_eq!(pair.residents(), ["b"], "{way:?} {n}");
        if n % (8 * STEP) == 0 {
            pair.b.attach("d").is_identical_to(&pair.image);
        }
    });
}

#[test]
fn a_move_back_cut_anywhere_is_as_safe() {
    const CONVERSATION: u64 = 3000;
    let pair = Pair::new();
    let there_and_back = |n: u8| {
        let (from, to) = if pair.a.is_resident("d") { (&pair.a, "b") } else { (&pair.b, "a") };
        let export = from.attach("d");
        export.write(n, u64::from(n) * 4096, 4096);
        pair.image.write(n, u64::from(n) * 4096, 4096);
        from.detach("d");
        (from, to)
    };
    pair.a.ok(["move", "d", "--to", "b"]);
    // The table is there already, so a move's conversation is a few messages; by turns both ways and both takers.
    for (round, n) in (0..=CONVERSATION).step_by(60).enumerate() {
        let way = if round / 2 % 2 == 0 { Way::There } else { Way::Back };
        let (_, to) = there_and_back(u8::try_from(round % 200 + 2).unwrap());
        pair.link.cut_after(way, n);
        let mut moving = pair.a.start(["move", "d", "--to", to]);
        eventually("the link is cut", SOON, || pair.link.is_cut() || moving.try_wait().unwrap().is_some());
        let residents = pair.residents();
        assert!(residents.len() <= 1, "{way:?} {n}: {residents:?}");
        // Mended while the move may still be at it: it gets through, or fails and is repeated.
        pair.link.mend();
        let output = moving.wait_with_output().unwrap();
        let again = pair.a.run(["move", "d", "--to", to]);
        let text = format!("{}, then {}", shown(&output), shown(&again));
        assert!(again.status.success() || text.contains("already"), "{way:?} {n}: {text}");
        assert_eq!(pair.residents(), [to], "{way:?} {n}: {text}");
    }
    pair.a.run(["move", "d", "--to", "a"]);
    pair.a.attach("d").is_identical_to(&pair.image);
}

#[test]
fn a_released_front_end_is_gone_though_no_answer_to_the_grant_comes() {
    // Less than a grant is offered again for: it is not that which ends the front-end.
    const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(10);
    let pair = Pair::new();
    pair.a.ok(["move", "d", "--to", "b"]);
    pair.b.attach("d");
    let before = pair.link.bytes().1;
    pair.a.ok(["move", "d", "--to", "a", "--force"]);
    let conversation = pair.link.bytes().1 - before;
    let mut released = 0;
    for n in (conversation.saturating_sub(1000)..conversation).step_by(100) {
        pair.a.ok(["move", "d", "--to", "b"]);
        pair.b.attach("d");
        pair.link.cut_after(Way::Back, n);
        pair.a.run(["move", "d", "--to", "a", "--force"]);
        pair.link.cut();
        // (Without asking a, which nobody reaches.)
        let status = || pair.b.json(["status", "d", "--here"]);
        if status()["residency"] == "released" {
            released += 1;
            eventually("the front-end is gone", AT_ONCE, || status()["attached"] == false);
        }
        pair.link.mend();
        pair.a.run(["move", "d", "--to", "a", "--force"]);
        assert_eq!(pair.residents(), ["a"], "{n}");
    }
    assert!(released > 0, "no cut came between a release and its grant");
}

#[test]
fn a_sync_cut_anywhere_goes_on_and_ends_complete() {
    let measured = Pair::new();
    measured.a.ok(["sync", "d", "--site", "b"]);
    let total = measured.link.bytes();
    drop(measured);
    // The chunks are most of it: every border of a message there, and coarser among the bytes that come after.
    let points = (total.0.min(8000), total.1.min(8000));

    every_cut(points, 2 * STEP, sync_cut_at);
    every_cut((total.0, 0), total.0 / 12, sync_cut_at);
}

fn sync_cut_at(way: Way, n: u64) {
    let pair = Pair::new();
    pair.link.cut_after(way, n);
    let output = pair.a.run(["sync", "d", "--site", "b"]);
    let held = if pair.b.has_folder("d") { pair.b.chunks("d", "held") } else { 0 };
    if !output.status.success() {
        assert!(shown(&output).contains("site"), "{way:?} {n}: {}", shown(&output));
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(pair.residents(), ["a"], "{way:?} {n}");
    pair.link.mend();
    let done = pair.a.json(["sync", "d", "--site", "b", "--verify"]);
    assert_eq!(number(&done["missing"]), 0);
    assert!(
        number(&done["chunks"]) <= 16 - held,
        "{way:?} {n}: what arrived came again: {held} held, {done}"
    );
    tool("cmp", &[pair.image.name(), pair.b.data("d").to_str().unwrap()]);
}

#[test]
fn a_link_that_flaps_is_latency_and_no_error() {
    let pair = Pair::new();
    pair.a.ok(["move", "d", "--to", "b"]);
    let export = pair.b.attach_with("d", &["--prefetch", "off"]);
    export.reads(pair.image.bytes()[0], 0, 1);
    pair.link.cut();
    let (uri, file) = (export.uri().to_owned(), pair.image.name().to_owned());
    let reader =
        std::thread::spawn(move || try_tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", &file, &uri]));
    eventually("the reader waits for a chunk", SOON, || number(&pair.b.status("d")["fetch"]["waiting"]) > 0);
    assert!(!reader.is_finished());
    pair.link.mend();
    // b cannot dial: a does.
    pair.a.ok(["site", "check", "b"]);
    eventually("a has dialled again", SOON, || pair.a.status("d")["sites"][0]["reachable"] == true);
    let output = reader.join().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn unreachable_holders_are_an_error_after_the_fetch_timeout_and_status_answers_meanwhile() {
    let pair = Pair::new();
    pair.a.ok(["move", "d", "--to", "b"]);
    pair.link.cut();
    // Long enough for a busy machine to ask how it stands in the meantime.
    let export = pair.b.attach_with("d", &["--fetch-timeout", "20s"]);
    let began = std::time::Instant::now();
    let reader = {
        let export = export.clone();
        std::thread::spawn(move || export.can_read(0, 4096))
    };
    eventually("status tells of the wait", SOON, || {
        let asked = std::time::Instant::now();
        let status = pair.b.status("d");
        assert!(asked.elapsed().as_secs() < 15, "status took {:?}", asked.elapsed());
        number(&status["fetch"]["waiting"]) > 0
    });
    assert!(!reader.join().unwrap(), "never old or zero bytes");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    // What is here, and what was never written, goes on; so does a write of a whole chunk.
    export.reads(0, MIB, 64 * KIB);
    export.write(4, 0, 64 * KIB);
    export.reads(4, 0, 64 * KIB);
}

#[test]
fn a_stalled_link_is_noticed_and_the_move_can_be_repeated() {
    let pair = Pair::new();
    pair.link.cut_after(Way::There, u64::MAX / 2);
    let moving = pair.a.start(["move", "d", "--to", "b"]);
    eventually("the conversation began", SOON, || pair.link.bytes().1 > 0);
    pair.link.stall();
    let output = moving.wait_with_output().unwrap();
    assert!(pair.residents().len() <= 1);
    // New connections pass again once the stall is over.
    pair.link.cut();
    pair.link.mend();
    let again = pair.a.run(["move", "d", "--to", "b"]);
    let text = format!("{}, then {}", shown(&output), shown(&again));
    assert!(again.status.success() || text.contains("already"), "{text}");
    assert_eq!(pair.residents(), ["b"]);
}

/// A hand-over whose command was killed left the disk frozen for ever. Found by the soak.
#[test]
fn a_move_that_is_interrupted_while_it_holds_writes_lets_them_go() {
    let measured = Pair::new();
    let before = measured.link.bytes().0;
    measured.a.ok(["move", "d", "--to", "b"]);
    let whole = measured.link.bytes().0 - before;
    // Everything but the end of the conversation gets through: the target never answers the last rows.
    for short_of_the_end in [400, 700, 1000] {
        let pair = Pair::new();
        pair.link.cut_after(Way::There, whole.saturating_sub(short_of_the_end));
        let mut moving = pair.a.start(["move", "d", "--to", "b"]);
        eventually("the link is cut", SOON, || pair.link.is_cut());
        // `timeout` passes it on.
        kill(moving.id(), Signal::TERM);
        moving.wait().unwrap();
        eventually("writes go on, or the disk has moved", 2 * SOON, || {
            let access = pair.a.status("d")["access"].as_str().unwrap().to_owned();
            access == "open" || access == "closed"
        });
        assert!(pair.residents().len() <= 1);
    }
}

#[test]
fn a_client_that_comes_while_a_move_is_under_way_keeps_its_disk() {
    let pair = Pair::new();
    pair.a.ok(["sync", "d", "--site", "b"]);
    let export = pair.a.attach("d");
    let there = pair.b.keeper("d");
    kill(there, Signal::STOP);
    let before = pair.link.bytes().0;
    let moving = pair.a.start(["move", "d", "--to", "b"]);
    eventually("the move has begun", SOON, || pair.link.bytes().0 > before);
    let code = "import sys\nprint('in', flush=True)\nsys.stdin.readline()\nh.pwrite(bytes([7]) * 4096, 0)";
    let mut client = Command::new("nbdsh")
        .args(["-u", export.uri(), "-c", code])
        .env("PATH", SYSTEM_PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
    kill(there, Signal::CONT);
    let output = moving.wait_with_output().unwrap();
    assert!(!output.status.success() && shown(&output).contains("1 NBD client"), "{}", shown(&output));
    drop(client.stdin.take());
    assert!(client.wait().unwrap().success(), "its write failed");
    export.reads(7, 0, 4096);
    assert_eq!(pair.residents(), ["a"]);
    eventually("the client has gone, and the disk moves", SOON, || {
        pair.a.run(["move", "d", "--to", "b"]).status.success()
    });
}

#[test]
fn a_keeper_that_is_stopped_is_noticed_and_the_move_can_be_repeated() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["sync", "d", "--site", "b"]);
    let pid = b.keeper("d");
    kill(pid, Signal::STOP);
    let output = a.run(["move", "d", "--to", "b"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert!(a.is_resident("d"));
    kill(pid, Signal::CONT);
    eventually("a second move gets through", SOON, || a.run(["move", "d", "--to", "b"]).status.success());
    assert!(b.is_resident("d") && !a.is_resident("d"));
}

/// Which keeper dies.
#[derive(Clone, Copy, Debug)]
enum Dies {
    Giver,
    Taker,
    Both,
}

#[test]
fn a_keeper_killed_during_a_move_leaves_one_resident_and_the_move_finishes() {
    let measured = Pair::new();
    measured.a.ok(["move", "d", "--to", "b"]);
    let total = measured.link.bytes();
    drop(measured);

    every_cut((total.0, total.1), 3 * STEP, |way, n| {
        let dies = [Dies::Giver, Dies::Taker, Dies::Both][usize::try_from(n / (3 * STEP) % 3).unwrap()];
        let pair = Pair::new();
        // Stopped at a byte, then killed: the moment is enumerated, not slept for.
        pair.link.cut_after(way, n);
        let moving = pair.a.start(["move", "d", "--to", "b"]);
        eventually("the link is cut", SOON, || pair.link.is_cut() || is_over(&pair));
        if matches!(dies, Dies::Giver | Dies::Both) {
            kill_keepers(&pair.a);
        }
        if matches!(dies, Dies::Taker | Dies::Both) {
            kill_keepers(&pair.b);
        }
        pair.link.mend();
        let output = moving.wait_with_output().unwrap();
        let residents = pair.residents();
        assert!(residents.len() <= 1, "{way:?} {n} {dies:?}: {residents:?}");
        let again = pair.a.run(["move", "d", "--to", "b"]);
        let text = format!("{}, then {}", shown(&output), shown(&again));
        assert!(again.status.success() || text.contains("already"), "{way:?} {n} {dies:?}: {text}");
        assert_eq!(pair.residents(), ["b"], "{way:?} {n} {dies:?}: {text}");
    });
}

fn is_over(pair: &Pair) -> bool {
    pair.b.has_folder("d") && pair.b.is_resident("d")
}

/// kill -9 of every keeper of a site, without starting one to ask for its id.
fn kill_keepers(site: &Site) {
    for pid in processes_in(site.home()) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.split(|b| *b == 0).any(|word| word == b"keeper") {
            kill(pid, Signal::KILL);
        }
    }
}

#[test]
fn kill_of_an_attached_keeper_loses_no_acknowledged_write() {
    let world = World::new();
    let a = world.site("a");
    let image = Image::noise(&world, "i", 8 * MIB, 4, 21);
    a.ok(["create", "d", "--from", image.name()]);
    for round in 1..=6u8 {
        let export = a.attach("d");
        let at = u64::from(round) * 200_192;
        // New chunks, parts of held chunks, trims; flushed or not.
        export.write(round, at, 150_016);
        image.write(round, at, 150_016);
        if round % 2 == 0 {
            export.flush();
        }
        export.write(round, 6 * MIB + at, 512);
        image.write(round, 6 * MIB + at, 512);
        let hole = u64::from(round) * CHUNK;
        export.python(&format!("h.trim({CHUNK}, {hole})"));
        image.write(0, hole, CHUNK);
        a.kill_keeper("d");
        a.attach("d").is_identical_to(&image);
        a.kill_keeper("d");
    }
    // What was written unflushed before a kill travels like anything else.
    let b = world.site("b");
    a.knows(&b);
    a.ok(["sync", "d", "--site", "b", "--verify"]);
    tool("cmp", &[image.name(), b.data("d").to_str().unwrap()]);
}

#[test]
fn kill_during_writes_loses_no_acknowledged_write() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "32M"]);
    for round in 0..4u8 {
        let export = a.attach("d");
        let keeper = a.keeper("d");
        // 8192 places: none is written twice in one round. Each line says that a write was acknowledged.
        let code = format!(
            "import sys\nfor i in range(8192):\n  h.pwrite(bytes([i % 251 + 1]) * 4096, (i * 7 + {round}) % 8192 * 4096)\n  print(i, flush=True)"
        );
        let mut writer = std::process::Command::new("nbdsh")
            .args(["-u", export.uri(), "-c", &code])
            .env("PATH", SYSTEM_PATH)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(writer.stdout.take().unwrap()));
        let mut last = 0u64;
        for line in lines.by_ref().take(300 + 100 * usize::from(round)) {
            last = line.unwrap().parse().unwrap();
        }
        kill(keeper, Signal::KILL);
        eventually("the keeper is dead", SOON, || !processes_in(a.home()).contains(&keeper));
        for line in lines.map_while(Result::ok) {
            last = line.parse().unwrap_or(last);
        }
        writer.wait().unwrap();
        assert!(last >= 299, "{last}");
        let check = format!(
            "for i in range({}):\n  b = h.pread(4096, (i * 7 + {round}) % 8192 * 4096)\n  assert b == bytes([i % 251 + 1]) * 4096, i",
            last + 1
        );
        a.attach("d").python(&check);
        a.detach("d");
    }
}

#[test]
fn kill_of_a_fetching_keeper_leaves_only_whole_chunks() {
    let pair = Pair::new();
    pair.a.ok(["move", "d", "--to", "b"]);
    pair.b.attach_with("d", &["--prefetch", "off"]).can_read(0, 300 * 1024);
    pair.b.kill_keeper("d");
    let status = pair.b.status("d");
    assert_eq!(status["residency"], "resident");
    pair.a.ok(["site", "check", "b"]);
    let export = pair.b.attach("d");
    // a dials; its keeper has to know that b came back.
    eventually("a has dialled again", SOON, || pair.a.status("d")["sites"][0]["reachable"] == true);
    export.is_identical_to(&pair.image);
}

#[test]
fn a_killed_standby_and_a_killed_giver_between_prepare_and_commit() {
    let pair = Pair::new();
    let export = pair.a.attach("d");
    let token = pair.a.ok(["prepare", "d", "--to", "b"]);
    pair.a.kill_keeper("d");
    // An attempt lives in its keeper: nothing was released, so the disk is where it was.
    assert_eq!(pair.residents(), ["a"]);
    pair.a.fails(["commit", "d", "--to", "b", "--token", &token]).says(&["no hand-over is prepared"]);
    drop(export);
    let export = pair.a.attach("d");
    export.write(3, 0, 4096);
    pair.image.write(3, 0, 4096);
    pair.a.detach("d");
    let token = pair.a.ok(["prepare", "d", "--to", "b"]);
    kill_keepers(&pair.b);
    // What b answered was durable.
    pair.a.ok(["commit", "d", "--to", "b", "--token", &token]);
    assert_eq!(pair.residents(), ["b"]);
    pair.b.attach("d").is_identical_to(&pair.image);
}

#[test]
fn a_quiesced_disk_lets_nothing_wait_for_far_chunks() {
    let pair = Pair::new();
    pair.a.ok(["move", "d", "--to", "b"]);
    pair.link.cut();
    let export = pair.b.attach_with("d", &["--prefetch", "off"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| export.can_read(0, 4096));
        eventually("the read waits", SOON, || number(&pair.b.status("d")["fetch"]["waiting"]) == 1);
        pair.b.ok(["quiesce", "d", "--wait", "50ms"]);
        assert!(!waiting.join().unwrap(), "it waited before the quiesce and does so no more");
    });
    assert!(!export.can_read(4096, 4096));
    assert_eq!(pair.b.status("d")["quiesced_ms"], 50);

    pair.b.ok(["quiesce", "d", "--off"]);
    pair.link.mend();
    // The only way is from a to b: whatever a asks opens it.
    pair.a.status("d");
    export.is_identical_to(&pair.image);
    pair.b.detach("d");
    pair.b.fails(["quiesce", "d"]).says(&["not attached"]);
}
