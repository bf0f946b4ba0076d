//! `elastane image import`.

use super::{Import, Line, name_of, registry};
use crate::admin::IMAGES;
use crate::client::Daemon;
use crate::data_dir::{DataDir, Problem};
use crate::imports::{End, Job, Order};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks at an import.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Imports what the command line names and prints the image's id.
pub fn run(import: &Import) -> Result<(), Problem> {
    let daemon = import.choice.daemon()?;
    let path = Path::new(&import.source);
    if path.exists() {
        let source =
            path.canonicalize().map_err(|err| Problem::because(format!("cannot find {}", path.display()), err))?;
        let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return carry_out(&daemon, import, source, stem_of(&stem));
    }
    let reference = registry::parse(&import.source)?;
    let staging = Staging::make(&import.choice.data()?)?;
    registry::pull(&reference, &staging.path)?;
    carry_out(&daemon, import, staging.path.clone(), &import.source)
}

/// A file's name without what says its format.
fn stem_of(name: &str) -> &str {
    let short = |name: &str| {
        let endings = [".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".txz", ".tar"];
        endings.iter().find_map(|ending| name.strip_suffix(ending).map(str::len))
    };
    short(name).map_or(name, |length| &name[..length])
}

fn carry_out(daemon: &Daemon, import: &Import, source: PathBuf, called: &str) -> Result<(), Problem> {
    let name = import.name.clone().unwrap_or_else(|| name_of(called));
    let order = Order {
        source,
        from: import.source.clone(),
        name: name.clone(),
        description: import.description.clone(),
        aliases: import.alias.clone(),
        region: daemon.about.region.clone(),
    };
    let body = serde_json::to_vec(&order).expect("plain data has a JSON form");
    let mut job = understood(&daemon.request_with("POST", IMAGES, body)?)?;
    let mut line = Line::new();
    loop {
        match job.end {
            None => {
                line.show(&format!("unpacking: {} entries, {} MiB", job.entries, job.bytes >> 20));
                std::thread::sleep(LOOK_INTERVAL);
                job = understood(&daemon.request("GET", &format!("{IMAGES}/{}", job.number))?)?;
            }
            Some(End::Done(notes)) => {
                line.clear();
                notes.iter().for_each(|note| eprintln!("note: {note}"));
                eprintln!("Imported {} entries, {} MiB as {name}:", job.entries, job.bytes >> 20);
                println!("{}", job.image);
                return Ok(());
            }
            Some(End::Failed(why)) => {
                line.clear();
                return Err(Problem::new(format!("{} cannot be imported: {why}", import.source)));
            }
        }
    }
}

fn understood(bytes: &[u8]) -> Result<Job, Problem> {
    serde_json::from_slice(bytes).map_err(|err| Problem::because("cannot understand the daemon's answer", err))
}

/// A directory that a registry's image is kept in until the daemon has
/// unpacked it; removed when it goes out of use.
struct Staging {
    path: PathBuf,
}

impl Staging {
    /// A directory of this process; those of processes that are no more go.
    fn make(data: &DataDir) -> Result<Staging, Problem> {
        let above = data.file("imports");
        for entry in std::fs::read_dir(&above).into_iter().flatten().flatten() {
            let lives = entry.file_name().to_str().is_some_and(|pid| Path::new("/proc").join(pid).exists());
            if !lives {
                // What cannot be removed is tried again by the next import.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let path = above.join(std::process::id().to_string());
        // A process of the same number left it.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)
            .map_err(|err| Problem::because(format!("cannot make {}", path.display()), err))?;
        Ok(Staging { path })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format's ending is no part of a name.
    #[test]
    fn stems() {
        for (name, want) in [("debian.tar.xz", "debian"), ("root.tgz", "root"), ("root", "root"), ("a.tar", "a")] {
            assert_eq!(stem_of(name), want);
        }
    }
}
