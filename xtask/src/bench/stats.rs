//! Medians and ranges.

use std::fmt;

/// Values of one quantity over several rounds.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a round's value.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Round by round, this series divided by another.
    pub fn over(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// Round by round, this series less another.
    pub fn minus(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours - theirs).collect())
    }

    /// The value in the middle; with an even number of rounds the mean of the two.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    /// The least and the greatest value; not numbers without any.
    pub fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(f64::NAN), sorted.last().copied().unwrap_or(f64::NAN))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// `median [least to greatest] of N`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        let (Some(least), Some(greatest)) = (sorted.first(), sorted.last()) else {
            return f.write_str("no value");
        };
        let digits = if self.median() < 100.0 { 2 } else { 0 };
        write!(f, "{:.digits$} [{least:.digits$} to {greatest:.digits$}] of {}", self.median(), sorted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Medians of odd and even counts, and the printed form.
    #[test]
    fn medians() {
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).to_string(), "2.00 [1.00 to 3.00] of 3");
        assert_eq!(Series(vec![400.0, 100.0]).to_string(), "250 [100 to 400] of 2");
        assert_eq!(Series::default().to_string(), "no value");
        assert_eq!(Series(vec![6.0, 4.0]).over(&Series(vec![2.0, 4.0])).to_string(), "2.00 [1.00 to 3.00] of 2");
    }
}
