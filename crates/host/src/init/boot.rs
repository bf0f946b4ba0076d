//! The boot work, in cloud-init's order and places, in a process of its own:
//! one thing after the other, so that this file reads like a boot. What it
//! starts in the background stays. Marks below `/var/lib/cloud` say what has
//! been done in this instance's life; they are set before the work, so that
//! what brings the instance down is not done again.

use super::InitSpec;
use super::command::{self, command};
use super::config::{self, files, finish, identity, packages, schema, ssh, users};
use super::report::{Ended, Report, Stage};
use super::userdata::{self, Fetcher, Gathered, Kind, Part};
use serde_json::{Map, Value};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A boot under way.
pub struct Boot<'a> {
    /// The instance.
    pub spec: &'a InitSpec,
    /// What is said about it.
    pub report: Report<'a>,
    /// The merged cloud-config, without keys that cannot be carried out.
    pub config: Map<String, Value>,
    /// When the first process began.
    pub started: Instant,
    /// Where lines of our own go, also while output is redirected.
    pub console: File,
    /// `/var/lib/cloud` and the instance's own directory in it.
    cloud: PathBuf,
    own: PathBuf,
}

/// Does all boot work; output goes to this process's own output.
pub fn run(spec: &InitSpec, console: File, started: Instant) -> Ended {
    let for_report = match console.try_clone() {
        Ok(file) => file,
        Err(err) => return broken(&format!("the console cannot be used: {err}")),
    };
    let cloud = spec.path("var/lib/cloud");
    let own = cloud.join("instances").join(&spec.instance);
    let mut boot =
        Boot { spec, report: Report::new(spec, for_report), config: Map::new(), started, console, cloud, own };
    if let Err(err) = boot.prepare() {
        boot.report.fail(&format!("the directories for boot scripts cannot be made: {err}"));
        return boot.end(None);
    }
    boot.report.begin();
    let parts = boot.user_data();
    boot.init_stage(&parts);
    boot.config_stage();
    boot.final_stage(&parts);
    let power_off = finish::power_state(&mut boot);
    boot.end(power_off)
}

fn broken(why: &str) -> Ended {
    let initialization = elastane_domain::machine::Initialization::Failed(why.to_owned());
    Ended { initialization, power_off_after_ms: None }
}

impl Boot<'_> {
    /// The directories, and the instance's identity among those that the disk has seen.
    fn prepare(&mut self) -> io::Result<()> {
        for directory in ["scripts", "sem", "boothooks", "data"] {
            fs::create_dir_all(self.own.join(directory))?;
        }
        for directory in ["data", "sem", "scripts/per-boot", "scripts/per-instance", "scripts/per-once"] {
            fs::create_dir_all(self.cloud.join(directory))?;
        }
        let link = self.cloud.join("instance");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("instances/{}", self.spec.instance), &link)?;
        let known = self.cloud.join("data/instance-id");
        let before = fs::read_to_string(&known).unwrap_or_default();
        if before.trim() != self.spec.instance {
            let previous = if before.is_empty() { "NO_PREVIOUS_INSTANCE_ID\n" } else { &before };
            fs::write(self.cloud.join("data/previous-instance-id"), previous)?;
            fs::write(known, format!("{}\n", self.spec.instance))?;
        }
        Ok(())
    }

    /// Whether something is done for the first time in the instance's life; marks it.
    pub fn first_time(&self, name: &str) -> bool {
        mark(&self.own.join("sem").join(format!("config_{name}")))
    }

    /// A key of the cloud-config; null when it is not there.
    pub fn key(&self, name: &str) -> Value {
        self.config.get(name).cloned().unwrap_or_default()
    }

    /// Runs a command to its end and returns its exit status as a shell gives it.
    pub fn status(&self, mut command: Command) -> io::Result<i32> {
        use std::os::unix::process::ExitStatusExt;
        Ok(command::exit_code(command.status()?.into_raw()))
    }

    /// Runs a command that must succeed; `what` names it when it does not.
    pub fn must(&mut self, what: &str, command: Command) -> bool {
        match self.status(command) {
            Ok(0) => return true,
            Ok(code) => self.report.fail(&format!("{what} exited with {code}")),
            Err(err) => self.report.fail(&format!("{what} cannot be started: {err}")),
        }
        false
    }

    /// Gives a file to `user:group`, names or numbers. Where the instance has
    /// one user only, that is said and is no failure.
    pub fn give(&mut self, path: &Path, owner: &str) -> Result<(), String> {
        let (user, group) = owner.split_once([':', '.']).unwrap_or((owner, ""));
        let accounts =
            config::accounts::Accounts::names(Path::new("/etc")).map_err(|err| format!("cannot read users: {err}"))?;
        let numeric = |text: &str| text.parse::<u32>().ok();
        let user_id = match user {
            "" => None,
            "root" => Some(0),
            name => Some(
                accounts.user(name).map(|user| user.id).or_else(|| numeric(name)).ok_or(format!("no user {name}"))?,
            ),
        };
        let group_id = match group {
            "" => None,
            "root" => Some(0),
            name => Some(accounts.group(name).or_else(|| numeric(name)).ok_or(format!("no group {name}"))?),
        };
        self.own(path, user_id, group_id)
    }

    /// Gives a file to a user and a group by id; see [`Boot::give`].
    pub fn own(&mut self, path: &Path, user: Option<u32>, group: Option<u32>) -> Result<(), String> {
        match std::os::unix::fs::lchown(path, user, group) {
            Ok(()) => Ok(()),
            Err(err) if self.spec.make == crate::make::Make::Root => Err(format!("cannot change the owner: {err}")),
            Err(_) => {
                let show = |id: Option<u32>| id.map_or("-".to_owned(), |id| id.to_string());
                let text = format!(
                    "{} keeps its owner instead of {}:{}: this instance has one user id only",
                    path.display(),
                    show(user),
                    show(group)
                );
                self.report.warn(&text);
                Ok(())
            }
        }
    }

    /// Stores the user data and takes it apart; the cloud-configs become one.
    fn user_data(&mut self) -> Vec<Part> {
        let Some(data) = &self.spec.user_data else { return Vec::new() };
        if let Err(err) = store(&self.own.join("user-data.txt"), data, 0o600) {
            self.report.fail(&format!("the user data cannot be stored: {err}"));
        }
        let fetcher = Fetcher::new(self.spec, &self.own);
        let found = userdata::gather(data, &mut |address, once| fetcher.fetch(address, once));
        found.problems.iter().for_each(|problem| self.report.problem(problem));
        let (merged, problems) = merge(&found);
        problems.iter().for_each(|problem| self.report.problem(problem));
        self.config = merged;
        let text = serde_json::to_vec_pretty(&self.config).expect("cloud-configs are plain data");
        // JSON is YAML. What cannot be stored here is still carried out.
        let _ = store(&self.own.join("cloud-config.txt"), &[b"#cloud-config\n", &text[..]].concat(), 0o600);
        let problems = schema::check(&mut self.config, self.spec.make.is_sandbox());
        problems.iter().for_each(|problem| self.report.problem(problem));
        found.parts
    }

    fn init_stage(&mut self, parts: &[Part]) {
        finish::redirect(self, Stage::Init);
        for part in parts.iter().filter(|part| part.kind == Kind::Boothook) {
            let path = self.own.join("boothooks").join(&part.name);
            self.run_stored(part, &path, "boothook");
        }
        self.bootcmd();
        files::write(self, false);
        if self.spec.make.is_sandbox() {
            identity::apply(self);
            users::apply(self);
            ssh::start(self);
        }
    }

    fn config_stage(&mut self) {
        self.report.enter(Stage::Config);
        finish::redirect(self, Stage::Config);
        let commands = self.key("runcmd");
        if commands.is_null() || !self.first_time("runcmd") {
            return;
        }
        let stored = config::shell_script("runcmd", &commands).and_then(|script| {
            store(&self.own.join("scripts/runcmd"), script.as_bytes(), 0o700)
                .map_err(|err| format!("cannot store it: {err}"))
        });
        if let Err(why) = stored {
            self.report.fail(&format!("runcmd: {why}"));
        }
    }

    fn final_stage(&mut self, parts: &[Part]) {
        self.report.enter(Stage::Final);
        finish::redirect(self, Stage::Final);
        if self.spec.make.is_sandbox() {
            packages::apply(self);
            // They may have brought it.
            ssh::start(self);
        }
        files::write(self, true);
        self.store_scripts(parts);
        let local = self.spec.path("etc/rc.local");
        if command::is_executable(&local) {
            self.script(&local, "per-boot script");
        }
        for (directory, is_due) in [
            ("scripts/per-once", mark(&self.cloud.join("sem/config_scripts_per_once.once"))),
            ("scripts/per-boot", true),
            ("scripts/per-instance", self.first_time("scripts_per_instance")),
        ] {
            if is_due {
                let what = directory.trim_start_matches("scripts/");
                self.scripts_in(&self.cloud.join(directory), &format!("{what} script"));
            }
        }
        if self.first_time("scripts_user") && !self.scripts_in(&self.own.join("scripts"), "user data") {
            self.report.line(
                "cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in /var/lib/cloud/instance/scripts)",
            );
        }
    }

    /// Early commands, at each boot.
    fn bootcmd(&mut self) {
        let commands = self.key("bootcmd");
        if commands.is_null() {
            return;
        }
        let path = self.own.join("data/bootcmd");
        let stored = config::shell_script("bootcmd", &commands)
            .and_then(|script| store(&path, script.as_bytes(), 0o700).map_err(|err| format!("cannot store it: {err}")));
        match stored {
            Ok(()) => drop(self.script(&path, "bootcmd")),
            Err(why) => self.report.fail(&format!("bootcmd: {why}")),
        }
    }

    fn run_stored(&mut self, part: &Part, path: &Path, what: &str) {
        match store(path, &part.content, 0o700) {
            Ok(()) => drop(self.script(path, what)),
            Err(err) => self.report.fail(&format!("the {what} {} cannot be stored: {err}", part.name)),
        }
    }

    /// Stores scripts of the user data where they are run from: those of this
    /// instance once, so that what a script changes there stays.
    fn store_scripts(&mut self, parts: &[Part]) {
        let first = self.first_time("store_scripts");
        for part in parts {
            let directory = match part.kind {
                Kind::Boothook => continue,
                Kind::Script if !first => continue,
                Kind::Script => self.own.join("scripts"),
                Kind::PerBoot => self.cloud.join("scripts/per-boot"),
                Kind::PerInstance => self.cloud.join("scripts/per-instance"),
                Kind::PerOnce => self.cloud.join("scripts/per-once"),
            };
            if let Err(err) = store(&directory.join(&part.name), &part.content, 0o700) {
                self.report.fail(&format!("the script {} cannot be stored: {err}", part.name));
            }
        }
    }

    /// Runs the executable files of a directory by name; whether all succeeded.
    fn scripts_in(&mut self, directory: &Path, what: &str) -> bool {
        let mut scripts: Vec<PathBuf> = match fs::read_dir(directory) {
            Ok(entries) => {
                entries.flatten().map(|entry| entry.path()).filter(|path| command::is_executable(path)).collect()
            }
            Err(_) => Vec::new(),
        };
        scripts.sort();
        // All run, also after one that failed.
        let failed = scripts.iter().filter(|script| !self.script(script, what)).count();
        failed == 0
    }

    /// Runs one script; whether it succeeded.
    fn script(&mut self, path: &Path, what: &str) -> bool {
        self.report.line(&format!("elastane: running {what} {}", path.display()));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let code = match self.status(command(self.spec, path)) {
            Ok(0) => return true,
            Ok(code) => code,
            Err(err) => {
                self.report.line(&format!("elastane: cannot start {}: {err}", path.display()));
                126
            }
        };
        self.report.line(&format!("subp.py[WARNING]: Failed to run {} [exit status {code}]", path.display()));
        let script = match what {
            "user data" => "user data script",
            other => other,
        };
        self.report.fail(&format!("{script} {name} exited with {code}"));
        false
    }

    /// Ends the boot: the last lines and the result.
    fn end(mut self, power_off_after_ms: Option<u64>) -> Ended {
        finish::redirect_back(&self);
        let seconds = self.started.elapsed().as_secs_f32();
        finish::message(&mut self, seconds);
        // Scripts that wait for it find it or time out; it is no reason to fail.
        let _ = fs::write(self.own.join("boot-finished"), format!("{seconds:.2}\n"));
        self.report.finish();
        let result = match self.report.failures() {
            0 => "without errors".to_owned(),
            1 => "with 1 error".to_owned(),
            count => format!("with {count} errors"),
        };
        self.report.line(&format!("elastane: boot finished {result}, {seconds:.2} seconds after the first process"));
        Ended { initialization: self.report.initialization(), power_off_after_ms }
    }
}

/// The cloud-configs of user data as one.
pub fn merge(found: &Gathered) -> (Map<String, Value>, Vec<userdata::Problem>) {
    let mut config = Map::new();
    let mut problems = Vec::new();
    for part in &found.configs {
        match userdata::merged(config.clone(), part.keys.clone(), part.merge_type.as_deref()) {
            Ok(merged) => config = merged,
            Err(why) => {
                let text = format!("the cloud-config {} was left out: {why}", part.name);
                problems.push(userdata::Problem::Failure(text));
            }
        }
    }
    (config, problems)
}

/// Sets a mark; whether it was not set before. What cannot be marked is done
/// rather than left out.
fn mark(path: &Path) -> bool {
    match File::options().write(true).create_new(true).open(path) {
        Ok(_) => true,
        Err(err) => err.kind() != io::ErrorKind::AlreadyExists,
    }
}

/// Writes a file with a mode, replacing a symbolic link instead of following it.
pub fn store(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(path);
    fs::write(path, content)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// A command whose input is `input`, which is small.
pub fn feed(mut command: Command, input: &[u8]) -> io::Result<i32> {
    use std::os::unix::process::ExitStatusExt;
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A command that does not read says so with its status.
        let _ = io::Write::write_all(&mut pipe, input);
    }
    Ok(command::exit_code(child.wait()?.into_raw()))
}
