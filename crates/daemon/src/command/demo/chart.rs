//! The day in one picture: instances in service and requests over time, for
//! the terminal.

use std::fmt::Write;

/// Instances and rate at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the first point.
    pub at: f64,
    /// Instances that served.
    pub instances: usize,
    /// Instances that were wanted.
    pub desired: usize,
    /// Requests a second.
    pub rate: f64,
}

/// Something worth a mark below the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Seconds since the first point.
    pub at: f64,
    /// What happened.
    pub text: String,
}

/// Columns of the picture itself; with its margin it fits 100 characters.
const COLUMNS: usize = 88;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One column: the highest of its time.
#[derive(Clone, Copy, Default)]
struct Column {
    instances: usize,
    desired: usize,
    rate: f64,
}

/// Draws the picture; empty without at least two moments.
pub fn draw(points: &[Point], marks: &[Mark]) -> String {
    let Some(end) = points.last().map(|point| point.at).filter(|end| *end > 0.0) else { return String::new() };
    let columns = columns(points, end);
    let top = columns.iter().map(|column| column.instances.max(column.desired)).max().unwrap_or_default().max(1);
    let mut out = String::from("instances in service (█), desired (·)\n");
    for level in (1..=top).rev() {
        let cell = |column: &Column| match (column.instances >= level, column.desired >= level) {
            (true, _) => '█',
            (false, true) => '·',
            (false, false) => ' ',
        };
        let row: String = columns.iter().map(cell).collect();
        let _ = writeln!(out, "{level:>5} ┤{}", row.trim_end());
    }
    let _ = writeln!(out, "    0 ┼{}", "─".repeat(COLUMNS));
    let highest = columns.iter().map(|column| column.rate).fold(0.0, f64::max);
    let rates: String = columns.iter().map(|column| eighth(column.rate, highest)).collect();
    let _ = writeln!(out, "{highest:>5.0} ┤{}", rates.trim_end());
    out.push_str("      requests a second\n");
    let _ = writeln!(out, "      {}", axis(end));
    if !marks.is_empty() {
        let _ = writeln!(out, "      {}", mark_row(marks, end).trim_end());
        for (index, mark) in marks.iter().enumerate() {
            let _ = writeln!(out, "      {} {:.1} s: {}", letter(index), mark.at, mark.text);
        }
    }
    out
}

fn columns(points: &[Point], end: f64) -> Vec<Column> {
    let mut columns: Vec<Option<Column>> = vec![None; COLUMNS];
    for point in points {
        let column = columns[place(point.at, end)].get_or_insert_default();
        column.instances = column.instances.max(point.instances);
        column.desired = column.desired.max(point.desired);
        column.rate = column.rate.max(point.rate);
    }
    // Between two looks things stood as at the earlier one.
    let mut last = Column::default();
    columns.into_iter().map(|column| *column.inspect(|found| last = *found).get_or_insert(last)).collect()
}

fn place(at: f64, end: f64) -> usize {
    ((at / end * COLUMNS as f64) as usize).min(COLUMNS - 1)
}

fn eighth(value: f64, highest: f64) -> char {
    if highest <= 0.0 || value <= 0.0 {
        return ' ';
    }
    EIGHTHS[((value / highest * 8.0).ceil() as usize).clamp(1, 8)]
}

/// `0 s`, the middle, the end.
fn axis(end: f64) -> String {
    let mut row = vec![' '; COLUMNS + 1];
    for (at, text) in [(0, "0 s".to_string()), (COLUMNS / 2, format!("{:.0} s", end / 2.0))] {
        for (index, symbol) in text.chars().enumerate() {
            row[at + index] = symbol;
        }
    }
    let text = format!("{end:.0} s");
    let start = row.len() - text.len();
    for (index, symbol) in text.chars().enumerate() {
        row[start + index] = symbol;
    }
    row.into_iter().collect()
}

fn mark_row(marks: &[Mark], end: f64) -> String {
    let mut row = vec![' '; COLUMNS + 1];
    for (index, mark) in marks.iter().enumerate() {
        // A mark too close to the one before it goes right beside it.
        let wanted = 1 + place(mark.at, end);
        let free = (wanted..row.len()).chain(0..wanted).find(|column| row[*column] == ' ');
        row[free.unwrap_or(wanted)] = letter(index);
    }
    row.into_iter().collect()
}

/// `a`, `b` and so on; the demo has fewer marks than the alphabet letters.
pub fn letter(index: usize) -> char {
    char::from(b'a' + (index % 26) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> Vec<Point> {
        let shape = [(0.0, 1, 1, 10.0), (10.0, 1, 3, 100.0), (20.0, 3, 3, 100.0), (40.0, 0, 0, 0.0)];
        shape.map(|(at, instances, desired, rate)| Point { at, instances, desired, rate }).to_vec()
    }

    /// The highest row holds the time with three instances, after the time in
    /// which they were only wanted; no line is wider than 100 characters.
    #[test]
    fn a_day() {
        let drawn = draw(&day(), &[Mark { at: 20.0, text: "kill".to_string() }]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[1].starts_with("    3 ┤") && lines[1].contains("·█"), "{drawn}");
        assert!(lines[3].starts_with("    1 ┤█"), "{drawn}");
        assert_eq!(lines[1].chars().filter(|symbol| *symbol == '█').count(), 43, "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{drawn}");
        assert!(drawn.ends_with("a 20.0 s: kill\n"), "{drawn}");
    }

    /// Nothing to draw is nothing drawn.
    #[test]
    fn no_day() {
        assert_eq!(draw(&[], &[]), "");
        assert_eq!(draw(&day()[..1], &[]), "");
    }
}
