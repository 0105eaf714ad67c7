//! Frames a second against the round trip, as a drawing.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::fps::Table;

const SIZE: (u32, u32) = (720, 420);

/// Draws to a file.
pub(crate) fn draw_to(file: &Path, tables: &[Table]) -> Result<()> {
    let svg = draw(tables).map_err(|e| anyhow!("the drawing failed: {e}"))?;
    std::fs::write(file, svg)?;
    println!("drawn: {}", file.display());
    Ok(())
}

fn draw(tables: &[Table]) -> Result<String, Box<dyn std::error::Error>> {
    // By the proxy, and without it.
    let colors =
        [(RGBColor(0, 90, 200), RGBColor(140, 180, 230)), (RGBColor(0, 140, 60), RGBColor(140, 205, 160))];
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Frames a second of a 60 Hz source, 100 Mbit/s", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(0.0..110.0, 0.0..70.0)?;
        chart.configure_mesh().x_desc("round trip, ms").y_desc("frames a second").draw()?;
        for (table, (color, pale)) in tables.iter().zip(colors) {
            let near = [(0.0, table.near)];
            let pull = table.far.iter().map(|(trip, pull, _)| (*trip as f64, *pull));
            let proxy = table.far.iter().map(|(trip, _, proxy)| (*trip as f64, *proxy));
            let curves: [(_, _, Vec<(f64, f64)>); 2] = [
                ("the proxy", color, near.into_iter().chain(proxy).collect()),
                ("a viewer that pulls", pale, near.into_iter().chain(pull).collect()),
            ];
            for (who, color, points) in curves {
                chart
                    .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
                    .label(format!("{}, {who}", table.name))
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
                chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_drawn() {
        let table = |name| Table { name, near: 60.0, far: vec![(33, 20.0, 59.0), (100, 9.0, 58.0)] };
        let svg = draw(&[table("Xvnc"), table("QEMU")]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 12);
        assert!(svg.contains("QEMU, the proxy"));
    }
}
