//! Plots of how costs grow, as SVG: both axes by powers of ten, a line for each subject.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// A line: who, and what it took at which size, in milliseconds.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Draws a plot.
pub fn draw(file: &Path, title: &str, x_label: &str, lines: &[Line]) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
    };
    let (x_min, x_max) = range(&mut points().map(|point| point.0));
    let (y_min, y_max) = range(&mut points().map(|point| point.1));
    if x_min >= x_max || y_min <= 0.0 {
        return Ok(());
    }
    draw_in(file, title, x_label, lines, ((x_min, x_max), (y_min / 2.0, y_max * 2.0)))
        .map_err(|error| anyhow!("the plot {title} cannot be drawn: {error}"))
}

type Ranges = ((f64, f64), (f64, f64));

fn draw_in(
    file: &Path,
    title: &str,
    x_label: &str,
    lines: &[Line],
    ((x_min, x_max), (y_min, y_max)): Ranges,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(file, (900, 540)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .right_y_label_area_size(210)
        .build_cartesian_2d((x_min..x_max).log_scale(), (y_min..y_max).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(x_label)
        .y_desc("milliseconds")
        .x_label_formatter(&|value| crate::report::grouped(*value as u64))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    // Names stand at the ends of their lines, moved apart where they would cover each other.
    let mut ends: Vec<(i32, RGBAColor, &str)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let width = if is_ours(&line.name) { 3 } else { 1 };
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(width)))?;
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 2 + width, colour.filled())))?;
        if let Some(end) = line.points.last() {
            ends.push((chart.backend_coord(end).1, colour, &line.name));
        }
    }
    ends.sort_by_key(|(y, ..)| *y);
    let mut lowest = 0;
    for (y, colour, name) in ends {
        let y = y.max(lowest + 15);
        lowest = y;
        let style = ("sans-serif", 13).into_font().color(&colour);
        area.draw(&Text::new(name.to_owned(), (690, y - 6), style))?;
    }
    area.present()?;
    Ok(())
}

fn is_ours(name: &str) -> bool {
    ["native", "component", "sessile"].iter().any(|ours| name.ends_with(ours))
}
