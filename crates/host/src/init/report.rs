//! What a boot has to say: lines in the console, and the files in which
//! programs look for cloud-init's result. Counts what failed.

use super::InitSpec;
use super::userdata::Problem;
use elastane_domain::machine::Initialization;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Failures and warnings kept for the files; all are in the console.
const KEPT_MAX: usize = 100;
/// Longest sentence about a failed boot that the daemon is told.
const SENTENCE_CHARACTERS_MAX: usize = 500;
/// What the files call the source of the user data.
pub const SOURCE: &str = "DataSourceEc2Local";

/// The stages that cloud-init's status has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// User data, early commands, files, users.
    Init,
    /// Settings.
    Config,
    /// Packages and scripts.
    Final,
}

impl Stage {
    const ALL: [Stage; 3] = [Stage::Init, Stage::Config, Stage::Final];

    fn name(self) -> &'static str {
        match self {
            Stage::Init => "init",
            Stage::Config => "modules-config",
            Stage::Final => "modules-final",
        }
    }
}

/// What the boot work tells the first process when it has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// How it ended.
    pub initialization: Initialization,
    /// The instance is to be shut down after this many milliseconds.
    pub power_off_after_ms: Option<u64>,
}

/// A boot's report so far.
pub struct Report<'a> {
    spec: &'a InitSpec,
    console: File,
    stage: Stage,
    /// (begin, end) of each stage in seconds since 1970.
    times: [(Option<f64>, Option<f64>); 3],
    errors: Vec<(Stage, String)>,
    warnings: Vec<String>,
    failures: usize,
}

impl<'a> Report<'a> {
    /// A report whose lines go to `console`.
    pub fn new(spec: &'a InitSpec, console: File) -> Report<'a> {
        let mut report = Report {
            spec,
            console,
            stage: Stage::Init,
            times: [(None, None); 3],
            errors: Vec::new(),
            warnings: Vec::new(),
            failures: 0,
        };
        report.times[0].0 = Some(now());
        report
    }

    /// A line of our own.
    pub fn line(&mut self, text: &str) {
        // Without a console nobody can be told.
        let _ = self.console.write_all(format!("{text}\n").as_bytes());
    }

    /// Something that the user should know and that is no failure.
    pub fn warn(&mut self, text: &str) {
        self.line(&format!("elastane: WARNING: {text}"));
        if self.warnings.len() < KEPT_MAX {
            self.warnings.push(text.to_owned());
        }
    }

    /// Something with which the boot has failed.
    pub fn fail(&mut self, text: &str) {
        self.line(&format!("elastane: ERROR: {text}"));
        self.failures += 1;
        if self.errors.len() < KEPT_MAX {
            self.errors.push((self.stage, text.to_owned()));
        }
    }

    /// A problem of the user data.
    pub fn problem(&mut self, problem: &Problem) {
        match problem {
            Problem::Warning(text) => self.warn(text),
            Problem::Failure(text) => self.fail(text),
        }
    }

    /// Begins a stage.
    pub fn enter(&mut self, stage: Stage) {
        self.times[self.stage as usize].1 = Some(now());
        self.stage = stage;
        self.times[stage as usize].0 = Some(now());
        self.write_status(false);
    }

    /// How many things failed.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// The result, in a sentence that fits a console row.
    pub fn initialization(&self) -> Initialization {
        let Some((_, first)) = self.errors.first() else { return Initialization::Done };
        let mut sentence: String = first.chars().take(SENTENCE_CHARACTERS_MAX).collect();
        if self.failures > 1 {
            sentence.push_str(&format!(" (and {} more)", self.failures - 1));
        }
        Initialization::Failed(sentence)
    }

    /// Ends the last stage and writes the result.
    pub fn finish(&mut self) {
        self.times[self.stage as usize].1 = Some(now());
        self.write_status(true);
        let errors: Vec<&String> = self.errors.iter().map(|(_, text)| text).collect();
        let result = json!({"v1": {"datasource": SOURCE, "errors": errors}});
        self.write("result.json", &result);
    }

    /// A boot that has begun has no result, and the status of its first stage.
    pub fn begin(&mut self) {
        let _ = std::fs::remove_file(self.spec.path("var/lib/cloud/data/result.json"));
        self.write_status(false);
    }

    fn write_status(&mut self, finished: bool) {
        let mut stages = serde_json::Map::new();
        for stage in Stage::ALL {
            let errors: Vec<&String> =
                self.errors.iter().filter(|(of, _)| *of == stage).map(|(_, text)| text).collect();
            let (start, finished) = self.times[stage as usize];
            let entry = json!({
                "errors": errors, "recoverable_errors": {}, "start": start, "finished": finished,
            });
            stages.insert(stage.name().to_owned(), entry);
        }
        let (start, local_end) = (self.times[0].0, self.times[0].0);
        stages.insert(
            "init-local".to_owned(),
            json!({"errors": [], "recoverable_errors": {}, "start": start, "finished": local_end}),
        );
        if let Some(entry) = stages.get_mut("init") {
            entry["recoverable_errors"] = match self.warnings.is_empty() {
                true => json!({}),
                false => json!({"WARNING": self.warnings}),
            };
        }
        stages.insert("datasource".to_owned(), json!(SOURCE));
        let stage = if finished { Value::Null } else { json!(self.stage.name()) };
        stages.insert("stage".to_owned(), stage);
        self.write("status.json", &json!({"v1": stages}));
    }

    /// Writes a file at once, in `/var/lib/cloud/data` with a link in
    /// `/run/cloud-init`. A full disk loses the file, not the boot.
    fn write(&self, name: &str, content: &Value) {
        let data = self.spec.path("var/lib/cloud/data");
        let run = self.spec.path("run/cloud-init");
        let _ = std::fs::create_dir_all(&data);
        let _ = std::fs::create_dir_all(&run);
        let temporary = data.join(format!("{name}.new"));
        let text = serde_json::to_vec_pretty(content).expect("results are plain data");
        if std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, data.join(name))).is_ok() {
            let link = run.join(name);
            let _ = std::fs::remove_file(&link);
            let _ = std::os::unix::fs::symlink(format!("../../var/lib/cloud/data/{name}"), link);
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}
