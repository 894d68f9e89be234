// SPDX-License-Identifier: MIT OR Apache-2.0
//! The series as bars: one chart for each case, one bar for each contender, the quartiles as a line through its end.

use std::error::Error;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, TextStyle, WHITE,
};
use plotters::style::IntoFont as _;

use super::BASELINE;
use crate::series::{Section, Series, Summary};

const WIDTH: u32 = 1200;
const BAR: u32 = 24;
const TITLE: u32 = 44;
/// Room on the left for the contenders' names.
const NAMES: u32 = 330;

const BASE: RGBColor = RGBColor(120, 120, 120);
const SHUNT: RGBColor = RGBColor(31, 119, 180);
const OTHER: RGBColor = RGBColor(214, 132, 56);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// An SVG of all sections.
pub(super) fn picture(series: &[Series]) -> anyhow::Result<String> {
    let mut charts: Vec<(String, Vec<&Series>)> = Vec::new();
    for it in series {
        let title = title(it);
        match charts.iter_mut().find(|(known, _)| *known == title) {
            Some((_, members)) => members.push(it),
            None => charts.push((title, vec![it])),
        }
    }
    let heights: Vec<u32> = charts
        .iter()
        .map(|(_, members)| TITLE + BAR * members.len() as u32)
        .collect();
    let mut text = String::new();
    draw(&mut text, &charts, &heights).map_err(|error| anyhow!("draw the picture: {error}"))?;
    Ok(text)
}

fn draw(text: &mut String, charts: &[(String, Vec<&Series>)], heights: &[u32]) -> Drawn {
    let root = SVGBackend::with_string(text, (WIDTH, heights.iter().sum::<u32>().max(1))).into_drawing_area();
    root.fill(&WHITE)?;
    let mut rest = root;
    for ((title, members), height) in charts.iter().zip(heights) {
        let (chart, below) = rest.split_vertically(*height);
        bars(&chart, title, members)?;
        rest = below;
    }
    rest.present()?;
    Ok(())
}

/// Packets by way: one chart for each size, else there were dozens of charts of a few bars.
fn title(series: &Series) -> String {
    let better = if series.more_is_better {
        "more is better"
    } else {
        "less is better"
    };
    match series.section {
        Section::Packet => format!("packet: {} ({}, {better})", series.contender, series.unit),
        Section::Datapath => format!(
            "datapath: {}: {} ({}, {better})",
            series.table, series.case, series.unit
        ),
        Section::Control => format!("control: {} ({}, {better})", series.case, series.unit),
    }
}

fn name(series: &Series) -> &str {
    match series.section {
        Section::Packet => &series.case,
        Section::Datapath | Section::Control => &series.contender,
    }
}

fn color(name: &str) -> RGBColor {
    if name.contains("kube-proxy") {
        OTHER
    } else if name.starts_with(BASELINE) || name.starts_with("empty") {
        BASE
    } else {
        SHUNT
    }
}

fn bars(area: &Area<'_>, title: &str, members: &[&Series]) -> Drawn {
    let font = ("sans-serif", 14).into_font();
    area.draw(&Text::new(
        title.to_owned(),
        (10, 14),
        ("sans-serif", 17).into_font(),
    ))?;
    let summaries: Vec<(&str, Summary)> = members
        .iter()
        .filter_map(|it| Some((name(it), it.samples.summary()?)))
        .collect();
    let most = summaries
        .iter()
        .map(|(_, it)| it.high)
        .fold(f64::MIN_POSITIVE, f64::max);
    let (names, plot) = area.margin(TITLE, 0, 10, 90).split_horizontally(NAMES);
    let mut chart = ChartBuilder::on(&plot).build_cartesian_2d(0.0..most, 0.0..summaries.len() as f64)?;
    for (number, (name, it)) in summaries.iter().enumerate() {
        let y = (summaries.len() - number) as f64 - 0.5;
        let bar = Rectangle::new([(0.0, y - 0.35), (it.median, y + 0.35)], color(name).filled());
        let line = PathElement::new(vec![(it.low, y), (it.high, y)], RGBColor(0, 0, 0).stroke_width(2));
        chart.draw_series([bar])?;
        chart.draw_series([line])?;
        let middle = BAR as i32 * number as i32 + BAR as i32 / 2 - 7;
        names.draw(&Text::new((*name).to_owned(), (0, middle), font.clone()))?;
        let style: TextStyle<'_> = font.clone().into();
        let end = plot.get_pixel_range().0.start + (it.high / most * f64::from(plot.dim_in_pixel().0)) as i32;
        let top = plot.get_pixel_range().1.start + middle;
        let value = format!("{:.4}", Short(it.median));
        area.strip_coord_spec().draw_text(
            &value,
            &style,
            (
                end + 6 - area.get_pixel_range().0.start,
                top - area.get_pixel_range().1.start,
            ),
        )?;
    }
    Ok(())
}

/// A number with as many digits as its spread deserves.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.abs() {
            1_000_000.0.. => write!(f, "{:.2} M", self.0 / 1e6),
            10_000.0.. => write!(f, "{:.0} k", self.0 / 1e3),
            100.0.. => write!(f, "{:.0}", self.0),
            _ => write!(f, "{:.2}", self.0),
        }
    }
}
