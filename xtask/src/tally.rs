//! Counts of tests, read from the closing lines of the programs that run them.

/// Tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ended well.
    pub passed: u64,
    /// Failed, or could not be run.
    pub failed: u64,
    /// Not run, with a reason given.
    pub skipped: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Counts in a closing line of cargo's test harness (`test result: …`), of
/// pytest (`=== … in 3.2s ===`) or in our own form; `None` for any other line.
pub fn closing_line(line: &str) -> Option<Tally> {
    let plain = without_colour(line);
    let text = plain.trim().trim_matches('=').trim();
    let counts = match text.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => text.rsplit_once(" in ").map_or(text, |(counts, _)| counts),
    };
    let mut tally = Tally::default();
    let mut found = false;
    for part in counts.split([',', ';']) {
        let (number, word) = part.trim().split_once(' ')?;
        let Ok(number) = number.parse::<u64>() else {
            // cargo ends its line with the time taken.
            if part.contains("finished in") {
                break;
            } else {
                return None;
            }
        };
        match word {
            "passed" | "xpassed" => tally.passed += number,
            "failed" | "error" | "errors" => tally.failed += number,
            "skipped" | "ignored" | "xfailed" => tally.skipped += number,
            "measured" | "filtered out" | "deselected" | "warning" | "warnings" | "rerun" => {
                continue;
            }
            _ => return None,
        }
        found = true;
    }
    found.then_some(tally)
}

/// `line` without terminal escapes of the form ESC [ … letter.
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(next) = chars.next() {
        if next == '\u{1b}' {
            chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            plain.push(next);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closing lines of each runner are read, other lines are not.
    #[test]
    fn lines_of_each_runner() {
        let tally = |passed, failed, skipped| Some(Tally { passed, failed, skipped });
        for (line, want) in [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                tally(3, 0, 1),
            ),
            (
                "test result: \u{1b}[31mFAILED\u{1b}[0m. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
                tally(1, 2, 0),
            ),
            ("==== 1 failed, 12 passed, 2 skipped, 1 warning in 61.30s (0:01:01) ====", tally(12, 1, 2)),
            ("\u{1b}[32m===== \u{1b}[1m4 passed\u{1b}[0m, 1 error in 0.20s =====\u{1b}[0m", tally(4, 1, 0)),
            ("100 passed, 0 failed", tally(100, 0, 0)),
            ("7 passed in 0.50s", tally(7, 0, 0)),
            ("running 3 tests", None),
            ("collected 12 items", None),
            ("test run::tests::failure ... ok", None),
            ("", None),
        ] {
            assert_eq!(closing_line(line), want, "{line}");
        }
    }

    /// The sum is printed in the form that counts as a closing line.
    #[test]
    fn printed_form() {
        let mut sum = Tally { passed: 1, failed: 0, skipped: 2 };
        sum += Tally { passed: 2, failed: 1, skipped: 0 };
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 2 skipped");
        assert_eq!(closing_line(&sum.to_string()), Some(sum));
    }
}
