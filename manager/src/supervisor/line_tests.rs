//! What goes over one line at a time, on a made-up clock: the memory of a move, the frames of the agent's network, and an echo that
//! stands for a screen. None may take all, and the echo waits for little.

use std::collections::VecDeque;
use std::time::Duration;

use super::pace::{ECHO, Pace};
use super::window::Window;

const TICK: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const PIECE: usize = 16 << 10;

/// One that always has more to send.
struct Stream {
    window: Window,
    pace: Option<Pace>,
    begins: Duration,
    arrived: u64,
    answers: VecDeque<(Duration, u64)>,
    counted: u64,
}

impl Stream {
    fn new(begins: Duration, paced: bool) -> Stream {
        let pace = paced.then(|| Pace::new(begins));
        let window = Window::default();
        Stream { window, pace, begins, arrived: 0, answers: VecDeque::new(), counted: 0 }
    }

    /// Gives a piece, if one may go.
    fn gives(&mut self, now: Duration) -> Option<usize> {
        if now < self.begins || !self.window.has_room() {
            return None;
        }
        let may = self.pace.as_mut().map_or(PIECE, |pace| pace.allows(now)).min(PIECE);
        if may < 4096 {
            return None;
        }
        if let Some(pace) = &mut self.pace {
            pace.went(may);
        }
        self.window.went(may, now);
        Some(may)
    }
}

/// Plays streams to a line of 100 Mbit/s; gives the share of each between 20 s and 60 s, and how long an echo waited then (95 of
/// 100).
fn played(trip: Duration, mut streams: Vec<Stream>) -> (Vec<f64>, Duration) {
    let (rate, from, end) = (12.5e6, SECOND * 20, SECOND * 60);
    let mut line: VecDeque<(usize, f64)> = VecDeque::new();
    let (mut queue, mut next_echo, mut now) = (0.0, Duration::ZERO, Duration::ZERO);
    let mut echoes: VecDeque<(Duration, Duration)> = VecDeque::new();
    let mut waits = Vec::new();
    while now < end {
        // Each in turn, so that none is always the first.
        let mut gave = true;
        while std::mem::take(&mut gave) {
            for (n, stream) in streams.iter_mut().enumerate() {
                if let Some(bytes) = stream.gives(now) {
                    line.push_back((n, bytes as f64));
                    queue += bytes as f64;
                    gave = true;
                }
            }
        }
        let mut carries = rate * TICK.as_secs_f64();
        while carries > 0.0
            && let Some((n, left)) = line.front_mut()
        {
            let carried = left.min(carries);
            (*left, carries, queue) = (*left - carried, carries - carried, queue - carried);
            let (stream, done) = (&mut streams[*n], *left <= 0.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes that came")]
            let come = carried as u64;
            stream.arrived += come;
            if now >= from {
                stream.counted += come;
            }
            if done {
                line.pop_front();
            }
        }
        for stream in &mut streams {
            stream.answers.push_back((now + trip, stream.arrived));
            while stream.answers.front().is_some_and(|(at, _)| *at <= now) {
                let (_, taken) = stream.answers.pop_front().unwrap();
                stream.window.taken(taken, now).unwrap();
            }
        }
        if now >= next_echo {
            next_echo = now + ECHO;
            let wait = Duration::from_secs_f64(queue / rate);
            echoes.push_back((now, now + trip + wait));
            if now >= from {
                waits.push(wait);
            }
        }
        while echoes.front().is_some_and(|(_, back)| *back <= now) {
            let (sent, _) = echoes.pop_front().unwrap();
            for stream in streams.iter_mut().filter(|stream| stream.begins <= sent) {
                if let Some(pace) = &mut stream.pace {
                    pace.echo(sent, now);
                }
            }
        }
        now += TICK;
    }
    waits.sort();
    let could = rate * (end - from).as_secs_f64();
    let shares = streams.iter().map(|stream| stream.counted as f64 / could).collect();
    (shares, waits[waits.len() * 95 / 100])
}

#[test]
fn memory_and_the_agents_network_both_go_on_and_a_screen_beside_them_waits_for_little() {
    for ms in [10, 33, 66, 100] {
        for (frames_from, memory_from) in [(0, 5), (5, 0)] {
            for looked_at in [false, true] {
                let frames = Stream::new(SECOND * frames_from, false);
                let memory = Stream::new(SECOND * memory_from, looked_at);
                let (shares, wait) = played(Duration::from_millis(ms), vec![frames, memory]);
                let what = format!(
                    "{ms} ms, frames from {frames_from} s, looked at: {looked_at}: {shares:?}, {wait:?}"
                );
                assert!(shares.iter().all(|share| *share >= 0.1), "{what}");
                assert!(shares.iter().sum::<f64>() >= 0.85, "{what}");
                // The later of the two may have taken the queue of the first for the line's own length.
                assert!(wait <= Duration::from_millis(35), "{what}");
            }
        }
    }
}
