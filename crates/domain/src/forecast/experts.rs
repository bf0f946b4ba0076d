//! The forecasters: each looks at the past in one simple way.

use super::{DAY, WEEK};

/// One way to foretell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expert {
    /// As it was a week ago; with less history, a day ago.
    LastWeek,
    /// The mean of the same hour of past periods, younger ones counting more.
    Profile(Season),
    /// The same, moved by how far the last hours were off; the move fades.
    Corrected(Season, Correction),
    /// The level of the last hours, the same for all hours to come.
    Level(f64),
}

/// Which past hours are like a coming one, and how fast they age.
#[derive(Clone, Copy, Debug)]
pub(super) enum Season {
    /// The same hour of the day; each day back counts so much less.
    Daily(f64),
    /// The same hour of the week; each week back counts so much less.
    Weekly(f64),
    /// Half of each.
    Both(f64),
}

/// How the last hours move a profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correction {
    /// So many last hours.
    window: usize,
    /// What is left of the move after each hour.
    fade: f64,
}

/// Those that are asked. Window lengths and rates were chosen on the first
/// halves of real traces; the second halves judge them.
pub(super) const EXPERTS: &[Expert] = &[
    Expert::LastWeek,
    Expert::Profile(Season::Weekly(0.7)),
    Expert::Level(0.3),
    Expert::Corrected(Season::Daily(0.8), Correction { window: 6, fade: 0.97 }),
    Expert::Corrected(Season::Weekly(0.8), Correction { window: 12, fade: 0.98 }),
    Expert::Corrected(Season::Both(0.8), Correction { window: 12, fade: 0.98 }),
];

impl Expert {
    /// The `hours` after `past`, which has a day at least.
    pub(super) fn say(self, past: &[f64], hours: usize) -> Vec<f64> {
        match self {
            Expert::LastWeek => {
                let period = if past.len() < WEEK { DAY } else { WEEK };
                (0..hours).map(|hour| past[past.len() - period + hour % period]).collect()
            }
            Expert::Profile(season) => season.profile(past, hours),
            Expert::Corrected(season, correction) => corrected(season, correction, past, hours),
            Expert::Level(rate) => {
                let level = past.iter().fold(past[0], |level, value| level + rate * (value - level));
                vec![level; hours]
            }
        }
    }
}

fn corrected(season: Season, correction: Correction, past: &[f64], hours: usize) -> Vec<f64> {
    let mut said = season.profile(past, hours);
    if past.len() < 2 * DAY + correction.window {
        return said;
    }
    let (before, last) = past.split_at(past.len() - correction.window);
    let expected = season.profile(before, correction.window);
    let off: f64 = last.iter().zip(&expected).map(|(was, expected)| was - expected).sum();
    let mut off = off / correction.window as f64;
    for value in &mut said {
        off *= correction.fade;
        *value += off;
    }
    said
}

impl Season {
    fn profile(self, past: &[f64], hours: usize) -> Vec<f64> {
        // A weekly pattern shows only once a week has passed and a day of the next.
        let has_weeks = past.len() >= WEEK + DAY;
        match self {
            Season::Daily(decay) => periodic(past, hours, DAY, decay),
            Season::Weekly(decay) if has_weeks => periodic(past, hours, WEEK, decay),
            Season::Both(decay) if has_weeks => {
                let (daily, weekly) = (periodic(past, hours, DAY, decay), periodic(past, hours, WEEK, decay));
                daily.into_iter().zip(weekly).map(|(day, week)| (day + week) / 2.0).collect()
            }
            Season::Weekly(decay) | Season::Both(decay) => periodic(past, hours, DAY, decay),
        }
    }
}

/// Weighted means of the hours that lie whole periods back.
fn periodic(past: &[f64], hours: usize, period: usize, decay: f64) -> Vec<f64> {
    let mut said: Vec<f64> = Vec::with_capacity(hours);
    for hour in 0..hours {
        if let Some(before) = hour.checked_sub(period) {
            said.push(said[before]);
            continue;
        }
        let (mut sum, mut weights, mut weight) = (0.0, 0.0, 1.0);
        let mut at = (past.len() + hour).checked_sub(period);
        while let Some(index) = at {
            sum += weight * past[index];
            weights += weight;
            weight *= decay;
            at = index.checked_sub(period);
        }
        said.push(sum / weights);
    }
    said
}
