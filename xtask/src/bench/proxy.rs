//! The data plane against nginx and HAProxy, with the runner and the
//! configurations that lie beside the project in `../shared/bench/lb`. All on
//! one core: CPU a request is then stable to about five per cent.

use crate::Options;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROUNDS: usize = 5;
/// Programs that the runner calls; the Debian packages are named alike, but for nghttp2-client's h2load.
const PROGRAMS: [&str; 4] = ["nginx", "haproxy", "wrk", "openssl"];
/// The proxy's example program listens on this port + 1 (13 bytes) and + 2 (1 KiB).
const BASE_PORT: u16 = 8900;

/// Runs the gate of load-balancer.md for the two body sizes.
pub fn run(options: &Options) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let source = root.join("../shared/bench/lb");
    if !source.join("prepare.sh").is_file() {
        println!("SKIPPED: no ../shared/bench/lb beside the project");
        return Ok(());
    }
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !on_path(program)).collect();
    if !missing.is_empty() {
        println!("SKIPPED: install {} first", missing.join(", "));
        return Ok(());
    }
    let target = binary_folder()?;
    let folder = target.join("bench-lb");
    if !folder.join("ready").is_file() {
        show(Command::new("sh").arg(source.join("prepare.sh")).arg(&folder).env_remove("CARGO_TARGET_DIR"))?;
        std::fs::write(folder.join("ready"), "").map_err(|err| format!("cannot mark the copy as ready: {err}"))?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--release", "--package", "elastane-proxy", "--example", "bench_proxy"];
    show(Command::new(cargo).current_dir(root).args(build))?;
    let program = target.join("release/examples/bench_proxy");
    let ours = serde_json::json!({ "ours": [[program, BASE_PORT.to_string()], BASE_PORT, null] });
    let extra = folder.join("ours.json");
    std::fs::write(&extra, ours.to_string()).map_err(|err| format!("cannot write {}: {err}", extra.display()))?;
    let rounds = options.rounds.unwrap_or(ROUNDS).to_string();
    for body in ["13", "1k"] {
        let mut runner = Command::new("python3");
        runner.arg(folder.join("bench.py")).arg("--upcmd").arg(folder.join("prototype/target/release/up_raw"));
        runner.args(["--rounds", &rounds, "--dur", "2", "--pcore", "0", "--wcore", "0"]);
        runner.args(["--wait", "0.5", "--maxdelay", "99", "--body", body, "nginx", "haproxy", "ours"]);
        show(runner.env("BENCH_EXTRA", &extra).env("BENCH_ROOT", &folder))?;
    }
    Ok(())
}

fn show(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|err| format!("cannot start {command:?}: {err}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}

/// The target directory: the daemon's binary lies in `release` in it.
fn binary_folder() -> Result<PathBuf, String> {
    let binary = crate::server::binary()?;
    binary.ancestors().nth(2).map(Path::to_path_buf).ok_or_else(|| "ELASTANE_BIN is not in a target directory".into())
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
