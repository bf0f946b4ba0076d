//! The same picture as an SVG.

use super::chart::{Mark, Point, letter};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 70.0;
const HEIGHT: f64 = 280.0;
/// Room for the axis and the first mark; each mark takes one line.
const BELOW: f64 = 60.0;
const LINE: f64 = 18.0;

/// Draws the picture.
pub fn draw(title: &str, points: &[Point], marks: &[Mark]) -> String {
    let end = points.last().map_or(1.0, |point| point.at).max(1e-3);
    let most = points.iter().map(|point| point.instances.max(point.desired)).max().unwrap_or_default().max(1);
    let highest = points.iter().map(|point| point.rate).fold(1.0, f64::max);
    let x = |at: f64| column(at / end);
    let total = TOP + HEIGHT + BELOW + LINE * marks.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"18\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"52\" fill=\"#1f6feb\">instances in service</text>\n\
         <text x=\"{}\" y=\"52\" fill=\"#6e7781\">desired (dashed)</text>\n\
         <text x=\"{}\" y=\"52\" fill=\"#d29922\" text-anchor=\"end\">requests a second</text>\n",
        escape(title),
        LEFT + 150.0,
        WIDTH - RIGHT
    );
    grid(&mut out, end, most, highest);
    let rates: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", x(p.at), y(p.rate / highest))).collect();
    let _ = writeln!(out, "<polyline fill=\"none\" stroke=\"#d29922\" points=\"{}\"/>", rates.join(" "));
    let count = |value: usize| y(value as f64 / most as f64);
    let desired = steps(points.iter().map(|p| (x(p.at), count(p.desired))));
    let _ = writeln!(out, "<path fill=\"none\" stroke=\"#6e7781\" stroke-dasharray=\"4 3\" d=\"{desired}\"/>");
    let instances = steps(points.iter().map(|p| (x(p.at), count(p.instances))));
    let _ = writeln!(out, "<path fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2.5\" d=\"{instances}\"/>");
    for (index, mark) in marks.iter().enumerate() {
        let (at, letter) = (x(mark.at), letter(index));
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#8250df\" stroke-dasharray=\"2 4\"/>\
             <text x=\"{at:.1}\" y=\"{}\" fill=\"#8250df\" text-anchor=\"middle\">{letter}</text>\
             <text x=\"{LEFT}\" y=\"{}\">{letter}: {}, {:.1} s</text>",
            TOP + HEIGHT,
            TOP - 4.0,
            TOP + HEIGHT + BELOW - 12.0 + LINE * index as f64,
            escape(&mark.text),
            mark.at
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The lines of the counts, and the figures of both axes and of time.
fn grid(out: &mut String, end: f64, most: usize, highest: f64) {
    for level in 0..=most {
        let at = y(level as f64 / most as f64);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#d0d7de\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{level}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    for part in [0.0, 0.5, 1.0] {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" fill=\"#d29922\">{:.0}</text>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0} s</text>",
            WIDTH - RIGHT + 8.0,
            y(part) + 4.0,
            highest * part,
            column(part),
            TOP + HEIGHT + 20.0,
            end * part
        );
    }
}

/// Where a part of the day is.
fn column(part: f64) -> f64 {
    LEFT + part * (WIDTH - LEFT - RIGHT)
}

/// Where a part of the highest value is.
fn y(part: f64) -> f64 {
    TOP + HEIGHT * (1.0 - part)
}

/// A path that holds each value until the next.
fn steps(values: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in values {
        let _ = match path.is_empty() {
            true => write!(path, "M{x:.1} {y:.1}"),
            false => write!(path, "H{x:.1}V{y:.1}"),
        };
    }
    path
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text is escaped, values become steps, and every mark is in the legend.
    #[test]
    fn picture() {
        let point = |at, instances, rate| Point { at, instances, desired: 2, rate };
        let marks = [Mark { at: 5.0, text: "a < b & c".to_string() }];
        let drawn = draw("1 -> 2", &[point(0.0, 1, 10.0), point(10.0, 2, 20.0)], &marks);
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
        assert!(drawn.contains("a: a &lt; b &amp; c, 5.0 s"), "{drawn}");
        assert!(drawn.contains("d=\"M60.0 210.0H900.0V70.0\""), "{drawn}");
        assert_eq!(drawn.matches('<').count(), drawn.matches('>').count());
    }

    /// A day without a moment still is an SVG.
    #[test]
    fn empty() {
        assert!(draw("nothing", &[], &[]).ends_with("</svg>\n"));
    }
}
