//! How long crunches take, as bars: a part of the drawing a job.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::kept::Row;
use super::tables::jobs;

const SIZE: (u32, u32) = (900, 420);

type Failed = Box<dyn std::error::Error>;

/// Draws to a file, unless nothing was measured.
pub(super) fn draw_to(file: &Path, rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let svg = draw(rows).map_err(|e| anyhow!("the drawing failed: {e}"))?;
    std::fs::write(file, svg)?;
    println!("drawn: {}", file.display());
    Ok(())
}

fn draw(rows: &[Row]) -> Result<String, Failed> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let names = jobs(rows);
        for (part, job) in area.split_evenly((1, names.len())).iter().zip(names) {
            bars(part, job, rows)?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// What a mode is called, its color, and round trips and seconds.
type Group = (&'static str, RGBColor, Vec<(u64, f64)>);

/// From left to right: the desk, the server, Snowbird; each by round trip.
fn groups(job: &str, rows: &[Row]) -> Vec<Group> {
    let modes = [
        ("desk", "desk", RGBColor(200, 90, 60)),
        ("server", "server", RGBColor(90, 90, 90)),
        ("snowbird", "Snowbird", RGBColor(0, 90, 200)),
    ];
    let of = |mode: &str| {
        let rows = rows.iter().filter(|row| row.job == job && row.mode == mode);
        rows.map(|row| (row.rtt_ms, row.crunch_s)).collect::<Vec<_>>()
    };
    let groups = modes.map(|(mode, name, color)| (name, color, of(mode)));
    groups.into_iter().filter(|(_, _, bars)| !bars.is_empty()).collect()
}

fn bars(area: &DrawingArea<SVGBackend<'_>, Shift>, job: &str, rows: &[Row]) -> Result<(), Failed> {
    let groups = groups(job, rows);
    let bars = || groups.iter().flat_map(|(_, _, bars)| bars);
    let most = bars().map(|(_, seconds)| *seconds).fold(1.0, f64::max);
    let width = bars().count() as f64;
    // Below 0 is room for the names.
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{job}: crunch, s (below: round trip, ms)"), ("sans-serif", 17))
        .margin(12)
        .y_label_area_size(45)
        .build_cartesian_2d(0.0..width, -most * 0.14..most * 1.12)?;
    let seconds = |at: &f64| if *at < 0.0 { String::new() } else { format!("{at:.0}") };
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().disable_x_axis().light_line_style(TRANSPARENT).y_labels(6);
    mesh.y_label_formatter(&seconds).draw()?;
    let written = |size: u32, at: VPos| {
        ("sans-serif", size).into_font().into_text_style(area).pos(Pos::new(HPos::Center, at))
    };
    let mut place = 0.0;
    for (name, color, bars) in &groups {
        let middle = place + bars.len() as f64 / 2.0;
        chart.draw_series([Text::new(*name, (middle, -most * 0.075), written(14, VPos::Top))])?;
        for (rtt_ms, seconds) in bars {
            let corners = [(place + 0.12, 0.0), (place + 0.88, *seconds)];
            chart.draw_series([Rectangle::new(corners, color.filled())])?;
            let middle = place + 0.5;
            let text = [
                Text::new(format!("{seconds:.0}"), (middle, *seconds), written(14, VPos::Bottom)),
                Text::new(rtt_ms.to_string(), (middle, -most * 0.015), written(12, VPos::Top)),
            ];
            chart.draw_series(text)?;
            place += 1.0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crunch_is_a_bar() {
        let row = |job: &str, mode: &str, rtt_ms| Row {
            job: job.to_owned(),
            mode: mode.to_owned(),
            rtt_ms,
            size: String::new(),
            crunch_s: 60.0,
            there: None,
            back: None,
            seen: None,
        };
        let rows =
            [row("render", "desk", 66), row("render", "snowbird", 33), row("surfaces", "snowbird", 33)];
        let svg = draw(&rows).unwrap();
        let texts = |text: &str| svg.lines().filter(|line| line.trim() == text).count();
        assert_eq!(["Snowbird", "desk", "server", "33", "66"].map(texts), [2, 1, 0, 2, 1]);
        assert!(svg.contains("surfaces: crunch"));
    }
}
