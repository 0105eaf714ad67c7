//! Cost against size, and cost against chunks written, side by side as one drawing.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Row;

const SIZE: (u32, u32) = (960, 420);
/// Milliseconds that are drawn at least.
const LEAST: f64 = 1.0;
const MOST: f64 = 1000.0;
/// Room for the last number below an axis.
const RIGHT: u32 = 36;

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
        half(&left, "10 000 chunks written, by the disk's size", "GiB", (sized, &[]), |row| row.gib as f64)?;
        // A logarithm has no place for none. Disks of another size are no part of the curve.
        let largest = written.iter().map(|row| row.gib).max().unwrap_or_default();
        let (of_largest, others): (Vec<Row>, Vec<Row>) =
            written.iter().copied().filter(|row| row.written > 0).partition(|row| row.gib == largest);
        let title = match others.first() {
            Some(other) => format!("of {largest} GiB, by chunks written (rings: of {} GiB)", other.gib),
            None => format!("of {largest} GiB, by chunks written"),
        };
        half(&right, &title, "chunks", (&of_largest, &others), |row| row.written as f64)?;
        area.present()?;
    }
    Ok(svg)
}

/// Name, color, seconds.
type Curve = (&'static str, RGBColor, fn(&Row) -> f64);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A number as an axis shows it.
fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

/// The rows of a curve, and those that are shown beside it.
fn half(
    area: &Area<'_>,
    title: &str,
    unit: &str,
    (joined, apart): (&[Row], &[Row]),
    at: fn(&Row) -> f64,
) -> Result<(), Failed> {
    let rows = || joined.iter().chain(apart);
    let ends = rows().map(at).fold((f64::MAX, 1.0), |(low, high), x| (low.min(x), f64::max(high, x)));
    let slowest = rows().map(|row| row.attach.max(row.status).max(row.moved)).max().unwrap_or_default();
    // Up to the next power of ten.
    let most = 10_f64.powf((slowest.as_secs_f64() * 1e3).max(MOST).log10().ceil());
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .margin_right(RIGHT)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((ends.0 * 0.8..ends.1 * 1.25).log_scale(), (LEAST..most).log_scale())?;
    let shown = |value: &f64| number(*value);
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(unit).y_desc("ms").x_label_formatter(&shown).y_label_formatter(&shown).draw()?;
    let curves: [Curve; 3] = [
        ("attach", RGBColor(0, 90, 200), |row| row.attach.as_secs_f64()),
        ("status", RGBColor(120, 120, 120), |row| row.status.as_secs_f64()),
        ("move", RGBColor(210, 90, 0), |row| row.moved.as_secs_f64()),
    ];
    for (name, color, of) in curves {
        let point = |row: &Row| (at(row), (of(row) * 1e3).max(LEAST));
        let points: Vec<(f64, f64)> = joined.iter().map(point).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
        let rings = apart.iter().map(|row| Circle::new(point(row), 4, color.stroke_width(2)));
        chart.draw_series(rings)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
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
        // One that is no part of the curve.
        let svg = draw(&[row(2, 10), row(8192, 10)], &[row(8, 10), row(8, 1000), row(1, 1000)]).unwrap();
        assert!(svg.contains("rings: of 1 GiB"), "{svg}");
    }

    #[test]
    fn numbers_are_shown_without_parts_and_in_threes() {
        assert_eq!([1.0, 100.0, 1000.0, 8_388_608.0].map(number), ["1", "100", "1 000", "8 388 608"]);
    }
}
