//! Counters in Prometheus's text form (exposition format 0.0.4): sums since
//! the process started, by load balancer and zone, and by target group and
//! zone. Names are Prometheus's own style; what they count is what the
//! CloudWatch metrics beside them count.

use super::{Registry, Watching};
use crate::metrics::{Count, Totals, bucket_end};
use elastane_domain::routing::{Family, TargetHealth};
use std::fmt::Write;

/// A family of counters: name, help, and which counts with which label.
struct Series {
    name: &'static str,
    help: &'static str,
    /// (value of the label `code` or `kind`, count)
    counts: &'static [(&'static str, Count)],
    label: &'static str,
}

/// What is counted at nodes of load balancers.
const BALANCER: &[Series] = &[
    Series {
        name: "elastane_lb_requests_total",
        help: "Requests for which a target was chosen.",
        counts: &[("", Count::Requests)],
        label: "",
    },
    Series {
        name: "elastane_lb_responses_total",
        help: "Answers of the load balancer itself, by class.",
        counts: &[("3xx", Count::Elb3xx), ("4xx", Count::Elb4xx), ("5xx", Count::Elb5xx)],
        label: "code",
    },
    Series {
        name: "elastane_lb_errors_total",
        help: "Answers of the load balancer itself, by status.",
        counts: &[
            ("460", Count::Elb460),
            ("500", Count::Elb500),
            ("502", Count::Elb502),
            ("503", Count::Elb503),
            ("504", Count::Elb504),
        ],
        label: "status",
    },
    Series {
        name: "elastane_lb_connections_total",
        help: "New connections, of clients and to targets.",
        counts: &[("accepted", Count::NewConnections), ("rejected", Count::RejectedConnections)],
        label: "outcome",
    },
    Series {
        name: "elastane_lb_bytes_total",
        help: "Bytes exchanged with clients.",
        counts: &[("", Count::ProcessedBytes)],
        label: "",
    },
    Series {
        name: "elastane_lb_actions_total",
        help: "Requests answered by an action of a rule.",
        counts: &[("fixed-response", Count::FixedResponses), ("redirect", Count::Redirects)],
        label: "action",
    },
    Series {
        name: "elastane_lb_rule_evaluations_total",
        help: "Rules that were looked at.",
        counts: &[("", Count::RuleEvaluations)],
        label: "",
    },
    Series {
        name: "elastane_lb_requests_of_kind_total",
        help: "Requests of a kind of their own.",
        counts: &[
            ("non-sticky", Count::NonStickyRequests),
            ("grpc", Count::GrpcRequests),
            ("ipv6", Count::Ipv6Requests),
            ("desync-non-compliant", Count::DesyncNonCompliant),
            ("invalid-header-dropped", Count::DroppedInvalidHeader),
            ("invalid-header-forwarded", Count::ForwardedInvalidHeader),
        ],
        label: "kind",
    },
    Series {
        name: "elastane_lb_tls_errors_total",
        help: "Failed TLS handshakes.",
        counts: &[("client", Count::ClientTlsErrors), ("target", Count::TargetTlsErrors)],
        label: "side",
    },
    Series {
        name: "elastane_lb_flows_total",
        help: "New flows of network load balancers.",
        counts: &[("tcp", Count::NewFlowsTcp), ("tls", Count::NewFlowsTls), ("udp", Count::NewFlowsUdp)],
        label: "protocol",
    },
    Series {
        name: "elastane_lb_resets_total",
        help: "Resets of flows, by who sent them.",
        counts: &[("client", Count::ClientResets), ("target", Count::TargetResets), ("lb", Count::ElbResets)],
        label: "by",
    },
];

/// What is counted at target groups.
const GROUP: &[Series] = &[
    Series {
        name: "elastane_target_requests_total",
        help: "Requests sent to the group.",
        counts: &[("", Count::Requests)],
        label: "",
    },
    Series {
        name: "elastane_target_responses_total",
        help: "Answers of targets, by class.",
        counts: &[
            ("2xx", Count::Target2xx),
            ("3xx", Count::Target3xx),
            ("4xx", Count::Target4xx),
            ("5xx", Count::Target5xx),
        ],
        label: "code",
    },
    Series {
        name: "elastane_target_errors_total",
        help: "Connections to targets that could not be made.",
        counts: &[("connect", Count::TargetConnectionErrors), ("tls", Count::TargetTlsErrors)],
        label: "kind",
    },
    Series {
        name: "elastane_target_unhealthy_routing_total",
        help: "Requests routed while too few targets were healthy.",
        counts: &[("", Count::UnhealthyRouting)],
        label: "",
    },
];

/// Upper bounds of the response time histogram, in microseconds.
const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    60_000_000,
];

impl Registry {
    /// All counters and gauges.
    pub(crate) fn prometheus(&self, lost_log_lines: u64) -> String {
        let mut out = String::new();
        let balancers = self.balancers.values().flat_map(|balancer| {
            balancer.nodes.values().map(|node| {
                let family = match balancer.config.family {
                    Family::Application => "application",
                    Family::Network => "network",
                };
                let labels = format!(
                    "load_balancer=\"{}\",type=\"{family}\",zone=\"{}\"",
                    escape(&balancer.config.dimension),
                    escape(node.state.zone.as_str())
                );
                (labels, node.state.ledger.totals(), node.state.ledger.connections(), node.state.ledger.flows())
            })
        });
        let balancers: Vec<_> = balancers.collect();
        let of_nodes: Vec<(&str, &Totals)> =
            balancers.iter().map(|(labels, totals, ..)| (labels.as_str(), totals)).collect();
        BALANCER.iter().for_each(|series| write_series(series, &of_nodes, &mut out));
        head("elastane_lb_active_connections", "Connections and flows open now.", "gauge", &mut out);
        for (labels, _, connections, flows) in &balancers {
            let open = connections + flows.iter().sum::<u64>();
            let _ = writeln!(out, "elastane_lb_active_connections{{{labels}}} {open}");
        }
        let groups: Vec<(String, Totals)> = self
            .groups
            .values()
            .flat_map(|group| {
                group.zones.iter().map(|(zone, entry)| {
                    let zone = zone.as_ref().map_or("", |zone| zone.as_str());
                    let labels =
                        format!("target_group=\"{}\",zone=\"{}\"", escape(&group.config.dimension), escape(zone));
                    (labels, entry.state.ledger.totals())
                })
            })
            .collect();
        let of_groups: Vec<(&str, &Totals)> = groups.iter().map(|(labels, totals)| (labels.as_str(), totals)).collect();
        GROUP.iter().for_each(|series| write_series(series, &of_groups, &mut out));
        write_times(&of_groups, &mut out);
        self.write_targets(&mut out);
        head("elastane_log_lines_lost_total", "Lines of logs that were thrown away.", "counter", &mut out);
        let _ = writeln!(out, "elastane_log_lines_lost_total {lost_log_lines}");
        out
    }

    fn write_targets(&self, out: &mut String) {
        head("elastane_target_state", "1 for the state that each checked target is in.", "gauge", out);
        for (key, target) in self.targets.iter().filter(|(_, target)| target.watching != Watching::Not) {
            let state = match target.health.health() {
                TargetHealth::Initial => "initial",
                TargetHealth::Healthy => "healthy",
                TargetHealth::Unhealthy(_) => "unhealthy",
            };
            let group = self.groups.get(&key.group).map_or("", |group| &group.config.dimension);
            let _ = writeln!(
                out,
                "elastane_target_state{{target_group=\"{}\",target=\"{}\",state=\"{state}\"}} 1",
                escape(group),
                key.address
            );
        }
    }
}

fn head(name: &str, help: &str, kind: &str, out: &mut String) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn write_series(series: &Series, rows: &[(&str, &Totals)], out: &mut String) {
    head(series.name, series.help, "counter", out);
    for (labels, totals) in rows {
        for (value, count) in series.counts {
            let name = series.name;
            let number = totals.counts[*count as usize];
            let _ = match *value {
                "" => writeln!(out, "{name}{{{labels}}} {number}"),
                value => writeln!(out, "{name}{{{labels},{}=\"{value}\"}} {number}", series.label),
            };
        }
    }
}

/// The time that targets took, as a histogram in seconds.
fn write_times(rows: &[(&str, &Totals)], out: &mut String) {
    let name = "elastane_target_response_seconds";
    head(name, "Time from the request being sent to the answer's first header.", "histogram", out);
    for (labels, totals) in rows {
        for bound in BOUNDS {
            // A bucket belongs to the first bound that all of it is below.
            let below = totals.histogram.iter().enumerate().filter(|(index, _)| bucket_end(*index) <= bound);
            let below: u64 = below.map(|(_, count)| count).sum();
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {below}", bound as f64 / 1e6);
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", totals.time_count);
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", totals.time_sum as f64 / 1e6);
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", totals.time_count);
    }
}

/// A label's value with what would end it escaped.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
