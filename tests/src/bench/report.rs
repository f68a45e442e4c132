//! The figures, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::host::Machine;
use super::packet::Protocol;

/// One subject in one situation.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Protocol of the packets.
    pub protocol: Protocol,
    /// Whether every packet opens a flow.
    pub new_flows: bool,
    /// Their length in bytes.
    pub length: usize,
    /// Flows that were cycled through.
    pub flows: u32,
    /// The program.
    pub subject: String,
    /// Nanoseconds per packet beyond the floor, median of the rounds.
    pub own_ns: f64,
    /// The fastest round beyond the fastest round of the floor.
    pub own_ns_min: f64,
    /// Nanoseconds per packet with the wrapper and the kernel's loop, median of the rounds.
    pub total_ns: f64,
    /// Median of the rounds' own / the same round's reference.
    pub ratio: Option<f64>,
    /// Quartiles of the same, to judge the noise by.
    pub ratio_quartiles: Option<[f64; 2]>,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine on which the benchmark ran.
    pub machine: Machine,
    /// Its command line.
    pub command: String,
    /// The figures.
    pub figures: Vec<Figure>,
}

impl Report {
    /// The worst ratio of a subject, if it was measured beside the reference.
    pub fn worst(&self, subject: &str) -> Option<&Figure> {
        self.figures
            .iter()
            .filter(|figure| figure.subject == subject && figure.ratio.is_some())
            .max_by(|a, b| a.ratio.unwrap_or(0.0).total_cmp(&b.ratio.unwrap_or(0.0)))
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n{}\n", self.machine, self.command);
        let mut figures: Vec<&Figure> = self.figures.iter().collect();
        figures.sort_by_key(|figure| (figure.new_flows, figure.protocol.number(), figure.length));
        let mut before = None;
        for figure in figures {
            let group = (figure.protocol, figure.length, figure.new_flows);
            if before != Some(group) {
                before = Some(group);
                let kind = if figure.new_flows { ", every packet a new flow" } else { "" };
                let protocol = format!("{:?}", figure.protocol).to_uppercase();
                let _ = writeln!(text, "\n{protocol}, {}-byte packets{kind}", figure.length);
                let _ = writeln!(
                    text,
                    "{:>10}  {:<14}{:>10}{:>10}{:>10}{:>14}{:>18}",
                    "flows", "program", "own ns", "min", "total", "/ reference", "quartiles"
                );
            }
            let ratio = figure.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let quartiles = figure
                .ratio_quartiles
                .map_or(String::new(), |[low, high]| format!("{low:.2} to {high:.2}"));
            let _ = writeln!(
                text,
                "{:>10}  {:<14}{:>10.1}{:>10.1}{:>10.1}{ratio:>14}{quartiles:>18}",
                figure.flows, figure.subject, figure.own_ns, figure.own_ns_min, figure.total_ns
            );
        }
        text
    }
}

/// The median, or NaN of nothing. Sorts the values.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 1, 2)
}

/// The value below which `part` of `whole` of the values lie. Sorts them.
pub fn quantile(values: &mut [f64], part: usize, whole: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    let scaled = last * part;
    let (low, rest) = (scaled / whole, scaled % whole);
    let at = |index: usize| values.get(index.min(last)).copied().unwrap_or(f64::NAN);
    at(low) + (at(low + 1) - at(low)) * rest as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::{median, quantile};

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(&mut [0.0, 1.0, 2.0, 3.0, 4.0], 1, 4), 1.0);
        assert!(median(&mut []).is_nan());
    }
}
