//! Cost against size, and cost against chunks written, side by side as one drawing.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Row;

const SIZE: (u32, u32) = (960, 420);
/// Milliseconds that are drawn.
const LEAST: f64 = 1.0;
const MOST: f64 = 100_000.0;

type Failed = Box<dyn std::error::Error>;

/// Draws to a file.
pub(super) fn draw_to(file: &Path, sized: &[Row], written: &[Row]) -> Result<()> {
    let svg = draw(sized, written).map_err(|e| anyhow!("the drawing failed: {e}"))?;
    std::fs::write(file, svg)?;
    println!("drawn: {}", file.display());
    Ok(())
}

fn draw(sized: &[Row], written: &[Row]) -> Result<String, Failed> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        half(&left, "size, 10 000 chunks written", "GiB", sized, |row| row.gib as f64)?;
        // A logarithm has no place for none.
        let some: Vec<Row> = written.iter().copied().filter(|row| row.written > 0).collect();
        half(&right, "chunks written", "chunks", &some, |row| row.written as f64)?;
        area.present()?;
    }
    Ok(svg)
}

/// Name, color, seconds.
type Curve = (&'static str, RGBColor, fn(&Row) -> f64);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn half(area: &Area<'_>, title: &str, unit: &str, rows: &[Row], at: fn(&Row) -> f64) -> Result<(), Failed> {
    let ends = rows.iter().map(at).fold((f64::MAX, 1.0), |(low, high), x| (low.min(x), f64::max(high, x)));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((ends.0 * 0.8..ends.1 * 1.25).log_scale(), (LEAST..MOST).log_scale())?;
    chart.configure_mesh().x_desc(unit).y_desc("ms").draw()?;
    let curves: [Curve; 3] = [
        ("attach", RGBColor(0, 90, 200), |row| row.attach.as_secs_f64()),
        ("status", RGBColor(120, 120, 120), |row| row.status.as_secs_f64()),
        ("move", RGBColor(210, 90, 0), |row| row.moved.as_secs_f64()),
    ];
    for (name, color, of) in curves {
        let points: Vec<(f64, f64)> = rows.iter().map(|row| (at(row), (of(row) * 1e3).max(LEAST))).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_figure_is_drawn_but_those_of_nothing_written() {
        let row = |gib, written| Row {
            gib,
            written,
            attach: Duration::from_millis(20),
            status: Duration::from_micros(9),
            moved: Duration::from_millis(90),
            memory: 1,
        };
        let svg = draw(&[row(2, 10), row(8192, 10)], &[row(1, 0), row(1, 10), row(1, 1000)]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 12);
        for name in ["attach", "status", "move"] {
            assert_eq!(svg.matches(name).count(), 2, "{name}");
        }
    }
}
