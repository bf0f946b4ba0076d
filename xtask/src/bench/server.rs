//! The programs that are measured: each is started on a free port of loopback
//! and ended, by its pid, when the value is dropped.

use crate::Options;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to accept connections, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// A running server and the folder of its data, which goes with it.
pub struct Server {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// What to run before it is ended: it takes instances down.
    down: Option<Command>,
}

impl Server {
    /// Starts the daemon on an empty data directory and waits for its ready line.
    pub fn daemon(options: &Options) -> Result<Server, String> {
        let folder = fresh_folder()?;
        let mut command = Command::new(binary()?);
        command.arg("up").arg("--data-dir").arg(&folder).args(["--listen", "127.0.0.1:0"]);
        if let Some(driver) = &options.driver {
            command.args(["--driver", driver]);
        }
        let log = folder.with_extension("log");
        let log = std::fs::File::create(&log).map_err(|err| format!("cannot create {}: {err}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|err| format!("cannot start the daemon: {err}"))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let ready = BufReader::new(stdout).lines().map_while(Result::ok).find_map(|line| {
            line.strip_prefix("Ready: http://").and_then(|address| address.trim().parse::<SocketAddr>().ok())
        });
        let mut down = Command::new(binary()?);
        down.args(["down", "--all"]).arg("--data-dir").arg(&folder).stdout(Stdio::null());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server { child, folder, address: ready.unwrap_or(nowhere), down: Some(down) };
        match ready {
            Some(_) => Ok(server),
            None => Err("the daemon ended or said nothing before its ready line".into()),
        }
    }

    /// Starts the emulator that PYTHON has, and waits until it accepts connections.
    pub fn peer() -> Result<Server, String> {
        let python = std::env::var_os("PYTHON").ok_or("no Python with the peer's packages")?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|err| format!("no free port: {err}"))?;
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|err| format!("cannot start the peer: {err}"))?;
        let server = Server { child, folder: fresh_folder()?, address, down: None };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err("the peer does not accept connections".into());
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Resident memory of the process in MiB.
    pub fn resident_mib(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).map_err(|err| format!("cannot read {path}: {err}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| "VmRSS is no number")?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(down) = &mut self.down {
            let _ = down.status();
        }
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_file(self.folder.with_extension("log"));
    }
}

/// The daemon's binary.
pub fn binary() -> Result<PathBuf, String> {
    std::env::var_os("ELASTANE_BIN").map(PathBuf::from).ok_or_else(|| "ELASTANE_BIN is not set".into())
}

fn fresh_folder() -> Result<PathBuf, String> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("elastane-bench-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|err| format!("cannot create {}: {err}", folder.display()))?;
    Ok(folder)
}
