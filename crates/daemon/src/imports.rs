//! Imports of images on the daemon's side: the command line names a file, the
//! host unpacks it, and the image's row is written when its layer is complete.
//! An import takes longer than a request may, so it is a job that is asked
//! about; jobs end with the daemon, and so does what they had unpacked.

use crate::admin::json;
use crate::server::{Server, plain};
use elastane_api::ec2::{Import, begin_import, finish_import};
use elastane_domain::id::{AccountId, ImageId};
use elastane_domain::machine::HostFact;
use elastane_engine::{Fact, Scope};
use elastane_host::Progress;
use elastane_wire::HttpResponse;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Imports at a time: each writes to the disk as fast as it can.
const RUNNING_MAX: usize = 2;

/// Jobs that are remembered, so that whoever started one hears its end.
const KEPT_MAX: usize = 100;

/// What is to be imported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The file or directory, absolute, as the daemon sees it.
    pub source: PathBuf,
    /// What the user named.
    pub from: String,
    /// The image's name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Where it is to be.
    pub region: String,
}

/// How far a job is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub number: u64,
    /// The image that it makes.
    pub image: String,
    /// Entries unpacked so far.
    pub entries: u64,
    /// Bytes unpacked so far.
    pub bytes: u64,
    /// How it ended.
    pub end: Option<End>,
}

/// How a job ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum End {
    /// The image is available; what its user should know.
    Done(Vec<String>),
    /// Why there is no image.
    Failed(String),
}

/// The jobs of this daemon.
#[derive(Clone, Default)]
pub struct Imports {
    jobs: Arc<Mutex<BTreeMap<u64, Job>>>,
}

impl Imports {
    fn edit<T>(&self, edit: impl FnOnce(&mut BTreeMap<u64, Job>) -> T) -> T {
        edit(&mut self.jobs.lock().expect("no code panics under this lock"))
    }

    /// A new job for an image; `None` when enough are under way.
    fn add(&self, image: &ImageId) -> Option<Job> {
        self.edit(|jobs| {
            if jobs.values().filter(|job| job.end.is_none()).count() >= RUNNING_MAX {
                return None;
            }
            while jobs.len() >= KEPT_MAX {
                let oldest = jobs.values().find(|job| job.end.is_some()).map(|job| job.number)?;
                jobs.remove(&oldest);
            }
            let number = jobs.keys().next_back().map_or(1, |last| last + 1);
            let job = Job { number, image: image.to_string(), entries: 0, bytes: 0, end: None };
            jobs.insert(number, job.clone());
            Some(job)
        })
    }

    fn advance(&self, number: u64, progress: Progress) {
        self.edit(|jobs| {
            if let Some(job) = jobs.get_mut(&number) {
                (job.entries, job.bytes) = (progress.entries, progress.bytes);
            }
        });
    }

    fn end(&self, number: u64, end: End) {
        self.edit(|jobs| {
            if let Some(job) = jobs.get_mut(&number) {
                job.end = Some(end);
            }
        });
    }
}

/// Begins an import: the answer is its job.
pub async fn begin(server: &Server, account: &AccountId, body: &[u8]) -> HttpResponse {
    let order: Order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(err) => return plain(400, &format!("the order is not understood: {err}\n")),
    };
    if !order.source.is_absolute() {
        return plain(400, "the source must be an absolute path\n");
    }
    let scope = Scope { account: account.clone(), region: order.region.as_str().into() };
    let import = Import {
        name: order.name.clone(),
        description: order.description.clone(),
        aliases: order.aliases.clone(),
        from: order.from.clone(),
        architecture: String::new(),
    };
    let checked = import.clone();
    let image = server.shell.change(scope.clone(), move |tx| begin_import(tx, &checked).map(|id| id.to_string())).await;
    let image = match image {
        Ok(id) => ImageId::from(id),
        Err(err) => return plain(400, &format!("{}: {}\n", err.code, err.message)),
    };
    let Some(job) = server.imports.add(&image) else {
        return plain(429, &format!("{RUNNING_MAX} imports are under way: wait for one to end\n"));
    };
    let (shell, host, imports, number) =
        (server.shell.clone(), server.world.host.clone(), server.imports.clone(), job.number);
    tokio::spawn(async move {
        let (telling, layer, source) = (imports.clone(), image.clone(), order.source);
        let unpacked = tokio::task::spawn_blocking(move || {
            let tell = |progress| telling.advance(number, progress);
            host.import_image(&layer, &source, &tell).map_err(|err| err.sentence())
        });
        let unpacked = unpacked.await.unwrap_or_else(|_| Err("a bug in the import; the log says more".to_string()));
        let end = match unpacked {
            Ok(done) => {
                let import = Import { architecture: done.architecture, ..import };
                let (bytes, id) = (done.progress.bytes, image.clone());
                let change = move |tx: &mut elastane_engine::Tx<'_>| {
                    finish_import(tx, &id, &import, bytes).map(|()| String::new())
                };
                let changed = shell.change(scope, change).await;
                // The engine removes it when no row has it (any more).
                shell.facts().send(Fact::Host(HostFact::Layers(vec![image])));
                match changed {
                    Ok(_) => End::Done(done.notes),
                    Err(err) => End::Failed(format!("{}: {}", err.code, err.message)),
                }
            }
            Err(why) => End::Failed(why),
        };
        imports.end(number, end);
    });
    json(&job)
}

/// How far a job is.
pub fn look(server: &Server, number: &str) -> HttpResponse {
    let job = number.parse().ok().and_then(|number: u64| server.imports.edit(|jobs| jobs.get(&number).cloned()));
    match job {
        Some(job) => json(&job),
        None => plain(404, "there is no such import: the daemon has been started anew since\n"),
    }
}
