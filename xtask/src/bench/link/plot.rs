//! `sync` over lines of one rate and several lengths, as a drawing.

use std::time::Duration;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::sync::{self, Rates};
use super::{Arguments, Bench};
use crate::wan::show_rate;
use crate::workspace;

/// Round trips, in milliseconds.
const ROUND_TRIPS: [u32; 4] = [10, 33, 66, 100];
const SIZE: (u32, u32) = (720, 420);

/// Measures and draws.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    let mut rows = Vec::new();
    for round_trip in ROUND_TRIPS {
        let mut there = arguments.clone();
        there.wan.rtt = Duration::from_millis(round_trip.into());
        println!("\nround trip {round_trip} ms");
        rows.push((f64::from(round_trip), sync::measure(&Bench::make(&there)?, &there)?));
    }
    let file = workspace::root().join("docs/bench/link.svg");
    let svg = draw(&rows, arguments).map_err(|e| anyhow!("the drawing failed: {e}"))?;
    std::fs::write(&file, svg)?;
    println!("drawn: {}", file.display());
    Ok(())
}

type Curve = (String, RGBColor, fn(&Rates) -> f64);

fn draw(rows: &[(f64, Rates)], arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let rate = arguments.wan.rate as f64 / 1e6;
    let ssh = format!("ssh cat, {} at once", arguments.connections);
    let curves: [Curve; 3] = [
        ("iperf3".to_owned(), RGBColor(120, 120, 120), |rates| rates.iperf),
        ("wandisk sync".to_owned(), RGBColor(0, 90, 200), |rates| rates.ours),
        (ssh, RGBColor(210, 90, 0), |rates| rates.ssh),
    ];
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let title = format!("Payload over a line of {}", show_rate(arguments.wan.rate as f64));
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..110.0, 0.0..rate * 1.05)?;
        chart.configure_mesh().x_desc("round trip, ms").y_desc("Mbit/s").draw()?;
        for (name, color, of) in &curves {
            let points: Vec<(f64, f64)> = rows.iter().map(|(at, rates)| (*at, of(rates) / 1e6)).collect();
            chart
                .draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?
                .label(name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
            chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, color.filled())))?;
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
    use crate::bench::link::What;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn every_curve_is_drawn() {
        let arguments = Line::parse_from(["link", "plot", "--connections", "6"]).arguments;
        assert_eq!(arguments.what, What::Plot);
        let rates = Rates { ours: 90e6, ssh: 50e6, iperf: 96e6 };
        let svg = draw(&[(10.0, rates), (100.0, rates)], &arguments).unwrap();
        for name in ["wandisk sync", "ssh cat, 6 at once", "iperf3"] {
            assert!(svg.contains(name), "{svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
    }
}
