//! Run Command's decisions: what a rate such as `10%` means for so many
//! targets, which invocations of a command are sent next, and which end
//! without having been sent. Pure functions over plain data; who runs the
//! scripts, and how, is not known here.

/// A rate: a number, or a percentage of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many.
    Number(usize),
    /// So many of a hundred.
    Percent(usize),
}

impl Rate {
    /// The rate of a text such as `10` or `10%`: whole numbers without
    /// leading zeros, percentages up to a hundred (the service's model).
    pub fn parse(text: &str) -> Option<Rate> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let canonical =
            digits == "0" || (digits.starts_with(|c: char| c != '0') && digits.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.parse().ok().filter(|_| canonical)?;
        match text.ends_with('%') {
            true => (number <= 100).then_some(Rate::Percent(number)),
            false => Some(Rate::Number(number)),
        }
    }

    /// How many of `targets` it is, rounded down.
    pub fn of(self, targets: usize) -> usize {
        match self {
            Rate::Number(number) => number,
            Rate::Percent(percent) => targets * percent / 100,
        }
    }

    /// The same as MaxConcurrency: at least one, or nothing would ever be sent.
    pub fn at_once(self, targets: usize) -> usize {
        self.of(targets).max(1)
    }
}

/// What decides about a command's invocations, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Invocations that may be out at a time (MaxConcurrency).
    pub at_once: usize,
    /// Errors that are tolerated; one more ends the sending (MaxErrors).
    pub errors_max: usize,
    /// Whether the time for delivery is over (TimeoutSeconds).
    pub expired: bool,
}

/// Where an invocation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not been sent.
    Waiting(Target),
    /// It has been sent, and its end is not known.
    Out,
    /// It is over.
    Over {
        /// Whether it counts as an error.
        error: bool,
    },
}

/// Whether an instance can be sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It runs.
    Ready,
    /// It does not run now, and may later.
    Away,
    /// It will not run again.
    Gone,
}

/// What becomes of an invocation now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Stay,
    /// It is sent.
    Send,
    /// It ends without having been sent: there were more errors than are tolerated.
    Terminate,
    /// It ends without having been sent: the time for delivery is over.
    Expire,
    /// It ends without having been sent: its instance is no more.
    GiveUp,
}

/// A verdict for each invocation, in their order. Those that wait are sent
/// first come first served, as many as may be out at a time; one whose
/// instance is away does not hold up the others. When more have failed than
/// is tolerated, those that are out go on and no other is sent (Systems
/// Manager User Guide, "Using targets and rate controls").
pub fn decide(limits: Limits, stages: &[Stage]) -> Vec<Verdict> {
    let errors = stages.iter().filter(|stage| matches!(stage, Stage::Over { error: true })).count();
    let out = stages.iter().filter(|stage| matches!(stage, Stage::Out)).count();
    let mut room = limits.at_once.saturating_sub(out);
    let verdict = |stage: &Stage| match stage {
        Stage::Out | Stage::Over { .. } => Verdict::Stay,
        Stage::Waiting(_) if errors > limits.errors_max => Verdict::Terminate,
        Stage::Waiting(Target::Gone) => Verdict::GiveUp,
        Stage::Waiting(_) if limits.expired => Verdict::Expire,
        Stage::Waiting(Target::Ready) if room > 0 => {
            room -= 1;
            Verdict::Send
        }
        Stage::Waiting(Target::Ready | Target::Away) => Verdict::Stay,
    };
    stages.iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates are whole numbers or whole percentages without leading zeros; a
    /// percentage is rounded down, and as MaxConcurrency it is at least one.
    #[test]
    fn rates() {
        for (text, of_nine, at_once) in [
            ("0", Some(0), 1),
            ("7", Some(7), 7),
            ("10%", Some(0), 1),
            ("50%", Some(4), 4),
            ("100%", Some(9), 9),
            ("101%", None, 0),
            ("05", None, 0),
            ("+5", None, 0),
            ("%", None, 0),
            ("", None, 0),
            ("x", None, 0),
        ] {
            assert_eq!(Rate::parse(text).map(|rate| rate.of(9)), of_nine, "{text}");
            assert_eq!(Rate::parse(text).map_or(0, |rate| rate.at_once(9)), at_once, "{text}");
        }
    }

    /// One letter an invocation: `w` waits, `a` waits for an instance that is
    /// away, `g` for one that is gone, `o` is out, `e` failed, `d` is done.
    fn verdicts(at_once: usize, errors_max: usize, expired: bool, stages: &str) -> String {
        let stage = |letter| match letter {
            'w' => Stage::Waiting(Target::Ready),
            'a' => Stage::Waiting(Target::Away),
            'g' => Stage::Waiting(Target::Gone),
            'o' => Stage::Out,
            letter => Stage::Over { error: letter == 'e' },
        };
        let stages: Vec<Stage> = stages.chars().map(stage).collect();
        let letter = |verdict: &Verdict| match verdict {
            Verdict::Stay => '.',
            Verdict::Send => 's',
            Verdict::Terminate => 't',
            Verdict::Expire => 'x',
            Verdict::GiveUp => 'g',
        };
        decide(Limits { at_once, errors_max, expired }, &stages).iter().map(letter).collect()
    }

    /// Concurrency, errors, time and instances, each by itself and together.
    #[test]
    fn who_is_sent_and_who_ends() {
        for (at_once, errors_max, expired, stages, want) in [
            (50, 0, false, "www", "sss"),
            (2, 0, false, "wwww", "ss.."),
            (2, 0, false, "oww", ".s."),
            (2, 0, false, "oow", "..."),
            (2, 0, false, "dow", "..s"),
            // More may be out than a lowered limit allows.
            (1, 0, false, "oow", "..."),
            // The first error ends the sending when none is tolerated.
            (2, 0, false, "eow", "..t"),
            (2, 1, false, "eow", "..s"),
            (2, 1, false, "eeow", "...t"),
            (1, 3, false, "eeew", "...s"),
            (1, 3, false, "eeeew", "....t"),
            // Errors weigh more than anything else.
            (1, 0, true, "ewag", ".ttt"),
            // An instance that is away holds up nobody, and takes no place.
            (1, 0, false, "aww", ".s."),
            (1, 0, false, "gww", "gs."),
            // What is out goes on when the time for delivery is over.
            (1, 0, true, "owag", ".xxg"),
        ] {
            assert_eq!(verdicts(at_once, errors_max, expired, stages), want, "{stages} {at_once} {errors_max}");
        }
    }
}
