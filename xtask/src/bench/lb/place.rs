//! The folder with configurations, certificates and programs, and what runs
//! from it.

use super::cases::{BASE, Contender, Upstream, port};
use super::process::Process;
use elastane_domain::id::{CertificateArn, TargetGroupArn, Zone};
use elastane_domain::routing::{
    Action, Admission, Certificate, ClientAuth, Condition, Listener, LoadBalancer, LogPlace, Options, Pattern,
    Protocol, Rule, Snapshot, Target, TargetGroup, TlsSettings,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Programs that the cases call; the Debian packages are named alike, but for nghttp2-client's h2load.
const PROGRAMS: [&str; 6] = ["nginx", "haproxy", "wrk", "h2load", "openssl", "taskset"];
/// Memory file system for logs and the large file: a disk would be measured otherwise. The peers' configurations name it.
const SCRATCH: &str = "/dev/shm/h4";
const LARGE_BYTES: usize = 1024 * 1024;
/// Ports of the thousand targets.
const FIRST_TARGET: u16 = 21_000;
const TARGETS: u16 = 1000;
const RULES: u32 = 100;

/// The prepared folder.
pub struct Place {
    /// Where it is.
    pub folder: PathBuf,
    proxy: PathBuf,
}

impl Place {
    /// Makes it, unless something is missing: then it says what.
    pub fn prepare() -> Result<Option<Place>, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
        let source = root.join("../shared/bench/lb");
        if !source.join("prepare.sh").is_file() {
            println!("SKIPPED: no ../shared/bench/lb beside the project");
            return Ok(None);
        }
        let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !on_path(program)).collect();
        if !missing.is_empty() {
            println!("SKIPPED: install {} first", missing.join(", "));
            return Ok(None);
        }
        let target = target_folder()?;
        let folder = target.join("bench-lb");
        if !folder.join("ready").is_file() {
            show(Command::new("sh").arg(source.join("prepare.sh")).arg(&folder).env_remove("CARGO_TARGET_DIR"))?;
            write(&folder.join("ready"), "")?;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["build", "--quiet", "--release", "--package", "elastane-proxy", "--example", "serve_snapshot"];
        show(Command::new(cargo).current_dir(root).args(build))?;
        let place = Place { proxy: target.join("release/examples/serve_snapshot"), folder };
        place.write_configurations()?;
        std::fs::create_dir_all(SCRATCH).map_err(|err| format!("cannot make {SCRATCH}: {err}"))?;
        write(&Path::new(SCRATCH).join("1m"), &"x".repeat(LARGE_BYTES))?;
        Ok(Some(place))
    }

    fn write_configurations(&self) -> Result<(), String> {
        let root = self.folder.display();
        let nginx = format!(
            "worker_processes 1; daemon off; pid {root}/logs/nginx_h2.pid; error_log {root}/logs/nginx_h2.err crit;\n\
             worker_rlimit_nofile 20000; events {{ worker_connections 16000; }}\n\
             http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s;\n\
             http2_max_concurrent_streams 128; http2_max_requests 100000000;\n\
             upstream u13 {{ server 127.0.0.1:9001; keepalive 256; keepalive_requests 100000000; }}\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;\n\
             proxy_set_header X-Forwarded-Port $server_port; ssl_protocols TLSv1.2 TLSv1.3;\n\
             server {{ listen 127.0.0.1:8123 ssl http2 backlog=4096; ssl_certificate {root}/tls/ec.crt;\n\
             ssl_certificate_key {root}/tls/ec.key; location / {{ proxy_pass http://u13; }} }} }}\n"
        );
        write(&self.folder.join("conf/nginx_h2.conf"), &nginx)?;
        let haproxy = format!(
            "global\n  maxconn 9000\n  nbthread 1\ndefaults\n  mode http\n  timeout client 600s\n  timeout server 600s\n\
             \x20 timeout connect 5s\n  http-reuse always\n  option forwardfor\nfrontend f\n\
             \x20 bind 127.0.0.1:8223 ssl crt {root}/tls/ec.pem alpn h2,http/1.1 backlog 4096\n\
             \x20 http-request set-header X-Forwarded-Proto https\n\
             \x20 http-request set-header X-Forwarded-Port %[dst_port]\n  default_backend b\nbackend b\n\
             \x20 server s1 127.0.0.1:9001 pool-max-conn -1\n"
        );
        write(&self.folder.join("conf/haproxy_h2.cfg"), &haproxy)?;
        let read = |name: &str| {
            let path = self.folder.join("tls").join(name);
            std::fs::read_to_string(&path).map_err(|err| format!("cannot read {}: {err}", path.display()))
        };
        let snapshot = snapshot(read("ec.crt")?, read("ec.key")?);
        let text = serde_json::to_string(&snapshot).map_err(|err| format!("the snapshot: {err}"))?;
        write(&self.folder.join("snapshot.json"), &text)
    }

    /// Starts what serves the requests in the end.
    pub fn upstream(&self, upstream: Upstream) -> Result<Process, String> {
        let raw = self.folder.join("prototype/target/release/up_raw").display().to_string();
        let (command, port) = match upstream {
            Upstream::Small => (vec![raw], 9001),
            Upstream::Large => {
                (vec!["nginx".into(), "-c".into(), self.folder.join("conf/up_file.conf").display().to_string()], 9001)
            }
            Upstream::Many => {
                let ports = (FIRST_TARGET..FIRST_TARGET + TARGETS).map(|port| port.to_string());
                (std::iter::once(raw).chain(ports).collect(), FIRST_TARGET)
            }
        };
        Process::start(&command, port)
    }

    /// Starts a contender.
    pub fn start(&self, contender: &Contender) -> Result<Process, String> {
        let conf = |name: &str| self.folder.join("conf").join(name).display().to_string();
        let command = match (contender.name, contender.conf) {
            ("haproxy", Some(name)) => vec!["haproxy".into(), "-db".into(), "-f".into(), conf(name)],
            (_, Some(name)) => vec!["nginx".into(), "-c".into(), conf(name)],
            (_, None) => {
                let program = self.proxy.display().to_string();
                vec![program, self.folder.join("snapshot.json").display().to_string(), "1".into(), SCRATCH.into()]
            }
        };
        Process::start(&command, contender.port)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays lies in memory until the next run or the next boot.
        let _ = std::fs::remove_dir_all(SCRATCH);
    }
}

/// Our proxy's load balancers: one, and one with an access log.
fn snapshot(chain_pem: String, key_pem: String) -> Snapshot {
    let certificate = CertificateArn::from("arn:aws:acm:us-east-1:000000000000:certificate/bench");
    let listener =
        |offset: u16, action: Action| Listener::http(format!("arn:listener:{offset}").into(), BASE + offset, action);
    let to = |group: &str| Action::forward_to(TargetGroupArn::from(group));
    let secure = |listener: Listener| Listener {
        protocol: Protocol::Https,
        tls: Some(TlsSettings {
            policy: "ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned(),
            certificates: vec![certificate.clone()],
            client_auth: ClientAuth::Off,
            alpn: Vec::new(),
        }),
        ..listener
    };
    let hello =
        Action::FixedResponse { status: 200, content_type: "text/plain".to_owned(), body: "Hello, World!".to_owned() };
    let on_path = |priority| Condition::Path(vec![Pattern::Wildcard(format!("/service-{priority}/*"))]);
    // Every request has this header, with another value.
    let on_header = |priority| Condition::Header {
        name: "host".to_owned(),
        values: vec![Pattern::Wildcard(format!("service-{priority}.*"))],
    };
    let listeners = vec![
        listener(port::SMALL, to("arn:small")),
        listener(port::KIB, to("arn:kib")),
        secure(listener(port::HTTP2, to("arn:small"))),
        secure(listener(port::HANDSHAKE, hello.clone())),
        behind_rules(listener(port::RULES, to("arn:small")), &hello, on_path),
        behind_rules(listener(port::HEADER_RULES, to("arn:small")), &hello, on_header),
        listener(port::TEN, to("arn:ten")),
        listener(port::THOUSAND, to("arn:thousand")),
    ];
    let plain = LoadBalancer::application("arn:loadbalancer/app/bench/1".into(), Ipv4Addr::LOCALHOST, listeners);
    let logged = LoadBalancer::application(
        "arn:loadbalancer/app/logged/1".into(),
        Ipv4Addr::LOCALHOST,
        vec![listener(port::LOGGED, to("arn:logged"))],
    );
    let access_log = Some(LogPlace { bucket: "bench".to_owned(), prefix: String::new() });
    let logged = LoadBalancer { options: Options { access_log, ..logged.options }, ..logged };
    let many = |name: &str, count: u16| group(name, FIRST_TARGET..FIRST_TARGET + count);
    let mut target_groups = vec![
        group("arn:small", 9001..9002),
        group("arn:logged", 9001..9002),
        group("arn:kib", 9002..9003),
        many("arn:ten", 10),
        many("arn:thousand", TARGETS),
    ];
    target_groups.sort_by(|a, b| a.arn.cmp(&b.arn));
    let names = vec!["localhost".to_owned()];
    let key_pem = elastane_domain::secret::SecretText::new(key_pem);
    Snapshot {
        generation: 1,
        load_balancers: vec![Arc::new(plain), Arc::new(logged)],
        target_groups: target_groups.into_iter().map(Arc::new).collect(),
        certificates: vec![Arc::new(Certificate { arn: certificate.clone(), chain_pem, key_pem, names })],
        trust_stores: Vec::new(),
    }
}

/// A listener behind many rules, of which no request meets one.
fn behind_rules(mut listener: Listener, answer: &Action, condition: fn(u32) -> Condition) -> Listener {
    let rules = (1..=RULES).map(|priority| Rule {
        arn: format!("arn:rule:{priority}").into(),
        priority: Some(priority),
        conditions: vec![condition(priority)],
        transforms: Vec::new(),
        authenticate: None,
        action: answer.clone(),
    });
    listener.rules.splice(0..0, rules);
    listener
}

fn group(arn: &str, ports: std::ops::Range<u16>) -> TargetGroup {
    let target = |port| Target {
        instance: None,
        address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        vpc: None,
        source: None,
        zone: Some(Zone::from("us-east-1a")),
        admission: Admission::Registered,
    };
    TargetGroup::http(arn.into(), ports.map(target).collect())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|err| format!("cannot write {}: {err}", path.display()))
}

fn show(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|err| format!("cannot start {command:?}: {err}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}

/// The target directory: the daemon's binary lies in `release` in it.
fn target_folder() -> Result<PathBuf, String> {
    let binary = std::path::absolute(crate::server::binary()?).map_err(|err| format!("ELASTANE_BIN: {err}"))?;
    binary.ancestors().nth(2).map(Path::to_path_buf).ok_or_else(|| "ELASTANE_BIN is not in a target directory".into())
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
