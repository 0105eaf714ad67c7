//! Distributions as a picture: the share of inputs over the value, a line for each replay.

use plotters::prelude::*;

use super::{CRISP_FPS, Cdf, Measure, ReportError};

const SIZE: (u32, u32) = (1000, 500);
/// Beside the picture, for the names: inside they would hide lines.
const NAMES: u32 = 240;
/// Told apart on white, also by people who see fewer colours (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Draws distributions of a measure, with their names, as SVG.
///
/// # Errors
/// When plotting fails.
pub fn draw(measure: Measure, all: &[(String, Cdf)]) -> Result<String, ReportError> {
    let mut svg = String::new();
    plot(measure, all, &mut svg).map_err(|fault| ReportError::Draw(fault.to_string()))?;
    Ok(svg)
}

fn plot(measure: Measure, all: &[(String, Cdf)], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let right = match measure {
        Measure::Fps => 62.0,
        // The long tail of a few inputs would press all others to the left edge.
        Measure::FpsPaper => 200.0,
        Measure::Response => {
            let most = all.iter().filter_map(|(_, cdf)| cdf.quantile(1.0)).fold(0.0, f64::max);
            (most * 1.05).max(10.0)
        }
    };
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (picture, names) = root.split_horizontally(SIZE.0 - NAMES);
    let mut chart = ChartBuilder::on(&picture)
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..right, 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(measure.title())
        .y_desc("share of inputs")
        .y_label_formatter(&|share| format!("{share:.1}"))
        .x_label_formatter(&|value| format!("{value:.0}"))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .draw()?;
    if measure != Measure::Response {
        let crisp = [(CRISP_FPS, 0.0), (CRISP_FPS, 1.0)];
        chart.draw_series(LineSeries::new(crisp, BLACK.mix(0.35)))?;
    }
    for (at, (name, cdf)) in all.iter().enumerate() {
        let style = COLOURS[at % COLOURS.len()].stroke_width(2);
        // Steps: the share stays until the next value, and to both edges.
        let mut line = vec![(0.0, 0.0)];
        let mut share = 0.0;
        for (value, up_to) in cdf.points() {
            let value = value.min(right);
            line.extend([(value, share), (value, up_to)]);
            share = up_to;
        }
        line.push((right, share));
        chart.draw_series(LineSeries::new(line, style))?;
        let row = 24 + 22 * i32::try_from(at)?;
        names.draw(&PathElement::new([(0, row), (22, row)], style))?;
        let label = format!("{name} ({} inputs)", cdf.len());
        names.draw(&Text::new(label, (28, row - 8), ("sans-serif", 14)))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    #[test]
    fn every_replay_has_its_line_and_its_name() {
        let all = [("local", vec![60.0, 58.0]), ("remote <100 ms>", vec![9.0]), ("none", vec![])];
        let all = all.map(|(name, values)| (name.to_owned(), Cdf::new(values)));
        for measure in Measure::ALL {
            let svg = draw(measure, &all).unwrap();
            for name in
                ["local (2 inputs)", "remote &lt;100 ms&gt; (1 inputs)", "none (0 inputs)", measure.title()]
            {
                assert!(svg.contains(name), "{name}: {svg}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }
}
