//! The table as a picture: a bar for each ratio, marks for gate and stretch.

use super::Row;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 380.0;
const LINE: f64 = 34.0;
const TOP: f64 = 56.0;
/// Where a gate lies on every bar: bars are scaled to their gate, so that all can be compared.
const GATE_AT: f64 = 0.55;

/// An SVG document. A bar shows how much of its gate was reached, more being
/// better; whiskers are the range over the rounds.
pub fn draw(rows: &[Row]) -> String {
    let height = TOP + LINE * rows.len() as f64 + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"16\">The load balancer against its peers: share of each goal reached</text>\n\
         <text x=\"16\" y=\"42\" fill=\"#666\">Black line: the gate. Dashed: the stretch goal. Medians; thin lines are the range of the rounds.</text>\n"
    );
    let scale = (WIDTH - LEFT - 120.0) * GATE_AT;
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + LINE * index as f64;
        let share = |value: f64| if row.at_most { row.gate / value.max(1e-9) } else { value / row.gate };
        let x = |value: f64| LEFT + (share(value) * scale).clamp(0.0, WIDTH - LEFT - 110.0);
        let median = row.ratio.median();
        let (least, greatest) = row.ratio.range();
        let color = if share(median) >= 1.0 { "#2a7f4f" } else { "#b5482f" };
        let against = if row.against.is_empty() { String::new() } else { format!(", against {}", row.against) };
        let limit = if row.at_most { "at most " } else { "" };
        let _ = write!(
            svg,
            "<text x=\"16\" y=\"{:.0}\">{}{against}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{:.1}\" height=\"16\" fill=\"{color}\"/>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.0}\" y2=\"{:.0}\" stroke=\"#222\"/>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.0}\" y2=\"{:.0}\" stroke=\"black\" stroke-width=\"2\"/>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.0}\" y2=\"{:.0}\" stroke=\"#555\" stroke-dasharray=\"3 2\"/>\n\
             <text x=\"{:.0}\" y=\"{:.0}\">{median:.2} ({limit}{})</text>\n",
            y + 14.0,
            row.name,
            y + 2.0,
            x(median) - LEFT,
            x(least),
            x(greatest),
            y + 10.0,
            y + 10.0,
            x(row.gate),
            x(row.gate),
            y - 1.0,
            y + 21.0,
            x(row.stretch),
            x(row.stretch),
            y - 1.0,
            y + 21.0,
            WIDTH - 104.0,
            y + 14.0,
            row.gate,
        );
    }
    svg.push_str("</svg>\n");
    svg
}
