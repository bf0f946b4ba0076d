//! What is measured, and the goals (load-balancer.md, "Goals with every
//! feature on").

/// Offsets of our proxy's ports from its base.
pub mod port {
    /// HTTP to the upstream's 13 bytes.
    pub const SMALL: u16 = 1;
    /// HTTP to the upstream's KiB.
    pub const KIB: u16 = 2;
    /// HTTPS with HTTP/2 to the upstream's 13 bytes.
    pub const HTTP2: u16 = 3;
    /// HTTPS, P-256, a fixed response.
    pub const HANDSHAKE: u16 = 4;
    /// HTTP to the upstream's 13 bytes, with an access log.
    pub const LOGGED: u16 = 5;
    /// HTTP behind a hundred rules.
    pub const RULES: u16 = 6;
    /// HTTP to ten targets.
    pub const TEN: u16 = 7;
    /// HTTP to a thousand targets.
    pub const THOUSAND: u16 = 8;
    /// HTTP behind a hundred rules about headers.
    pub const HEADER_RULES: u16 = 9;
}

/// Our proxy's ports start here.
pub const BASE: u16 = 8900;

/// A program that takes requests.
#[derive(Clone)]
pub struct Contender {
    /// Its name in the table.
    pub name: &'static str,
    /// Configuration in the folder; `None` is our own proxy.
    pub conf: Option<&'static str>,
    /// Where it listens for this case.
    pub port: u16,
}

/// What serves the requests in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// 13 bytes on port 9001, a KiB on port 9002, as fast as can be.
    Small,
    /// A file of 1 MiB on port 9001.
    Large,
    /// 13 bytes on a thousand ports.
    Many,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// CPU a request.
    Cpu,
    /// Requests a second.
    Rate,
    /// The 99th percentile of latencies.
    P99,
}

/// A goal of a case.
pub struct Goal {
    /// The peer.
    pub against: &'static str,
    /// What is compared.
    pub measure: Measure,
    /// What must be met.
    pub gate: f64,
    /// What is wanted.
    pub stretch: f64,
}

/// How requests are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// wrk over so many connections that are kept.
    Kept(u32),
    /// wrk, a new connection for each request.
    Closing(u32),
    /// h2load, 16 connections with 16 streams each.
    Http2,
}

/// One case.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// What serves.
    pub upstream: Upstream,
    /// How requests are made.
    pub load: Load,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Length of a round.
    pub seconds: u32,
    /// The goals.
    pub goals: Vec<Goal>,
    /// Whether the ratio of the two peers tells how quiet the machine is.
    pub tells_noise: bool,
}

fn ours(offset: u16) -> Contender {
    Contender { name: "ours", conf: None, port: BASE + offset }
}

fn peer(name: &'static str, conf: &'static str, port: u16) -> Contender {
    Contender { name, conf: Some(conf), port }
}

fn goal(against: &'static str, measure: Measure, gate: f64, stretch: f64) -> Goal {
    Goal { against, measure, gate, stretch }
}

fn case(name: &'static str, contenders: Vec<Contender>, load: Load, goals: Vec<Goal>) -> Case {
    let upstream = Upstream::Small;
    Case { name, contenders, upstream, load, scheme: "http", seconds: 2, goals, tells_noise: false }
}

/// Every case of the table.
pub fn all() -> Vec<Case> {
    let kept = |name, offset| {
        let contenders = vec![
            peer("nginx", "nginx.conf", 8100 + offset),
            peer("haproxy", "haproxy.cfg", 8200 + offset),
            ours(offset),
        ];
        let mut goals = vec![goal("nginx", Measure::Cpu, 1.35, 1.6), goal("haproxy", Measure::Cpu, 1.7, 2.1)];
        if offset == port::SMALL {
            goals.push(goal("nginx", Measure::P99, 1.0, 0.7));
        }
        Case { tells_noise: true, ..case(name, contenders, Load::Kept(64), goals) }
    };
    vec![
        kept("HTTP/1 keep-alive, 13 bytes", port::SMALL),
        kept("HTTP/1 keep-alive, 1 KiB", port::KIB),
        case(
            "HTTP/1 keep-alive with access logs",
            vec![peer("nginx", "nginx_log.conf", 8171), ours(port::LOGGED)],
            Load::Kept(64),
            vec![goal("nginx", Measure::Cpu, 1.4, 1.7)],
        ),
        Case {
            scheme: "https",
            ..case(
                "HTTP/2 over TLS to HTTP/1",
                vec![peer("nginx", "nginx_h2.conf", 8123), peer("haproxy", "haproxy_h2.cfg", 8223), ours(port::HTTP2)],
                Load::Http2,
                vec![goal("nginx", Measure::Cpu, 1.6, 2.0), goal("haproxy", Measure::Cpu, 1.2, 1.5)],
            )
        },
        case(
            "a new connection for each request",
            vec![peer("nginx", "nginx.conf", 8101), ours(port::SMALL)],
            Load::Closing(64),
            vec![goal("nginx", Measure::Cpu, 1.0, 1.2)],
        ),
        Case {
            scheme: "https",
            ..case(
                "P-256 handshakes (nginx with OpenSSL)",
                vec![peer("nginx", "nginx_tls.conf", 8111), ours(port::HANDSHAKE)],
                Load::Closing(16),
                vec![goal("nginx", Measure::Cpu, 1.9, 2.1)],
            )
        },
        Case {
            upstream: Upstream::Large,
            ..case(
                "1 MiB bodies, requests/s (HAProxy splices)",
                vec![peer("haproxy", "haproxy_splice.cfg", 8261), ours(port::SMALL)],
                Load::Kept(16),
                vec![goal("haproxy", Measure::Rate, 1.0, 1.15)],
            )
        },
    ]
}

/// How the dearer one of a pair is compared with the cheaper one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Microseconds of CPU that a request costs more.
    More,
    /// The ratio of CPU a request.
    Ratio,
}

/// Two of our own ports whose difference is what something costs.
pub struct Pair {
    /// The pair.
    pub case: Case,
    /// The names of the cheaper and of the dearer one.
    pub names: [&'static str; 2],
    /// How they are compared.
    pub cost: Cost,
    /// What must be met, and what is wanted, at most.
    pub goals: [f64; 2],
}

/// What rules and targets cost.
pub fn pairs() -> Vec<Pair> {
    let pair = |name, base: (&'static str, u16), more: (&'static str, u16), upstream, cost, goals| {
        let contender = |(name, offset): (&'static str, u16)| Contender { name, conf: None, port: BASE + offset };
        let contenders = vec![contender(base), contender(more)];
        let case = Case { upstream, ..case(name, contenders, Load::Kept(64), Vec::new()) };
        Pair { case, names: [base.0, more.0], cost, goals }
    };
    let one = ("one rule", port::SMALL);
    // A pair of equals differs by some per cent.
    let equal = [1.05, 1.0];
    vec![
        pair("100 rules over one, µs more", one, ("100 rules", port::RULES), Upstream::Small, Cost::More, [1.0, 0.5]),
        pair(
            "100 rules on headers over one, µs more",
            one,
            ("100 on headers", port::HEADER_RULES),
            Upstream::Small,
            Cost::More,
            [1.0, 0.5],
        ),
        pair(
            "1,000 targets over ten, CPU",
            ("10 targets", port::TEN),
            ("1000 targets", port::THOUSAND),
            Upstream::Many,
            Cost::Ratio,
            equal,
        ),
    ]
}
