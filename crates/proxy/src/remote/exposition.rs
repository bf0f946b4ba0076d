//! Several processes' counters as one text for Prometheus (exposition format
//! 0.0.4): the samples of each get a label that tells them apart, because a
//! sum over processes would fall when one of them begins anew.

/// The label that names the process by its number.
const LABEL: &str = "proxy";

/// A metric's help and type, and its samples.
struct Metric<'a> {
    name: &'a str,
    head: Vec<&'a str>,
    samples: Vec<String>,
}

/// Joins what processes said; each text comes with its process's number.
/// All samples of a metric stay together, as the format wants it.
pub(super) fn join(texts: &[(usize, String)]) -> String {
    let mut metrics: Vec<Metric<'_>> = Vec::new();
    for (number, text) in texts {
        let mut current = 0;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("# HELP ").and_then(|rest| rest.split(' ').next()) {
                current = metrics.iter().position(|metric| metric.name == name).unwrap_or(metrics.len());
                if current == metrics.len() {
                    metrics.push(Metric { name, head: Vec::new(), samples: Vec::new() });
                }
            }
            let Some(metric) = metrics.get_mut(current) else { continue };
            if line.starts_with('#') {
                // The first process's will do for all.
                if !metric.head.contains(&line) {
                    metric.head.push(line);
                }
            } else {
                metric.samples.push(labelled(line, *number));
            }
        }
    }
    let lines = metrics.iter().flat_map(|metric| {
        let head = metric.head.iter().copied();
        head.chain(metric.samples.iter().map(String::as_str))
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A sample with the label in front of those that it has.
fn labelled(sample: &str, number: usize) -> String {
    match (sample.find('{'), sample.find(' ')) {
        (Some(at), Some(space)) if at < space => {
            format!("{}{{{LABEL}=\"{number}\",{}", &sample[..at], &sample[at + 1..])
        }
        (_, Some(at)) => format!("{}{{{LABEL}=\"{number}\"}}{}", &sample[..at], &sample[at..]),
        (_, None) => sample.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of a metric stay together, below one help and one type.
    #[test]
    fn texts_are_joined() {
        let text = |requests: u32| {
            format!(
                "# HELP a Requests.\n# TYPE a counter\na{{zone=\"x y\"}} {requests}\n# HELP b Lines.\n# TYPE b counter\nb 3\n"
            )
        };
        let wanted = "# HELP a Requests.\n# TYPE a counter\na{proxy=\"1\",zone=\"x y\"} 5\na{proxy=\"2\",zone=\"x y\"} 7\n\
                      # HELP b Lines.\n# TYPE b counter\nb{proxy=\"1\"} 3\nb{proxy=\"2\"} 3\n";
        assert_eq!(join(&[(1, text(5)), (2, text(7))]), wanted);
    }
}
