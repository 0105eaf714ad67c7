//! A report's folder, written and read again.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use sensors::{Answer, Input};

use super::{Cdf, Measure, ReportError, Summary, draw};
use crate::redux::replay::Replayed;

/// Largest table that is read.
const TABLE_MAX: u64 = 256 << 20;
const INPUTS: &str = "inputs.csv";
const INPUTS_HEAD: &str = "seconds,input,counts,updates,fps_paper,fps,response_ms";

/// Writes a replay's report; `name` stands in its pictures.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, name: &str, replayed: &Replayed) -> Result<Summary, ReportError> {
    let summary = Summary::of(replayed);
    put(&folder.join(INPUTS), &inputs(&replayed.answers))?;
    put(&folder.join("buttons.csv"), &buttons(replayed))?;
    let json =
        serde_json::to_string_pretty(&summary).map_err(|fault| ReportError::Draw(fault.to_string()))?;
    put(&folder.join("summary.json"), &(json + "\n"))?;
    for measure in Measure::ALL {
        let cdf = Cdf::of(measure, &replayed.answers);
        let file = |end: &str| folder.join(format!("{}.{end}", measure.name()));
        put(&file("csv"), &table(&cdf))?;
        put(&file("svg"), &draw(measure, &[(name.to_owned(), cdf)])?)?;
    }
    Ok(summary)
}

/// Reads what every input got from a report's folder.
///
/// # Errors
/// When there is no such table, or it is none; its line is told.
pub fn read(folder: &Path) -> Result<Vec<Answer>, ReportError> {
    let path = folder.join(INPUTS);
    let file = |source| ReportError::File { path: path.clone(), source };
    let mut text = String::new();
    std::fs::File::open(&path).map_err(file)?.take(TABLE_MAX).read_to_string(&mut text).map_err(file)?;
    let fault = |line, fault| ReportError::Table { path: path.clone(), line, fault };
    let mut lines = text.lines();
    if lines.next() != Some(INPUTS_HEAD) {
        return Err(fault(1, "is no table of inputs"));
    }
    (2..).zip(lines).map(|(line, text)| answer(text).map_err(|what| fault(line, what))).collect()
}

fn put(path: &Path, text: &str) -> Result<(), ReportError> {
    std::fs::write(path, text).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

fn table(cdf: &Cdf) -> String {
    let mut text = "value,share\n".to_owned();
    for (value, share) in cdf.points() {
        writeln!(text, "{value:.3},{share:.6}").ok();
    }
    text
}

fn inputs(answers: &[Answer]) -> String {
    let mut text = format!("{INPUTS_HEAD}\n");
    let field = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    for answer in answers {
        writeln!(
            text,
            "{:.6},{},{},{},{},{},{}",
            answer.at.as_secs_f64(),
            word(answer.input),
            u8::from(answer.counts),
            answer.updates,
            field(answer.fps_paper),
            field(answer.fps),
            field(Measure::Response.of(answer)),
        )
        .ok();
    }
    text
}

fn buttons(replayed: &Replayed) -> String {
    let mut text = "input,due_seconds,waited_ms,mismatches_first,mismatches_last\n".to_owned();
    for check in &replayed.checks {
        let (due, waited) = (check.due.as_secs_f64(), check.waited.as_secs_f64() * 1e3);
        writeln!(text, "{},{due:.6},{waited:.3},{},{}", check.input, check.first, check.last).ok();
    }
    text
}

const WORDS: [(&str, Input); 6] = [
    ("press", Input::Key { down: true }),
    ("release", Input::Key { down: false }),
    ("button", Input::Button { down: true }),
    ("button-release", Input::Button { down: false }),
    ("wheel", Input::Wheel),
    ("motion", Input::Motion),
];

fn word(input: Input) -> &'static str {
    WORDS.iter().find(|(_, known)| *known == input).map_or("", |(word, _)| word)
}

fn answer(line: &str) -> Result<Answer, &'static str> {
    let fields: Vec<&str> = line.split(',').collect();
    let [at, input, counts, updates, fps_paper, fps, response] = fields[..] else {
        return Err("has not seven fields");
    };
    let optional = |text: &str| match text {
        "" => Ok(None),
        text => number(text).map(Some),
    };
    let seconds = |seconds| Duration::try_from_secs_f64(seconds).map_err(|_| "is no time");
    let (_, input) = WORDS.iter().find(|(word, _)| *word == input).ok_or("is no input")?;
    Ok(Answer {
        at: seconds(number(at)?)?,
        input: *input,
        counts: counts == "1",
        updates: updates.parse().map_err(|_| "is no number of updates")?,
        fps_paper: optional(fps_paper)?,
        fps: optional(fps)?,
        response: optional(response)?.map(|ms| seconds(ms / 1e3)).transpose()?,
    })
}

fn number(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or("is no number")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;
    use crate::redux::schedule::Check;

    fn replayed() -> Replayed {
        let ms = Duration::from_millis;
        let inputs = WORDS.iter().map(|(_, input)| *input);
        let answers = (1u32..).zip(inputs).map(|(n, input)| Answer {
            at: ms(u64::from(n) * 100),
            input,
            counts: n % 2 == 0,
            updates: n,
            fps_paper: Some(f64::from(n) * 7.5),
            fps: (n > 3).then_some(f64::from(n) * 6.0),
            response: (n > 1).then_some(ms(10 * u64::from(n))),
        });
        let check = Check { input: 2, due: ms(300), waited: ms(40), first: 900, last: 3 };
        Replayed { attempts: 2, answers: answers.collect(), checks: vec![check], took: ms(2500) }
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let replayed = replayed();
        let summary = write(dir.path(), "test", &replayed).unwrap();
        assert_eq!(read(dir.path()).unwrap(), replayed.answers);
        assert_eq!(summary.fps_median, Some(30.0));
        assert_eq!(summary.fps_crisp_share, Some(1.0));
        assert_eq!((summary.response_median_ms, summary.response_p95_ms), (Some(40.0), Some(60.0)));
        assert_eq!((summary.inputs, summary.counted, summary.mismatches_most), (6, 3, 3));
        let file = std::fs::read_to_string(dir.path().join("summary.json")).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&file).unwrap(), summary);
        for measure in Measure::ALL {
            assert!(dir.path().join(format!("{}.svg", measure.name())).exists());
        }
    }

    #[test]
    fn a_table_that_is_none_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(INPUTS);
        for (text, part) in [
            ("value,share\n", "line 1"),
            ("1,motion,1,0,,,\n2,motion,1,0,,\n", "line 3"),
            ("1,motion,1,0,inf,,\n", "line 2"),
            ("-1,motion,1,0,,,\n", "line 2"),
            ("1,jump,1,0,,,\n", "is no input"),
        ] {
            let head = if part == "line 1" { "" } else { INPUTS_HEAD };
            std::fs::write(&file, format!("{head}\n{text}").trim_start()).unwrap();
            let error = read(dir.path()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
