//! Forecasts of load and capacity for predictive scaling (EC2 Auto Scaling
//! User Guide, "How predictive scaling works").
//!
//! AWS says what is forecast (hourly values of the next 48 hours, from one to
//! fourteen days of history, with daily and weekly patterns) and not how. Here
//! several simple forecasters (`experts`) each say the coming hours, and their
//! sayings are averaged by how well each would have done over the last week
//! of the history itself: a load without a weekly pattern follows those that
//! look at days, one that has just changed follows those that look at today.

mod experts;
mod policy;

pub use policy::{BUFFER_DEFAULT, Config, HOUR, Measure, Mode, OnBreach, REFRESH};

use experts::EXPERTS;

/// Hours without which nothing is forecast.
pub const HISTORY_MIN: usize = 24;

/// Hours of history that are used; older ones are ignored.
pub const HISTORY_MAX: usize = 14 * 24;

/// Hours that are forecast.
pub const HORIZON: usize = 48;

const DAY: usize = 24;
const WEEK: usize = 7 * DAY;

/// An expert's weight falls with so high a power of its error: the best few
/// decide, and none alone. Chosen on the first halves of real traces.
const SHARPNESS: i32 = 6;

/// How much less an error counts that is a day older.
const ERROR_DECAY: f64 = 0.9;

/// Experts are tried from moments so many hours apart.
const TRIAL_STEP: usize = 12;

/// They are tried over at most so many hours.
const TRIALS: usize = 8 * DAY;

/// The load of the `hours` that follow `history`: hourly values, oldest
/// first. `None` with less than `HISTORY_MIN` hours. No value is negative.
pub fn forecast(history: &[f64], hours: usize) -> Option<Vec<f64>> {
    if history.len() < HISTORY_MIN {
        return None;
    }
    let history = &history[history.len().saturating_sub(HISTORY_MAX)..];
    let weights = weights(history, hours);
    let mut sum = vec![0.0; hours];
    for (expert, weight) in EXPERTS.iter().zip(&weights) {
        for (total, value) in sum.iter_mut().zip(expert.say(history, hours)) {
            *total += weight * value;
        }
    }
    Some(sum.into_iter().map(|value| value.max(0.0)).collect())
}

/// One weight an expert, one in all: the better it foretold the last days of
/// the history from what came before them, the larger.
fn weights(history: &[f64], hours: usize) -> Vec<f64> {
    let mut errors = vec![0.0; EXPERTS.len()];
    let longest = history.len().saturating_sub(DAY).min(TRIALS);
    for back in (DAY..=longest).step_by(TRIAL_STEP) {
        let (before, after) = history.split_at(history.len() - back);
        let ahead = hours.min(back);
        let counts = ERROR_DECAY.powf(back as f64 / DAY as f64) / ahead as f64;
        for (error, expert) in errors.iter_mut().zip(EXPERTS) {
            let said = expert.say(before, ahead);
            *error += counts * said.iter().zip(after).map(|(said, was)| (said - was).abs()).sum::<f64>();
        }
    }
    let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
    let raw: Vec<f64> =
        errors.iter().map(|error| if *error > 0.0 { (least / error).powi(SHARPNESS) } else { 1.0 }).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|weight| weight / total).collect()
}

/// Hourly values with gaps filled: with the same hour of the day before, else
/// of the day after, else the last value known. Leading gaps are cut off.
pub fn fill(hours: &[Option<f64>]) -> Vec<f64> {
    let begin = hours.iter().position(Option::is_some).unwrap_or(hours.len());
    let known = &hours[begin..];
    let mut filled: Vec<f64> = Vec::with_capacity(known.len());
    for (index, value) in known.iter().enumerate() {
        let before = index.checked_sub(DAY).map(|yesterday| filled[yesterday]);
        let after = known.get(index + DAY).copied().flatten();
        let value = value.or(before).or(after).or(filled.last().copied());
        filled.push(value.unwrap_or_default());
    }
    filled
}

/// The instances that a forecast load needs, so that each bears `target` of
/// it: at least one when there is any load.
pub fn capacity(load: f64, target: f64) -> u32 {
    if load.is_nan() || target.is_nan() || load <= 0.0 || target <= 0.0 {
        return 0;
    }
    // The cast saturates.
    (load / target).ceil() as u32
}

#[cfg(test)]
mod tests;
