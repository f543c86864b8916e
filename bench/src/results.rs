//! What was measured, and the arithmetic on it.

use serde::{Deserialize, Serialize};

use crate::race::Language;
use crate::worker::Cost;

/// One block of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The workload: `w1` to `w10`, `growth-...`, `memory`, `writers`.
    pub workload: String,
    pub language: String,
    pub subject: String,
    /// Messages, sessions or writers; 0 where the workload has none.
    pub size: u64,
    pub round: u64,
    #[serde(flatten)]
    pub cost: Cost,
}

/// All samples of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    pub samples: Vec<Sample>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

/// Whose figures, of what.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    pub workload: &'a str,
    pub language: Language,
    pub subject: &'a str,
    pub size: u64,
}

impl Results {
    /// The costs, in the order of rounds.
    pub fn of(&self, of: Of<'_>) -> Vec<(u64, &Cost)> {
        let is_its = |sample: &&Sample| {
            sample.workload == of.workload
                && sample.language == of.language.name()
                && sample.subject == of.subject
                && sample.size == of.size
        };
        self.samples.iter().filter(is_its).map(|sample| (sample.round, &sample.cost)).collect()
    }

    /// The median time of one operation, in seconds.
    pub fn seconds(&self, of: Of<'_>) -> Option<f64> {
        median(self.of(of).iter().map(|(_, cost)| cost.seconds / cost.ops as f64))
    }

    /// The median of a figure.
    pub fn figure(&self, of: Of<'_>, figure: impl Fn(&Cost) -> f64) -> Option<f64> {
        median(self.of(of).iter().map(|(_, cost)| figure(cost)))
    }

    /// The median over rounds of how many times the other's time in the same round it took.
    pub fn ratio(&self, of: Of<'_>, base: Of<'_>) -> Option<f64> {
        let base = self.of(base);
        let mut ratios = Vec::new();
        for (round, cost) in self.of(of) {
            if let Some((_, other)) = base.iter().find(|(of, _)| *of == round) {
                ratios.push((cost.seconds / cost.ops as f64) / (other.seconds / other.ops as f64));
            }
        }
        median(ratios.into_iter())
    }
}

/// The middle one; the mean of the middle two.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}
