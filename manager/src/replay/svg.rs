//! A replay as a picture: readings over time, and below them states, places and moves.

use std::fmt::Write;

use super::{Poll, Replay};

/// Width of the picture's plots, and what is left of them for names.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 110.0;
/// Height of a plot, of a band, and of the gap below each.
const PLOT: f64 = 70.0;
const BAND: f64 = 24.0;
const GAP: f64 = 16.0;
/// About the width of a letter, which only the viewer knows.
const LETTER: f64 = 6.6;
/// Most points of a line: more polls are thinned out, keeping the greatest of each group.
const POINTS_MAX: usize = 1000;
const COLOURS: [&str; 8] =
    ["#8ecae6", "#ffb703", "#b5e48c", "#e5989b", "#cdb4db", "#a8dadc", "#f4a261", "#bcb8b1"];

/// Draws a replay.
#[must_use]
pub fn svg(replay: &Replay) -> String {
    let length = replay.length.as_secs_f64().max(1.0);
    let mut picture = Picture { body: String::new(), y: 40.0, length, names: Vec::new() };
    for sensor in sensors(replay) {
        picture.plot(replay, &sensor);
    }
    if let Some(phases) = truth(replay) {
        picture.band("phase (told)", &phases);
    }
    picture.band("state", &runs(&replay.polls, |poll| poll.state.clone()));
    picture.band(
        "site",
        &runs(&replay.polls, |poll| if poll.moving { format!("{} …", poll.site) } else { poll.site.clone() }),
    );
    let bottom = picture.y - GAP;
    picture.axis();
    for (decision, to) in replay.moves() {
        let x = picture.x(decision.at.as_secs_f64());
        let title = escaped(&format!("{:.1} s: {}", decision.at.as_secs_f64(), decision.sentence()));
        let label = escaped(&format!("→ {to}"));
        write!(picture.body, "<g><title>{title}</title><path d=\"M{x:.1} 34V{bottom:.1}\" stroke=\"#d00\" stroke-dasharray=\"4 3\"/>").ok();
        writeln!(
            picture.body,
            "<text x=\"{x:.1}\" y=\"30\" fill=\"#d00\" text-anchor=\"middle\">{label}</text></g>"
        )
        .ok();
    }
    let (width, height) = (LEFT + WIDTH + 20.0, picture.y + 10.0);
    let title = escaped(&format!("{}: {}", replay.profile, replay.trace.made));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"14\">{title}</text>\n{}</svg>\n",
        picture.body
    )
}

struct Picture {
    body: String,
    y: f64,
    length: f64,
    /// What bands show, in the order of its colours: one name has one colour in all of them.
    names: Vec<String>,
}

impl Picture {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds.min(self.length) / self.length * WIDTH
    }

    fn plot(&mut self, replay: &Replay, sensor: &str) {
        let values: Vec<(f64, Option<f64>)> =
            replay.polls.iter().map(|poll| (poll.at.as_secs_f64(), poll.readings.get(sensor))).collect();
        let top = values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
        let top = if unit(sensor) == "share" { 1.0 } else { nice(top) };
        let (y, bottom, right) = (self.y, self.y + PLOT, LEFT + WIDTH);
        write!(
            self.body,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{PLOT}\" fill=\"#f7f7f7\"/>"
        )
        .ok();
        let name = escaped(sensor);
        write!(self.body, "<text x=\"4\" y=\"{:.1}\">{name}</text>", y + PLOT / 2.0).ok();
        let unit = unit(sensor);
        write!(self.body, "<text x=\"4\" y=\"{:.1}\" fill=\"#777\">{unit}</text>", y + PLOT / 2.0 + 15.0)
            .ok();
        write!(
            self.body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#777\">{}</text>",
            LEFT - 4.0,
            y + 10.0,
            short(top)
        )
        .ok();
        write!(self.body, "<path d=\"M{LEFT} {bottom}H{right}\" stroke=\"#ccc\"/>").ok();
        let mut path = String::new();
        let mut pen_down = false;
        for group in values.chunks(values.len().div_ceil(POINTS_MAX).max(1)) {
            let value = group.iter().filter_map(|(_, value)| *value).reduce(f64::max);
            let (Some((at, _)), Some(value)) = (group.first(), value) else {
                pen_down = false;
                continue;
            };
            let height = bottom - (value / top).clamp(0.0, 1.0) * PLOT;
            write!(path, "{}{:.1} {height:.1}", if pen_down { 'L' } else { 'M' }, self.x(*at)).ok();
            pen_down = true;
        }
        writeln!(self.body, "<path d=\"{path}\" fill=\"none\" stroke=\"#1d3557\" stroke-width=\"1.5\"/>")
            .ok();
        self.y += PLOT + GAP;
    }

    fn band(&mut self, name: &str, runs: &[(f64, f64, String)]) {
        write!(self.body, "<text x=\"4\" y=\"{:.1}\">{}</text>", self.y + BAND * 0.7, escaped(name)).ok();
        for (begin, end, what) in runs {
            let colour = self.colour(what.trim_end_matches(" …"));
            let (x, width) = (self.x(*begin), self.x(*end) - self.x(*begin));
            let y = self.y;
            let what = escaped(what);
            write!(self.body, "<g><title>{what}: {begin:.1} to {end:.1} s</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAND}\" fill=\"{colour}\"/>").ok();
            if width > what.chars().count() as f64 * LETTER + 8.0 {
                write!(self.body, "<text x=\"{:.1}\" y=\"{:.1}\">{what}</text>", x + 4.0, y + BAND * 0.7)
                    .ok();
            }
            writeln!(self.body, "</g>").ok();
        }
        self.y += BAND + GAP;
    }

    /// Nobody's time is grey.
    fn colour(&mut self, name: &str) -> &'static str {
        if name.is_empty() {
            return "#eee";
        }
        let index = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        COLOURS[index % COLOURS.len()]
    }

    fn axis(&mut self) {
        let step = nice(self.length / 10.0).max(1.0);
        let mut at = 0.0;
        while at <= self.length {
            write!(
                self.body,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#777\">{at:.0} s</text>",
                self.x(at),
                self.y
            )
            .ok();
            at += step;
        }
        self.body.push('\n');
        self.y += 20.0;
    }
}

/// Sensors that said something.
fn sensors(replay: &Replay) -> Vec<String> {
    let mut names: Vec<String> =
        ["inputs", "fps", "updates", "response", "busiest", "cpu", "net_in", "net_out", "net_wait"]
            .map(str::to_owned)
            .into();
    let external = replay.polls.iter().flat_map(|poll| poll.readings.external.keys());
    for name in external {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names.retain(|name| replay.polls.iter().any(|poll| poll.readings.get(name).is_some()));
    names
}

/// The phases that whoever made the trace knows of.
fn truth(replay: &Replay) -> Option<Vec<(f64, f64, String)>> {
    let phases = &replay.trace.phases;
    let ends =
        phases.iter().skip(1).map(|phase| phase.at().as_secs_f64()).chain([replay.length.as_secs_f64()]);
    let runs: Vec<_> = phases
        .iter()
        .zip(ends)
        .map(|(phase, end)| (phase.at().as_secs_f64(), end, phase.state.clone()))
        .collect();
    // One phase told twice is one.
    let mut merged: Vec<(f64, f64, String)> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(last) if last.2 == run.2 => last.1 = run.1,
            _ => merged.push(run),
        }
    }
    (!merged.is_empty()).then_some(merged)
}

/// Stretches of polls that say the same.
fn runs(polls: &[Poll], what: impl Fn(&Poll) -> String) -> Vec<(f64, f64, String)> {
    let mut runs: Vec<(f64, f64, String)> = Vec::new();
    for poll in polls {
        let (at, what) = (poll.at.as_secs_f64(), what(poll));
        match runs.last_mut() {
            Some((_, end, last)) if *last == what => *end = at,
            _ => {
                let begin = runs.last().map_or(0.0, |(_, end, _)| *end);
                runs.push((begin, at, what));
            }
        }
    }
    runs
}

/// What a sensor's values are of.
fn unit(sensor: &str) -> &'static str {
    match sensor.split(':').next().unwrap_or_default() {
        "inputs" => "in 10 s",
        "fps" | "fps_paper" | "updates" => "frames/s",
        "response" | "rtt" => "ms",
        "cpu" | "busiest" | "host" | "net_wait" | "demand" => "share",
        "net_in" | "net_out" => "bytes/s",
        _ => "",
    }
}

/// The next of 1, 2, 5 × a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(10.0 * power)
}

fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}

fn escaped(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean
        .collect::<String>()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
