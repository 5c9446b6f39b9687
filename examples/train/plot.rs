//! The learning curve, as an SVG picture: losses on the left, the metric on the right.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use slimfit::History;

use crate::Curves;

const SIZE: (u32, u32) = (960, 420);

/// A colour, a label, and a value for each epoch.
type Line<'a> = (RGBColor, &'a str, &'a [f64]);

/// Draws into memory first, so that no half picture is left.
pub(crate) fn write(
    path: &Path,
    history: &History,
    target_scale: f64,
) -> Result<(), Box<dyn Error>> {
    let curves = Curves::new(history, target_scale);
    let mut picture = String::new();
    draw(&mut picture, &curves)?;
    std::fs::write(path, picture).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn draw(picture: &mut String, curves: &Curves) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let losses: [Line<'_>; 2] = [
        (RGBColor(31, 119, 180), "training", &curves.train_loss),
        (RGBColor(214, 98, 20), "validation", &curves.validation_loss),
    ];
    if curves.metric.is_empty() {
        panel(&root, "loss", &losses, None)?;
    } else {
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        panel(&left, "loss", &losses, None)?;
        let name = curves.metric_name;
        let most = (name == "accuracy").then_some(1.0);
        panel(&right, name, &[(RGBColor(214, 98, 20), "validation", &curves.metric)], most)?;
    }
    root.present()?;
    Ok(())
}

/// One diagram over the epochs.
fn panel<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    title: &str,
    lines: &[Line<'_>],
    most: Option<f64>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let epochs = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0).max(2);
    let heights = range(lines.iter().flat_map(|(_, _, values)| values.iter().copied()), most);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(1.0..epochs as f64, heights)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("epoch")
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    for &(color, label, values) in lines.iter().filter(|(_, _, values)| !values.is_empty()) {
        let points = values.iter().enumerate().map(|(epoch, &value)| (epoch as f64 + 1.0, value));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    // Where the lines seldom are: losses fall, an accuracy rises.
    let corner = if most.is_some() {
        SeriesLabelPosition::LowerRight
    } else {
        SeriesLabelPosition::UpperRight
    };
    chart
        .configure_series_labels()
        .position(corner)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13))
        .draw()
}

/// The values with a margin; a flat line gets some room too.
fn range(values: impl Iterator<Item = f64>, most: Option<f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let high = most.unwrap_or(high);
    let margin = if high > low { (high - low) * 0.05 } else { high.abs().max(1e-6) * 0.05 };
    low - margin..high + margin
}
