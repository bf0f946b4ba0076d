//! How the demo talks: numbered steps, dimmed commands, and one line that
//! lives on a terminal and becomes an occasional plain line elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where there is no terminal, a live line is written this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A live line that is wider than a terminal could not be replaced.
const LIVE_COLUMNS: usize = 79;

/// The teller.
pub struct Tell {
    terminal: bool,
    colour: bool,
    start: Instant,
    step: u32,
    live: bool,
    last_plain: Option<Instant>,
}

impl Tell {
    /// A teller to standard output.
    pub fn new() -> Tell {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Tell { terminal, colour, start: Instant::now(), step: 0, live: false, last_plain: None }
    }

    /// When the telling began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Begins a step.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        let line = format!("{}  {}", self.paint("36", &format!("{:>2}", self.step)), self.paint("1", title));
        self.line("");
        self.line(&line);
    }

    /// A heading outside the steps.
    pub fn heading(&mut self, text: &str) {
        let line = self.paint("1", text);
        self.line("");
        self.line(&line);
    }

    /// Why something is done, or what it is.
    pub fn note(&mut self, text: &str) {
        self.line(&format!("    {text}"));
    }

    /// The same as a command of the AWS CLI.
    pub fn command(&mut self, text: &str) {
        let line = self.paint("2", &format!("    $ {text}"));
        self.line(&line);
    }

    /// What came out.
    pub fn result(&mut self, text: &str) {
        let mark = self.paint("32", "->");
        self.line(&format!("    {mark} {text}"));
    }

    /// Something that happened, with the time since the start.
    pub fn event(&mut self, text: &str) {
        let at = self.start.elapsed().as_secs_f64();
        let time = self.paint("2", &format!("{at:6.1} s"));
        self.line(&format!("    {time}  {text}"));
    }

    /// Plain lines as they are.
    pub fn lines(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// What is so right now; replaced by the next line.
    pub fn live(&mut self, text: &str) {
        let at = self.start.elapsed().as_secs_f64();
        if self.terminal {
            let line: String = format!("    {at:6.1} s  {text}").chars().take(LIVE_COLUMNS).collect();
            write(&format!("\r\x1b[2K{line}"));
            self.live = true;
        } else if self.last_plain.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
            self.last_plain = Some(Instant::now());
            self.line(&format!("    {at:6.1} s  {text}"));
        }
    }

    /// Ends the live line.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.live) {
            write("\r\x1b[2K");
        }
    }

    fn line(&mut self, text: &str) {
        self.settle();
        write(&format!("{text}\n"));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Writes now. A reader that has left does not keep the demo from taking
/// itself down, so that errors are of no interest.
fn write(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
