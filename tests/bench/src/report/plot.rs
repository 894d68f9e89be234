// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rates of traffic as bars, as times plain routing: a panel for each way through the nodes, in it a group of bars
//! for each case and a bar for each contender, at the largest number of Services. The quartiles are a line through a
//! bar's end. Programs and the agent are told in tables only: their numbers have no common scale.

use std::error::Error;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, ChartBuilder, Color as _, DrawingArea, IntoDrawingArea as _, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};

use super::BASELINE;
use crate::series::{Section, Series, Summary};

const COLUMN: u32 = 640;
const COLUMNS: u32 = 2;
const LEGEND: u32 = 36;
const TITLE: u32 = 40;
/// Room on the left for the cases' names.
const NAMES: u32 = 230;
/// Room on the right for what does not fit.
const VALUES: u32 = 30;
const BAR: u32 = 11;
/// Between two groups.
const GAP: u32 = 12;
/// Where the panels end: nothing is expected to be much faster than plain routing.
const MOST: f64 = 1.25;
/// Grey for what is no Service, blue for Shunt, and warm for the others.
const COLORS: [RGBColor; 6] = [
    RGBColor(150, 150, 150),
    RGBColor(205, 205, 205),
    RGBColor(31, 119, 180),
    RGBColor(120, 180, 220),
    RGBColor(214, 132, 56),
    RGBColor(160, 82, 45),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// A way through the nodes, and its cases.
struct Panel<'a> {
    title: &'a str,
    groups: Vec<Group<'a>>,
}

/// A case, and what each contender's rate is, as times plain routing: in the order of the legend.
struct Group<'a> {
    case: &'a str,
    ratios: Vec<Option<Summary>>,
}

/// An SVG of all rates.
pub(super) fn picture(series: &[Series]) -> anyhow::Result<String> {
    let rates: Vec<&Series> = series
        .iter()
        .filter(|it| it.section == Section::Datapath && it.more_is_better)
        .collect();
    let contenders = contenders(&rates);
    let panels = panels(&rates, &contenders);
    let mut text = String::new();
    draw(&mut text, &contenders, &panels).map_err(|error| anyhow!("draw the picture: {error}"))?;
    Ok(text)
}

/// Those that are compared with plain routing; of one that is there with several numbers of Services, the last.
fn contenders<'a>(rates: &[&'a Series]) -> Vec<&'a str> {
    let kind = |name: &str| match name.rsplit_once(", ") {
        Some((kind, size)) if size.contains("Service") => kind.to_owned(),
        _ => name.to_owned(),
    };
    let mut found: Vec<&str> = Vec::new();
    for name in rates.iter().map(|it| it.contender.as_str()) {
        match found.iter_mut().find(|known| kind(known) == kind(name)) {
            Some(known) => *known = name,
            None if name != BASELINE => found.push(name),
            None => {}
        }
    }
    found
}

fn panels<'a>(rates: &[&'a Series], contenders: &[&str]) -> Vec<Panel<'a>> {
    let mut panels: Vec<Panel<'a>> = Vec::new();
    for base in rates.iter().filter(|it| it.contender == BASELINE) {
        let ratio = |contender: &&str| {
            let same = |it: &&&Series| (&it.table, &it.case) == (&base.table, &base.case);
            let own = rates.iter().filter(same).find(|it| it.contender == **contender)?;
            own.samples.ratio_to(&base.samples).summary()
        };
        let group = Group {
            case: &base.case,
            ratios: contenders.iter().map(ratio).collect(),
        };
        match panels.iter_mut().find(|panel| panel.title == base.table) {
            Some(panel) => panel.groups.push(group),
            None => panels.push(Panel {
                title: &base.table,
                groups: vec![group],
            }),
        }
    }
    panels
}

fn draw(text: &mut String, contenders: &[&str], panels: &[Panel<'_>]) -> Drawn {
    let group = GAP + BAR * contenders.len() as u32;
    let most = panels.iter().map(|panel| panel.groups.len()).max().unwrap_or(0);
    let height = TITLE + group * most as u32 + GAP;
    let rows = (panels.len() as u32).div_ceil(COLUMNS);
    let root = SVGBackend::with_string(text, (COLUMN * COLUMNS, LEGEND + height * rows)).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, rest) = root.split_vertically(LEGEND);
    legend(&top, contenders)?;
    let areas = rest.split_evenly((rows as usize, COLUMNS as usize));
    for (area, it) in areas.iter().zip(panels) {
        panel(area, it, group)?;
    }
    root.present()?;
    Ok(())
}

fn legend(area: &Area<'_>, contenders: &[&str]) -> Drawn {
    let places = area.split_evenly((1, contenders.len().max(1)));
    for ((place, name), color) in places.iter().zip(contenders).zip(COLORS.iter().cycle()) {
        place.draw(&Rectangle::new([(10, 12), (22, 24)], color.filled()))?;
        place.draw(&Text::new((*name).to_owned(), (28, 12), ("sans-serif", 13)))?;
    }
    Ok(())
}

fn panel(area: &Area<'_>, panel: &Panel<'_>, group: u32) -> Drawn {
    area.draw(&Text::new(panel.title.to_owned(), (10, 14), ("sans-serif", 16)))?;
    let (names, plot) = area.margin(TITLE, 0, 10, VALUES).split_horizontally(NAMES);
    let depth = group * panel.groups.len() as u32;
    let (plot, _) = plot.split_vertically(depth);
    let mut chart = ChartBuilder::on(&plot).build_cartesian_2d(0.0..MOST, f64::from(depth)..0.0)?;
    for (number, it) in panel.groups.iter().enumerate() {
        let top = group * number as u32;
        let middle = (top + group / 2) as i32 - 12;
        names.draw(&Text::new(it.case.to_owned(), (0, middle), ("sans-serif", 13)))?;
        for (bar, (ratio, color)) in it.ratios.iter().zip(COLORS.iter().cycle()).enumerate() {
            let Some(ratio) = ratio else { continue };
            let y = f64::from(top + BAR * bar as u32);
            let (middle, end) = (y + f64::from(BAR) / 2.0, y + f64::from(BAR) - 1.0);
            let spread = vec![(ratio.low.min(MOST), middle), (ratio.high.min(MOST), middle)];
            let value = (ratio.high.max(ratio.median).min(MOST) + 0.01, y);
            chart.draw_series([Rectangle::new(
                [(0.0, y), (ratio.median.min(MOST), end)],
                color.filled(),
            )])?;
            chart.draw_series([PathElement::new(spread, BLACK.stroke_width(1))])?;
            chart.draw_series([Text::new(
                format!("{:.2}", ratio.median),
                value,
                ("sans-serif", 10),
            )])?;
        }
    }
    // What plain routing does.
    let line = vec![(1.0, 0.0), (1.0, f64::from(depth))];
    chart.draw_series([PathElement::new(line, BLACK.stroke_width(1))])?;
    Ok(())
}
