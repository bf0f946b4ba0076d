//! `cargo xtask test`: what the tests need is installed, everything is built
//! once in the dev profile, then cargo's tests, the simulator and the real
//! clients run one after the other, and one closing line gives the sum. A part
//! that fails does not keep the next from running.

use crate::Part;
use crate::fetch;
use crate::python::{self, ANSIBLE_REQUIREMENTS, CONFORMANCE_REQUIREMENTS, Python, TEST_REQUIREMENTS};
use crate::run::{Job, minutes, root, target_directory};
use crate::tally::{Tally, closing_line};
use std::path::{Path, PathBuf};

/// Fresh seeds a run: a few tens of seconds in the dev profile on two cores.
pub const FRESH_SEEDS: u32 = 100;
/// Seeds that once failed, one a line, decimal; `#` starts a comment.
const RECORDED_SEEDS: &str = "crates/sim/seeds.txt";

/// The HTTP/2 conformance tool, as Go names it.
const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

/// Modules that run beside the others, in a run of their own: they wait for their client most of the time.
const BESIDE: [&str; 14] = [
    "tests/test_ansible.py",
    "tests/test_ansible_lb.py",
    "tests/test_ansible_asg.py",
    "tests/test_ansible_iam.py",
    "tests/test_access.py",
    "tests/test_audit.py",
    "tests/test_autoscaling_groups.py",
    "tests/test_autoscaling_members.py",
    "tests/test_iam_policies.py",
    "tests/test_iam_roles.py",
    "tests/test_iam_users.py",
    "tests/test_kms.py",
    "tests/test_terraform_autoscaling.py",
    "tests/test_terraform_iam.py",
];

/// Programs that the tests call, and the Debian package that brings each.
const PROGRAMS: [(&str, &str); 15] = [
    // Instances run the host's own Python, not one that the tests brought.
    ("/usr/bin/python3", "python3"),
    ("curl", "curl"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("mkfs.ext4", "e2fsprogs"),
    ("newuidmap", "uidmap"),
    ("git", "git"),
    // What the load balancer is compared with.
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("openssl", "openssl"),
    // Instances that people log in to run the host's own.
    ("ssh", "openssh-client"),
    ("/usr/sbin/sshd", "openssh-server"),
    // Run inside instances, against the metadata service.
    ("cloud-init", "cloud-init"),
];

/// Runs all parts, or `only` one. An error when any test failed.
pub fn run(only: Option<Part>, seeds: u32, pytest: &[String]) -> Result<(), String> {
    let wanted = |part| only.is_none_or(|only| only == part);
    provide_programs();
    let mut sum = Tally::default();
    let mut problems = Vec::new();
    let mut note = |part: &str, outcome: Result<Tally, String>| match outcome {
        Ok(tally) => {
            println!("--- {part}: {}", parts_of(tally));
            sum += tally;
        }
        Err(problem) => {
            println!("--- {part}: {problem}");
            sum.failed += 1;
            problems.push(format!("{part}: {problem}"));
        }
    };
    // They are fetched and unpacked while cargo compiles.
    let tools = wanted(Part::Clients).then(|| std::thread::spawn(Tools::provide));
    if wanted(Part::Cargo) {
        note("cargo", cargo_tests());
    }
    if wanted(Part::Sim) || wanted(Part::Clients) {
        match daemon() {
            Ok(binary) => {
                if wanted(Part::Sim) {
                    note("sim", simulator(&binary, seeds));
                }
                if let Some(tools) = tools {
                    let tools = tools.join().unwrap_or_else(|_| Err("the installation panicked".to_owned()));
                    note("clients", tools.and_then(|tools| clients(&tools, &binary, pytest)));
                }
            }
            Err(problem) => note("daemon", Err(problem)),
        }
    }
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    println!("{sum}");
    if sum.failed == 0 { Ok(()) } else { Err("some tests failed".into()) }
}

/// Counts in words that no reader of closing lines takes for the last word.
fn parts_of(tally: Tally) -> String {
    format!("{} well, {} not, {} left out", tally.passed, tally.failed, tally.skipped)
}

/// A number that is fresh with every commit and the same for one commit.
pub fn seed_of_commit() -> Result<u64, String> {
    let hash = Job::new("git").args(["rev-parse", "HEAD"]).output()?;
    let start = hash.get(..15).ok_or("git names no commit")?;
    u64::from_str_radix(start, 16).map_err(|err| format!("the commit's hash is not a number: {err}"))
}

fn cargo_tests() -> Result<Tally, String> {
    println!("--- cargo test --workspace");
    let job = Job::cargo(["test", "--workspace", "--features", "xtask/bench", "--no-fail-fast"])
        .env("PROTOCOL_CASES", fetch::protocol_cases()?)
        .limit(minutes(30));
    counted(job)
}

/// Builds the daemon in the dev profile, and the load generator and the target of the load balancer's tests. Packages
/// and features are those of the tests, so that nothing is compiled a second time.
fn daemon() -> Result<PathBuf, String> {
    let job = Job::cargo(["build", "--workspace", "--features", "xtask/bench", "--bin", "elastane", "--examples"]);
    job.limit(minutes(30)).run()?;
    Ok(target_directory()?.join("debug/elastane"))
}

fn simulator(binary: &Path, fresh: u32) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let recorded = recorded_seeds()?;
    let first = seed_of_commit()?;
    println!("--- the simulator: {} recorded seeds, {fresh} fresh ones from {first}", recorded.len());
    for (seed, count) in recorded.iter().map(|seed| (*seed, 1)).chain([(first, fresh)]).filter(|(_, count)| *count > 0)
    {
        let job = Job::new(binary)
            .args(["sim", "--twice", "--seed", &seed.to_string(), "--seeds", &count.to_string()])
            .limit(minutes(15));
        let mut counted = None;
        let ended = job.lines(|line| {
            println!("{line}");
            counted = closing_line(line).or(counted);
        })?;
        tally += match (ended, counted) {
            (Ok(()), None) => Tally { passed: count.into(), ..Tally::default() },
            (Ok(()), Some(counted)) => counted,
            (Err(_), Some(counted)) if counted.failed > 0 => counted,
            (Err(problem), _) => {
                println!("{problem}");
                Tally { failed: 1, ..Tally::default() }
            }
        };
    }
    Ok(tally)
}

fn recorded_seeds() -> Result<Vec<u64>, String> {
    let path = root().join(RECORDED_SEEDS);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(Vec::new());
    };
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().map_err(|err| format!("{RECORDED_SEEDS}: {line:?} is not a seed: {err}")))
        .collect()
}

/// What the real clients need.
struct Tools {
    python: Python,
    ansible: Python,
    /// The folder of the conformance tools.
    conformance: Option<PathBuf>,
}

impl Tools {
    /// Installs what is missing.
    fn provide() -> Result<Tools, String> {
        let python = python::environment(TEST_REQUIREMENTS)?;
        let ansible = python::environment(ANSIBLE_REQUIREMENTS)?;
        Ok(Tools { python, ansible, conformance: conformance_tools() })
    }
}

fn clients(tools: &Tools, binary: &Path, pytest: &[String]) -> Result<Tally, String> {
    println!("--- the real clients");
    let job = || {
        let conformance = tools.conformance.as_deref();
        tools
            .python
            .module("pytest")
            .args(["-p", "no:cacheprovider", "--durations=10", "-rs"])
            .env("ELASTANE_BIN", binary)
            .env("ANSIBLE_PLAYBOOK", tools.ansible.program("ansible-playbook"))
            .env("CONFORMANCE_TOOLS", conformance.unwrap_or(Path::new("")))
            .limit(minutes(25))
    };
    if !pytest.is_empty() {
        let named = pytest.iter().any(|arg| arg.starts_with("tests"));
        return counted(job().args(if named { None } else { Some("tests") }).args(pytest));
    }
    let others = BESIDE.map(|module| format!("--ignore={module}"));
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut told = Vec::new();
            let counted = counted_by(job().args(BESIDE), |line| told.push(line.to_owned()));
            (told, counted)
        });
        let first = counted(job().args(["tests"]).args(others));
        let (told, second) = beside.join().map_err(|_| "the run beside the others panicked".to_owned())?;
        println!("--- beside them");
        told.iter().for_each(|line| println!("{line}"));
        let mut sum = first?;
        sum += second?;
        Ok(sum)
    })
}

/// The folder of the conformance tools, as far as they can be installed;
/// tests that miss one say so and are skipped.
fn conformance_tools() -> Option<PathBuf> {
    let python = match python::environment(CONFORMANCE_REQUIREMENTS) {
        Ok(python) => python,
        Err(problem) => {
            println!("{problem}: going on without conformance tools");
            return None;
        }
    };
    let folder = python.program("redbot").parent()?.to_path_buf();
    if !folder.join("h2spec").is_file() {
        // It is written in Go and has no other package.
        let built = match on_path("go") {
            true => Job::new("go").args(["install", H2SPEC]).env("GOBIN", &folder).limit(minutes(10)).run(),
            false => Err("there is no Go".to_owned()),
        };
        if let Err(problem) = built {
            println!("{problem}: going on without h2spec");
        }
    }
    Some(folder)
}

/// Runs `job`, shows what it prints and sums its closing lines; see [`counted_by`].
fn counted(job: Job) -> Result<Tally, String> {
    counted_by(job, |line| println!("{line}"))
}

/// Runs `job`, hands each line that it prints to `show` and sums the closing lines. A bad exit status without a failed
/// test among them counts as one.
fn counted_by(job: Job, mut show: impl FnMut(&str)) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let ended = job.lines(|line| {
        show(line);
        tally += closing_line(line).unwrap_or_default();
    })?;
    match ended {
        Err(problem) if tally.failed == 0 => {
            show(&problem);
            tally.failed += 1;
        }
        Ok(()) if tally == Tally::default() => return Err("no test was run".into()),
        Ok(()) | Err(_) => {}
    }
    Ok(tally)
}

/// Installs the programs that are missing, as root on a Debian; says what is
/// missing otherwise. The tests that need one then skip and say so.
fn provide_programs() {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(name, _)| !on_path(name)).map(|(_, package)| *package).collect();
    if !python_has("venv, ensurepip") {
        packages.push("python3-venv");
    }
    if !python_has("pip") {
        packages.push("python3-pip");
    }
    packages.dedup();
    if packages.is_empty() {
        return;
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        println!("missing, and not installable without root and apt-get: {list}");
        return;
    }
    println!("installing {list}");
    let apt = |args: &[&str]| {
        Job::new("apt-get")
            .args(["-qq", "-y"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Where no systemd runs, services that packages bring are not started.
            .env("RUNLEVEL", "1")
            .limit(minutes(10))
            .run()
    };
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(packages);
    if let Err(problem) = apt(&["update"]).and_then(|()| apt(&install)) {
        println!("{problem}: going on without {list}");
    }
}

fn python_has(modules: &str) -> bool {
    let script = format!("import {modules}");
    Job::new("python3").args(["-c", &script]).quiet().output().is_ok()
}

fn on_path(name: &str) -> bool {
    // An ordinary user's PATH often lacks the administrator's folders.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(name).is_file())
}
