//! What a release shows of itself: lines that stay, and a bar that is drawn
//! over on a terminal and written when it changes elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Characters of the bar.
const WIDTH: usize = 24;

/// A line that is wider than a terminal could not be drawn over.
const COLUMNS: usize = 79;

/// The screen.
pub struct Screen {
    terminal: bool,
    start: Instant,
    /// The bar as it was written last.
    bar: Option<String>,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Screen {
        Screen { terminal: std::io::stdout().is_terminal(), start: Instant::now(), bar: None }
    }

    /// A line that stays, with the time since the beginning.
    pub fn line(&mut self, text: &str) {
        let secs = self.start.elapsed().as_secs();
        let clear = if self.terminal && self.bar.is_some() { "\r\x1b[K" } else { "" };
        self.write(&format!("{clear}{:>2}:{:02}  {text}\n", secs / 60, secs % 60));
        self.bar = None;
    }

    /// How far it is.
    pub fn bar(&mut self, percent: u32, text: &str) {
        let text = format!("{} {percent:>3} %  {text}", bar(percent));
        if self.bar.as_deref() == Some(&text) {
            return;
        }
        if self.terminal {
            let short: String = text.chars().take(COLUMNS).collect();
            self.write(&format!("\r\x1b[K{short}"));
        } else {
            self.line(&text);
        }
        self.bar = Some(text);
    }

    /// A reader that has gone away does not end the release.
    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn bar(percent: u32) -> String {
    let full = (percent.min(100) as usize * WIDTH) / 100;
    format!("[{}{}]", "#".repeat(full), ".".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_as_full_as_the_share() {
        assert_eq!(bar(0), "[........................]");
        assert_eq!(bar(50), "[############............]");
        assert_eq!(bar(250), "[########################]");
    }
}
