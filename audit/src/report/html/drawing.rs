//! Plots, drawn here as plain SVG: whole numbers only, so that they are the same everywhere, no text
//! of anybody's, and a table of the same figures beside each.

use std::io;

use crate::report::hours::Hour;
use crate::report::markup::{Markup, html};
use crate::report::periods::Step;

/// Width of every drawing, in its own units.
const WIDTH: i64 = 760;
/// Where the plots begin; the scale stands to the left.
const LEFT: i64 = 92;
/// How wide they are.
const ACROSS: i64 = 656;

/// How a lane's bars are filled, each told apart without colour.
#[derive(Clone, Copy)]
pub(super) enum Fill {
    Solid,
    Light,
    Hatched,
}

impl Fill {
    const fn class(self) -> &'static str {
        match self {
            Self::Solid => "solid",
            Self::Light => "light",
            Self::Hatched => "hatched",
        }
    }
}

/// A lane of bars: one for each period, stacked.
pub(super) struct Lane {
    pub(super) title: &'static str,
    pub(super) height: i64,
    /// From the bottom up.
    pub(super) stacks: Vec<(Fill, Vec<u64>)>,
}

/// Where the period of this index begins, and how wide it is.
fn place(index: usize, periods: usize) -> (i64, i64) {
    let at = |index: usize| LEFT + ACROSS * index as i64 / periods.max(1) as i64;
    let slot = at(index + 1) - at(index);
    // A gap, so that neighbours are told apart, and no block as wide as the page.
    (at(index), (slot - (slot / 6).max(1)).clamp(1, 110))
}

/// A drawing of this name, its title and description being the parts that a screen reader reads.
pub(super) fn begin(
    out: &mut Markup<'_>,
    name: &'static str,
    title: &'static str,
    description: &str,
    height: i64,
) -> io::Result<()> {
    html!(out; "<div class=\"wide plot\" role=\"group\" tabindex=\"0\" aria-label=\"" [title]
        ", scrollable\">\n<svg role=\"img\" aria-labelledby=\"" [name] "-t " [name]
        "-d\" viewBox=\"0 0 " [WIDTH] " " [height] "\" width=\"" [WIDTH] "\" height=\"" [height]
        "\">\n<title id=\"" [name] "-t\">" [title] "</title>\n<desc id=\"" [name] "-d\">" (description)
        "</desc>\n<defs><pattern id=\"" [name] "-p\" width=\"6\" height=\"6\" "
        "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
        "<path d=\"M0 0V6\" class=\"hatch\"/></pattern></defs>\n");
    Ok(())
}

pub(super) fn end(out: &mut Markup<'_>) -> io::Result<()> {
    html!(out; "</svg></div>\n");
    Ok(())
}

/// Draws lanes below each other from `top`; returns where they end.
pub(super) fn lanes(
    out: &mut Markup<'_>,
    name: &'static str,
    lanes: &[Lane],
    top: i64,
) -> io::Result<i64> {
    let mut bottom = top;
    for lane in lanes {
        bottom += lane.height + 26;
        bars(out, name, lane, bottom)?;
    }
    Ok(bottom)
}

fn bars(out: &mut Markup<'_>, name: &'static str, lane: &Lane, bottom: i64) -> io::Result<()> {
    let periods = lane.stacks.first().map_or(0, |(_, values)| values.len());
    let most = (0..periods)
        .map(|index| lane.stacks.iter().map(|(_, values)| values[index]).sum())
        .max()
        .unwrap_or(0_u64);
    html!(out; "<text x=\"" [LEFT - 10] "\" y=\"" [bottom - lane.height + 4]
        "\" class=\"scale\">" (most) "</text><text x=\"" [LEFT - 10] "\" y=\"" [bottom]
        "\" class=\"scale\">0</text><text x=\"" [LEFT] "\" y=\"" [bottom - lane.height - 8]
        "\" class=\"lane\">" [lane.title] "</text>");
    let height = |value: u64| {
        // Something is never drawn as nothing.
        let height = i128::from(value) * i128::from(lane.height) / i128::from(most.max(1));
        (height as i64).max(i64::from(value > 0))
    };
    let mut below = vec![0_i64; periods];
    for (fill, values) in &lane.stacks {
        let hatched = matches!(fill, Fill::Hatched);
        html!(out; "<path class=\"" [fill.class()] "\"");
        if hatched {
            html!(out; " fill=\"url(#" [name] "-p)\"");
        }
        html!(out; " d=\"");
        for (index, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            let (x, width) = place(index, periods);
            let tall = height(*value);
            html!(out; "M" [x] " " [bottom - below[index]] "v" [-tall] "h" [width] "v" [tall] "z");
            below[index] += tall;
        }
        html!(out; "\"/>");
    }
    html!(out; "<path class=\"axis\" d=\"M" [LEFT] " " [bottom] "h" [ACROSS] "\"/>\n");
    Ok(())
}

/// Names periods below the plots, as many as have room.
pub(super) fn dates(
    out: &mut Markup<'_>,
    step: Step,
    starts: &[Hour],
    bottom: i64,
) -> io::Result<()> {
    let room = if matches!(step, Step::Hour) { 130 } else { 84 };
    let mut free = 0;
    for (index, start) in starts.iter().enumerate() {
        let (x, _) = place(index, starts.len());
        if x >= free && x + room <= WIDTH + 8 {
            html!(out; "<path class=\"axis\" d=\"M" [x] " " [bottom] "v5\"/><text x=\"" [x] "\" y=\""
                [bottom + 18] "\" class=\"date\">" (step.label(*start)) "</text>");
            free = x + room;
        }
    }
    html!(out; "\n");
    Ok(())
}

/// What marks a length of time, each by its form.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Dot,
    Diamond,
    Cross,
}

/// The lengths of time that the scale names.
const SCALE: [(f64, &str); 9] = [
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3_600.0, "1 h"),
    (21_600.0, "6 h"),
    (86_400.0, "1 d"),
    (604_800.0, "7 d"),
    (2_592_000.0, "30 d"),
];

/// Draws marks for lengths of time in seconds, by the logarithm, into `height` below `top`.
pub(super) fn marks(
    out: &mut Markup<'_>,
    series: &[(Mark, Vec<Option<f64>>)],
    top: i64,
    height: i64,
) -> io::Result<()> {
    let most = series
        .iter()
        .flat_map(|(_, values)| values.iter().flatten())
        .fold(1.0_f64, |most, value| most.max(*value));
    let last = SCALE.iter().position(|(secs, _)| *secs >= most);
    let scale = &SCALE[..=last.unwrap_or(SCALE.len() - 1).max(2)];
    let highest = scale[scale.len() - 1].0.max(most);
    let y = |secs: f64| {
        let part = secs.max(1.0).log10() / highest.log10();
        top + height - (part * height as f64).round() as i64
    };
    for (secs, name) in scale {
        html!(out; "<path class=\"grid\" d=\"M" [LEFT] " " [y(*secs)] "h" [ACROSS] "\"/><text x=\""
            [LEFT - 10] "\" y=\"" [y(*secs) + 4] "\" class=\"scale\">" [*name] "</text>");
    }
    for (mark, values) in series {
        match mark {
            Mark::Dot => html!(out; "<path class=\"solid\" d=\""),
            Mark::Diamond => html!(out; "<path class=\"open\" d=\""),
            Mark::Cross => html!(out; "<path class=\"cross\" d=\""),
        }
        for (index, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let (left, width) = place(index, values.len());
            let (x, y) = (left + width / 2, y(*value));
            match mark {
                Mark::Dot => html!(out; "M" [x - 3] " " [y] "a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z"),
                Mark::Diamond => html!(out; "M" [x] " " [y - 5] "l5 5l-5 5l-5 -5z"),
                Mark::Cross => html!(out; "M" [x - 4] " " [y - 4] "l8 8m0 -8l-8 8"),
            }
        }
        html!(out; "\"/>\n");
    }
    Ok(())
}
