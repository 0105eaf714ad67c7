//! Inputs and what the screen did because of them. The rules are in the crate's description.

use std::collections::VecDeque;
use std::time::Duration;

use crate::blink::Blink;
use crate::{Answer, Input, Readings};

/// Most inputs kept of a window: when there are more, the oldest are forgotten early.
const INPUTS_MAX: usize = 16_384;
/// Most pictures kept of a window, as for inputs.
const PICTURES_MAX: usize = 16_384;
/// Most measurements of the path kept.
const RTTS_MAX: usize = 1024;
/// Pointer motion counts once in this time.
const MOTION: Duration = Duration::from_millis(100);
/// An episode ends when nothing was drawn for this long.
const QUIET: Duration = Duration::from_millis(250);
/// An episode ends this long after its input; an answer later than this is none.
const PATIENCE: Duration = Duration::from_secs(1);
/// Updates nearer than this are one picture.
const ONE_PICTURE: Duration = Duration::from_millis(8);
/// What a screen shows in a second.
const FPS_MAX: f64 = 60.0;
/// The least time the paper's quotient is divided by: an input and its update may have one time.
const LEAST: Duration = Duration::from_millis(1);
/// Of so many inputs one must be answered for the answers to say something.
const ANSWERED: usize = 4;
/// Inputs are told for this long.
const PER: f64 = 10.0;

/// An input that counts.
#[derive(Debug)]
struct Episode {
    at: Duration,
    /// Whether updates may be due to it.
    opens: bool,
    response: Option<Duration>,
    first: Duration,
    last: Duration,
    pictures: u32,
}

impl Episode {
    /// Whether an update at `at` can still belong to it.
    fn lasts(&self, at: Duration) -> bool {
        at - self.at <= PATIENCE && (self.pictures == 0 || at - self.last <= QUIET)
    }

    fn fps(&self) -> Option<f64> {
        (self.pictures > 1).then(|| {
            let rate = f64::from(self.pictures - 1) / (self.last - self.first).as_secs_f64();
            rate.min(FPS_MAX)
        })
    }
}

/// An input as the paper sees it.
#[derive(Debug)]
struct Plain {
    at: Duration,
    input: Input,
    /// Whether it has an episode.
    counts: bool,
    last: Duration,
    updates: u32,
}

/// The windows of inputs, answers and the path.
#[derive(Debug)]
pub(crate) struct Interaction {
    /// Most inputs that are kept.
    most: usize,
    episodes: VecDeque<Episode>,
    /// The episodes from this index on have no answer yet; a count from the window's start.
    waiting: usize,
    plain: VecDeque<Plain>,
    last_motion: Option<Duration>,
    /// Whatever they are due to.
    pictures: VecDeque<Duration>,
    blink: Blink,
    rtts: VecDeque<(Duration, Duration)>,
    last_rtt: Option<Duration>,
}

impl Default for Interaction {
    fn default() -> Interaction {
        Interaction::with_room(INPUTS_MAX)
    }
}

impl Interaction {
    /// One that keeps so many inputs.
    pub(crate) fn with_room(most: usize) -> Interaction {
        Interaction {
            most,
            episodes: VecDeque::new(),
            waiting: 0,
            plain: VecDeque::new(),
            last_motion: None,
            pictures: VecDeque::new(),
            blink: Blink::default(),
            rtts: VecDeque::new(),
            last_rtt: None,
        }
    }

    /// The user did something.
    pub(crate) fn input(&mut self, at: Duration, input: Input) {
        self.blink.input();
        bounded(&mut self.plain, self.most);
        let often = input == Input::Motion && self.last_motion.is_some_and(|last| at - last < MOTION);
        self.plain.push_back(Plain { at, input, counts: !often, last: at, updates: 0 });
        if often {
            return;
        }
        if input == Input::Motion {
            self.last_motion = Some(at);
        }
        if bounded(&mut self.episodes, self.most) {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let opens = input != Input::Key { down: false };
        self.episodes.push_back(Episode { at, opens, response: None, first: at, last: at, pictures: 0 });
    }

    /// The screen changed; `area` is unknown for GL frames.
    pub(crate) fn update(&mut self, at: Duration, area: Option<u64>) {
        if let Some(newest) = self.plain.back_mut() {
            newest.updates = newest.updates.saturating_add(1);
            newest.last = at;
        }
        if area.is_some_and(|area| self.blink.is_blink(at, area)) {
            return;
        }
        if self.pictures.back().is_none_or(|last| at - *last >= ONE_PICTURE) {
            bounded(&mut self.pictures, PICTURES_MAX);
            self.pictures.push_back(at);
        }
        let Some(caused_before) = at.checked_sub(self.path()) else { return };
        let old_enough = self.episodes.partition_point(|episode| episode.at <= caused_before);
        for episode in self.episodes.range_mut(self.waiting.min(old_enough)..old_enough) {
            if episode.opens && at - episode.at <= PATIENCE {
                episode.response = Some(at - episode.at);
            }
        }
        self.waiting = self.waiting.max(old_enough);
        let newest = self.episodes.range_mut(..old_enough).rev().find(|episode| episode.opens);
        let Some(newest) = newest.filter(|episode| episode.lasts(at)) else { return };
        if newest.pictures == 0 {
            newest.first = at;
        } else if at - newest.last < ONE_PICTURE {
            return;
        }
        newest.pictures = newest.pictures.saturating_add(1);
        newest.last = at;
    }

    /// The path was measured.
    pub(crate) fn rtt(&mut self, at: Duration, rtt: Duration) {
        bounded(&mut self.rtts, RTTS_MAX);
        self.rtts.push_back((at, rtt));
        self.last_rtt = Some(rtt);
    }

    /// The path's round trip: the least measured in the window, else the last known, else 0.
    fn path(&self) -> Duration {
        self.rtts.iter().map(|(_, rtt)| *rtt).min().or(self.last_rtt).unwrap_or_default()
    }

    /// Forgets what happened before `oldest`.
    pub(crate) fn forget(&mut self, oldest: Duration) {
        while self.episodes.front().is_some_and(|episode| episode.at < oldest) {
            self.episodes.pop_front();
            self.waiting = self.waiting.saturating_sub(1);
        }
        while self.plain.front().is_some_and(|plain| plain.at < oldest) {
            self.plain.pop_front();
        }
        while self.pictures.front().is_some_and(|at| *at < oldest) {
            self.pictures.pop_front();
        }
        self.forget_paths(oldest);
    }

    /// Forgets how the path was before `oldest`.
    pub(crate) fn forget_paths(&mut self, oldest: Duration) {
        while self.rtts.front().is_some_and(|(at, _)| *at < oldest) {
            self.rtts.pop_front();
        }
    }

    /// Every input that is kept, oldest first.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let mut episodes = self.episodes.iter().rev();
        let mut all: Vec<Answer> = Vec::with_capacity(self.plain.len());
        for plain in self.plain.iter().rev() {
            let episode = if plain.counts { episodes.next() } else { None };
            all.push(Answer {
                at: plain.at,
                input: plain.input,
                counts: plain.counts,
                updates: plain.updates,
                fps_paper: (plain.updates > 0).then(|| plain.fps()),
                fps: episode.and_then(Episode::fps),
                response: episode.and_then(|episode| episode.response),
            });
        }
        all.reverse();
        all
    }

    /// Says what the window holds; its length is in `readings`.
    pub(crate) fn read(&self, at: Duration, readings: &mut Readings) {
        let count = u32::try_from(self.episodes.len()).unwrap_or(u32::MAX);
        readings.inputs = Some(f64::from(count) * PER / readings.span.as_secs_f64());
        let pictures = u32::try_from(self.pictures.len()).unwrap_or(u32::MAX);
        readings.updates = Some(f64::from(pictures) / readings.span.as_secs_f64());
        let responses: Vec<f64> = self
            .episodes
            .iter()
            .filter_map(|episode| episode.response)
            .map(|response| response.as_secs_f64() * 1000.0)
            .collect();
        let given_up =
            |episode: &&Episode| episode.opens && episode.response.is_none() && at - episode.at > PATIENCE;
        let unanswered = self.episodes.iter().filter(given_up).count();
        readings.unanswered = u32::try_from(unanswered).unwrap_or(u32::MAX);
        if responses.len() * ANSWERED >= responses.len() + unanswered {
            readings.fps = median(self.episodes.iter().filter_map(Episode::fps).collect());
            readings.response = median(responses);
        }
        let answered: Vec<f64> =
            self.plain.iter().filter(|plain| plain.updates > 0).map(Plain::fps).collect();
        readings.fps_paper = mean(&answered);
        readings.rtt = self.last_rtt.map(|_| self.path().as_secs_f64() * 1000.0);
    }
}

impl Plain {
    fn fps(&self) -> f64 {
        f64::from(self.updates) / (self.last - self.at).max(LEAST).as_secs_f64()
    }
}

/// Makes room for one more; whether that took the oldest.
fn bounded<T>(queue: &mut VecDeque<T>, most: usize) -> bool {
    queue.len() >= most && queue.pop_front().is_some()
}

/// Mean of what there is.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
    Some(values.iter().sum::<f64>() / f64::from(count))
}

/// Median of what there is; of an even number the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(middle.checked_sub(1)?).map(|lower| f64::midpoint(*lower, upper))
}
