//! The Python that the real clients run in: a virtual environment with pinned
//! packages under the target directory, made once for each list of packages.
//! Where a virtual environment cannot be made the packages go into a plain
//! folder that PYTHONPATH names.

use crate::run::{Job, minutes, root, target_directory};
use std::path::{Path, PathBuf};

/// Packages of the black-box tests.
pub const TEST_REQUIREMENTS: &str = "tests/requirements.txt";
/// Ansible, a client of the black-box tests with an environment of its own.
pub const ANSIBLE_REQUIREMENTS: &str = "tests/ansible/requirements.txt";
/// Conformance tools of the load balancer's tests.
pub const CONFORMANCE_REQUIREMENTS: &str = "tests/conformance/requirements.txt";
/// Tools of `cargo xtask ci`.
pub const CI_REQUIREMENTS: &str = "xtask/src/ci/requirements.txt";
/// Packages of the program that the benches compare with.
pub const BENCH_REQUIREMENTS: &str = "xtask/src/bench/requirements.txt";

/// A Python with the packages of one list.
pub struct Python {
    interpreter: PathBuf,
    packages: Option<PathBuf>,
}

impl Python {
    /// Lets `job` find the interpreter (as PYTHON) and the packages.
    pub fn apply(&self, job: Job) -> Job {
        let job = job.env("PYTHON", &self.interpreter).env("PYTHONDONTWRITEBYTECODE", "1");
        match &self.packages {
            Some(folder) => job.env("PYTHONPATH", folder),
            None => job,
        }
    }

    /// Where a program of its packages is.
    pub fn program(&self, name: &str) -> PathBuf {
        let folder = self.packages.as_deref().map(|folder| folder.join("bin"));
        folder.unwrap_or_else(|| self.interpreter.with_file_name("")).join(name)
    }

    /// Runs a module of it.
    pub fn module(&self, name: &str) -> Job {
        self.apply(Job::new(&self.interpreter)).args(["-m", name])
    }
}

/// Returns a Python with the packages listed in `requirements` (a path in the
/// workspace), installing what is missing. Errors say what to install by hand.
pub fn environment(requirements: &str) -> Result<Python, String> {
    let list = root().join(requirements);
    let wanted = std::fs::read_to_string(&list).map_err(|err| format!("cannot read {}: {err}", list.display()))?;
    let name = requirements.split('/').rev().nth(1).unwrap_or("python");
    let base = target_directory()?.join("python").join(name);
    let venv = Python { interpreter: base.join("venv/bin/python"), packages: None };
    let folder = Python { interpreter: system_python(), packages: Some(base.join("packages")) };
    let stamp = base.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(if venv.interpreter.exists() { venv } else { folder });
    }
    println!("installing the packages of {requirements}");
    let made = install(&base, &list, venv, folder)?;
    std::fs::write(&stamp, &wanted).map_err(|err| format!("cannot write {}: {err}", stamp.display()))?;
    Ok(made)
}

fn install(base: &Path, list: &Path, venv: Python, folder: Python) -> Result<Python, String> {
    if base.exists() {
        std::fs::remove_dir_all(base).map_err(|err| format!("cannot clear {}: {err}", base.display()))?;
    }
    std::fs::create_dir_all(base).map_err(|err| format!("cannot create {}: {err}", base.display()))?;
    let made = Job::new(system_python()).args(["-m", "venv"]).args([base.join("venv")]).run();
    match made {
        Ok(()) => {
            let quiet = ["install", "--quiet", "--requirement"];
            venv.module("pip").args(quiet).args([list]).limit(minutes(15)).run()?;
            Ok(venv)
        }
        Err(no_venv) => {
            println!("no virtual environment ({no_venv}): installing into a plain folder");
            let target = folder.packages.clone().expect("a plain folder is named above");
            let quiet = ["install", "--quiet", "--target"];
            let _ = std::fs::remove_dir_all(base.join("venv"));
            Job::new(system_python())
                .args(["-m", "pip"])
                .args(quiet)
                .args([target.as_path(), Path::new("--requirement"), list])
                .limit(minutes(15))
                .run()
                .map_err(|err| format!("{err}; install python3-venv or pip for this Python"))?;
            Ok(folder)
        }
    }
}

fn system_python() -> PathBuf {
    PathBuf::from("python3")
}
