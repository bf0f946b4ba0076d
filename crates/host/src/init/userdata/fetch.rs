//! Fetching of includes from inside the instance's network, with the image's
//! own curl or wget: they bring TLS and the image's trusted certificates.

use crate::init::InitSpec;
use crate::init::command;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Longest body: as much as a part may unpack to.
const BODY_BYTES_MAX: u64 = super::unpack::UNPACKED_BYTES_MAX;
/// Seconds that one address may take, redirections included.
const SECONDS_MAX: u32 = 30;

/// Fetches and keeps what is to be fetched once.
pub struct Fetcher<'a> {
    spec: &'a InitSpec,
    /// Directory of what was fetched once, of this instance.
    kept: PathBuf,
}

impl<'a> Fetcher<'a> {
    /// A fetcher of one instance, whose directory is `own`.
    pub fn new(spec: &'a InitSpec, own: &Path) -> Fetcher<'a> {
        Fetcher { spec, kept: own.join("data/urlcache") }
    }

    /// The body at `address`; with `once`, that of the first time.
    pub fn fetch(&self, address: &str, once: bool) -> Result<Vec<u8>, String> {
        if !(address.starts_with("http://") || address.starts_with("https://")) {
            return Err("only http and https addresses are fetched".to_owned());
        }
        let kept = self.kept.join(name_of(address));
        if let Some(body) = std::fs::read(&kept).ok().filter(|_| once) {
            return Ok(body);
        }
        let body = self.download(address)?;
        if once {
            let stored = std::fs::create_dir_all(&self.kept).and_then(|()| std::fs::write(&kept, &body));
            stored.map_err(|err| format!("cannot keep it: {err}"))?;
        }
        Ok(body)
    }

    fn download(&self, address: &str) -> Result<Vec<u8>, String> {
        let seconds = SECONDS_MAX.to_string();
        let curl = ["-fsSL", "--proto", "=http,https", "--max-redirs", "5", "--max-time", &seconds, "--", address];
        // wget limits each step only, so all of it is limited from outside.
        let wget = [&seconds, "wget", "-q", "-T", &seconds, "-O", "-", address];
        for (needed, program, arguments) in [("curl", "curl", &curl[..]), ("wget", "timeout", &wget[..])] {
            if command::find(self.spec, needed).is_none() {
                continue;
            }
            let mut command = command::command(self.spec, Path::new(program));
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(|err| format!("cannot start {program}: {err}"))?;
            let mut body = Vec::new();
            let read = child.stdout.take().map(|pipe| pipe.take(BODY_BYTES_MAX + 1).read_to_end(&mut body));
            let is_long = body.len() as u64 > BODY_BYTES_MAX;
            if is_long {
                let _ = child.kill();
            }
            let mut errors = String::new();
            // What it said is for the message only.
            let _ = child.stderr.take().map(|pipe| pipe.take(300).read_to_string(&mut errors));
            let status = child.wait().map_err(|err| format!("cannot wait for {program}: {err}"))?;
            return match (is_long, status.success(), read) {
                (true, _, _) => Err(format!("it is longer than {} MiB", BODY_BYTES_MAX >> 20)),
                (false, true, Some(Ok(_))) => Ok(body),
                _ => Err(format!("{program} failed: {status}: {}", errors.trim().replace('\n', " "))),
            };
        }
        Err("the image has neither curl nor wget".to_owned())
    }
}

/// A file name for an address: SHA-256, since addresses may be long.
fn name_of(address: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(address.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
