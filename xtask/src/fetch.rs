//! Fetches what the wire crate is generated from and tested against: one
//! pinned version of botocore, by pip, into the target directory. Nothing of
//! it is ever committed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The version whose service models and protocol cases are used.
pub const BOTOCORE: &str = "1.44.5";

/// Unpacks the service models out of the wheel: `argv` is wheel and folder.
const UNPACK_MODELS: &str = r#"
import gzip, os, re, sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        found = re.fullmatch(r"botocore/data/([^/]+/[^/]+)/service-2\.json\.gz", name)
        if found and found.group(1) in os.environ["MODELS"].split(","):
            path = os.path.join(folder, found.group(1) + ".json")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(gzip.decompress(archive.read(name)))
"#;

/// Unpacks the protocol cases out of the source archive.
const UNPACK_CASES: &str = r#"
import os, re, sys, tarfile
source, folder = sys.argv[1:]
with tarfile.open(source) as archive:
    for entry in archive:
        found = re.fullmatch(r"[^/]+/tests/unit/protocols/((?:input|output)/[a-z0-9_-]+\.json)", entry.name)
        if found:
            path = os.path.join(folder, found.group(1))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(archive.extractfile(entry).read())
"#;

/// A folder with `<service>/<version>.json` for each of `models`, such as
/// `ec2/2016-11-15`; fetched once.
pub fn service_models(models: &[String]) -> Result<PathBuf, String> {
    let folder = cache_folder()?.join("models");
    if models.iter().all(|model| folder.join(format!("{model}.json")).is_file()) {
        return Ok(folder);
    }
    let wheel = download(&["--only-binary", ":all:"], ".whl")?;
    unpack(UNPACK_MODELS, &wheel, &folder, &models.join(","))?;
    Ok(folder)
}

/// A folder with the protocol cases as `input/<protocol>.json` and
/// `output/<protocol>.json`: what the environment variable PROTOCOL_CASES of
/// the wire crate's tests expects.
pub fn protocol_cases() -> Result<PathBuf, String> {
    let folder = cache_folder()?.join("protocols");
    if !folder.join("output/query.json").is_file() {
        let source = download(&["--no-binary", ":all:"], ".tar.gz")?;
        unpack(UNPACK_CASES, &source, &folder, "")?;
    }
    Ok(folder)
}

/// The workspace's root: the nearest folder upwards that has the operations list.
pub fn workspace_root() -> Result<PathBuf, String> {
    let start = std::env::current_dir().map_err(|err| format!("no current directory: {err}"))?;
    start
        .ancestors()
        .find(|folder| folder.join(crate::codegen::OPERATIONS).is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("{} is not inside the workspace", start.display()))
}

fn cache_folder() -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root().map(|root| root.join("target")), |dir| Ok(dir.into()))?;
    let folder = target.join(format!("botocore-{BOTOCORE}"));
    std::fs::create_dir_all(&folder).map_err(|err| format!("cannot create {}: {err}", folder.display()))?;
    Ok(folder)
}

fn download(kind: &[&str], ending: &str) -> Result<PathBuf, String> {
    let folder = cache_folder()?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(kind)
        .arg("--dest")
        .arg(&folder)
        .arg(format!("botocore=={BOTOCORE}"));
    run(&mut pip)?;
    let entries = std::fs::read_dir(&folder).map_err(|err| format!("cannot list {}: {err}", folder.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(ending))
        .ok_or_else(|| format!("pip left no {ending} file in {}", folder.display()))
}

fn unpack(script: &str, archive: &Path, folder: &Path, models: &str) -> Result<(), String> {
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(archive).arg(folder).env("MODELS", models);
    run(&mut python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|err| format!("cannot run {command:?}: {err}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {status}"))
}
