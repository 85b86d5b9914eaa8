//! What a benchmark prints: our figure, the peer's, their ratio, and whether the target is met.

use serde_json::{Value, json};

/// One comparison.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// Whom it is compared with, and what that needs; none where the target is a number.
    pub(crate) peer: Option<(String, f64)>,
    pub(crate) target: Target,
}

/// What is asked of a comparison.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Ours divided by the peer's is at most this.
    RatioAtMost(f64),
    /// The peer's divided by ours is at least this.
    TimesBetter(f64),
    /// Our figure is at least this.
    AtLeast(f64),
    /// Our figure is at most this.
    AtMost(f64),
}

impl Line {
    /// Ours to the peer's, or the peer's to ours, as the target counts.
    fn ratio(&self) -> Option<f64> {
        let (_, peer) = self.peer.as_ref()?;
        Some(match self.target {
            Target::TimesBetter(_) => peer / self.ours,
            _ => self.ours / peer,
        })
    }

    pub(crate) fn is_met(&self) -> bool {
        match self.target {
            Target::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Target::TimesBetter(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Target::AtLeast(least) => self.ours >= least,
            Target::AtMost(most) => self.ours <= most,
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::RatioAtMost(most) => format!("<= {most} x"),
            Target::TimesBetter(least) => format!(">= {least} x better"),
            Target::AtLeast(least) => format!(">= {least}"),
            Target::AtMost(most) => format!("<= {most}"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours,
            "peer": self.peer.as_ref().map(|(name, _)| name),
            "peers": self.peer.as_ref().map(|(_, figure)| figure),
            "ratio": self.ratio(),
            "target": self.target(),
            "met": self.is_met(),
        })
    }
}

/// The whole table.
pub(crate) fn print(lines: &[Line], json: bool) {
    if json {
        let lines: Vec<Value> = lines.iter().map(Line::to_json).collect();
        println!("{:#}", Value::from(lines));
        return;
    }
    println!(
        "{:<46} {:>12} {:>12} {:>9} {:>16} {:>8}",
        "", "ours", "peer's", "ratio", "target", ""
    );
    for line in lines {
        let number = |figure: Option<f64>| figure.map_or("-".to_owned(), |n| format!("{n:.2}"));
        println!(
            "{:<46} {:>12} {:>12} {:>9} {:>16} {:>8}",
            format!("{}, {}", line.what, line.unit),
            number(Some(line.ours)),
            number(line.peer.as_ref().map(|(_, figure)| *figure)),
            number(line.ratio()),
            line.target(),
            if line.is_met() { "met" } else { "NOT MET" },
        );
        if let Some((peer, _)) = &line.peer {
            println!("    beside: {peer}");
        }
    }
}
