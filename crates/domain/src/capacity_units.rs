//! Load balancer capacity units: what AWS bills by, and what `ConsumedLCUs`
//! shows (Elastic Load Balancing pricing, "LCU details"). One unit is the
//! largest of four dimensions; what is measured over a minute is taken as the
//! rate of an hour.

use crate::time::Span;

/// What a load balancer did over a span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// New connections or flows.
    pub new_connections: f64,
    /// Connections or flows that were open.
    pub active_connections: f64,
    /// Bytes processed.
    pub bytes: f64,
    /// Requests, each of which may look at ten rules for nothing.
    pub requests: f64,
    /// Rules that were looked at.
    pub rule_evaluations: f64,
}

/// What one unit allows in each dimension.
#[derive(Clone, Copy, Debug)]
struct Unit {
    new_connections_a_second: f64,
    active_connections: f64,
    bytes_an_hour: f64,
}

const APPLICATION: Unit = Unit { new_connections_a_second: 25.0, active_connections: 3_000.0, bytes_an_hour: 1e9 };
const NETWORK_TCP: Unit = Unit { new_connections_a_second: 800.0, active_connections: 100_000.0, bytes_an_hour: 1e9 };
const NETWORK_UDP: Unit = Unit { new_connections_a_second: 400.0, active_connections: 50_000.0, bytes_an_hour: 1e9 };
const NETWORK_TLS: Unit = Unit { new_connections_a_second: 50.0, active_connections: 3_000.0, bytes_an_hour: 1e9 };

/// Rule evaluations a second of one unit.
const EVALUATIONS_A_SECOND: f64 = 1_000.0;
/// Rules that each request may look at for nothing.
const FREE_RULES: f64 = 10.0;

impl Unit {
    /// Units used of connections made, connections open and bytes.
    fn dimensions(&self, used: &Use, span: Span) -> [f64; 3] {
        let seconds = span.millis() as f64 / 1000.0;
        [
            used.new_connections / seconds / self.new_connections_a_second,
            used.active_connections / self.active_connections,
            used.bytes * 3600.0 / seconds / self.bytes_an_hour,
        ]
    }
}

/// Units of an application load balancer over a span above zero.
pub fn application(used: &Use, span: Span) -> f64 {
    let charged = (used.rule_evaluations - FREE_RULES * used.requests).max(0.0);
    let rules = charged / (span.millis() as f64 / 1000.0) / EVALUATIONS_A_SECOND;
    APPLICATION.dimensions(used, span).into_iter().fold(rules, f64::max)
}

/// Units of a network load balancer over a span above zero: each dimension is
/// summed over the protocols.
pub fn network(tcp: &Use, tls: &Use, udp: &Use, span: Span) -> f64 {
    let all = [(NETWORK_TCP, tcp), (NETWORK_TLS, tls), (NETWORK_UDP, udp)];
    let mut sums = [0.0; 3];
    for (unit, used) in all {
        for (sum, more) in sums.iter_mut().zip(unit.dimensions(used, span)) {
            *sum += more;
        }
    }
    sums.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Span = Span::from_mins(1);

    /// The largest dimension counts, and ten rules a request are free.
    #[test]
    fn alb_11_units_of_applications() {
        let none = Use::default();
        for (used, want) in [
            (none, 0.0),
            (Use { new_connections: 1_500.0, ..none }, 1.0),
            (Use { active_connections: 6_000.0, new_connections: 1_500.0, ..none }, 2.0),
            (Use { bytes: 1e9 / 60.0, ..none }, 1.0),
            (Use { requests: 60_000.0, rule_evaluations: 600_000.0, ..none }, 0.0),
            (Use { requests: 60_000.0, rule_evaluations: 660_000.0, ..none }, 1.0),
        ] {
            assert!((application(&used, MINUTE) - want).abs() < 1e-9, "{used:?}");
        }
    }

    /// Protocols share the units.
    #[test]
    fn alb_13_units_of_networks() {
        let tcp = Use { new_connections: 48_000.0, bytes: 1.0, ..Use::default() };
        let tls = Use { new_connections: 3_000.0, active_connections: 3_000.0, ..Use::default() };
        assert!((network(&tcp, &tls, &Use::default(), MINUTE) - 2.0).abs() < 1e-9);
        let udp = Use { active_connections: 200_000.0, ..Use::default() };
        assert!((network(&tcp, &tls, &udp, MINUTE) - 5.0).abs() < 1e-9);
    }
}
