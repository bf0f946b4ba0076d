//! Images of registries: fetched to an OCI layout, with the user's own
//! credentials, over HTTPS; registries on loopback addresses over HTTP. No
//! registry is known here: the user names its host.

use super::Line;
use crate::data_dir::Problem;
use base64::Engine as _;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A registry that does not accept a connection for so long is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// A registry that says nothing for so long has stalled.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Indexes within indexes.
const INDEX_DEPTH_MAX: usize = 4;
/// Layers of one image: what an import takes.
const LAYERS_MAX: usize = 256;

/// The documents that are understood: OCI's, and the older ones of the same shape.
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A reference that names its registry.
pub fn parse(text: &str) -> Result<Reference, Problem> {
    let host = text.split_once('/').map(|(host, _)| host).unwrap_or_default();
    if !(host.contains(['.', ':']) || host == "localhost") || text.starts_with(['.', '/']) {
        return Err(Problem::new(format!(
            "there is no file {text}; an image of a registry is named with its host: HOST[:PORT]/NAME[:TAG]"
        )));
    }
    text.parse().map_err(|err| Problem::because(format!("{text} is no image of a registry"), err))
}

/// Fetches an image to an empty directory, as an OCI layout.
pub fn pull(reference: &Reference, layout: &Path) -> Result<(), Problem> {
    // The one that was installed before does as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| Problem::because("cannot start a client", err))?;
    let failed = |err: Box<dyn std::error::Error + Send + Sync>| {
        Problem::because(format!("cannot fetch {reference}; is the name right, and may you read it?"), err)
    };
    let credentials = credentials(&config_file(), reference)?;
    runtime.block_on(fetch(reference, credentials, layout)).map_err(failed)
}

/// An index has manifests, a manifest has layers.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Entry>,
    #[serde(default)]
    layers: Vec<Blob>,
    config: Option<Blob>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize)]
struct Blob {
    digest: String,
    size: i64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn fetch(reference: &Reference, auth: RegistryAuth, layout: &Path) -> Result<(), Failure> {
    let registry = reference.resolve_registry().to_string();
    let client = Client::new(ClientConfig {
        protocol: if is_loopback(&registry) { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(CONNECT_LIMIT),
        read_timeout: Some(SILENCE_LIMIT),
        user_agent: "elastane",
        ..ClientConfig::default()
    });
    client.auth(reference, &auth, RegistryOperation::Pull).await?;
    let (manifest, digest, document) = manifest(&client, reference, &auth).await?;
    let blobs: Vec<Blob> = document.config.into_iter().chain(document.layers).collect();
    if blobs.len() > LAYERS_MAX + 1 {
        return Err(format!("the image has more than {LAYERS_MAX} layers").into());
    }
    let directory = layout.join("blobs/sha256");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(blob_path(layout, &digest)?, &manifest)?;
    let mut line = Line::new();
    for (number, blob) in blobs.iter().enumerate() {
        line.show(&format!("fetching {} of {}: {} MiB", number + 1, blobs.len(), blob.size >> 20));
        let path = blob_path(layout, &blob.digest)?;
        if path.exists() {
            continue;
        }
        let descriptor = OciDescriptor { digest: blob.digest.clone(), size: blob.size, ..Default::default() };
        // The client checks the digest; so does the import.
        client.pull_blob(reference, &descriptor, tokio::fs::File::create(&path).await?).await?;
    }
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": ACCEPTED[1], "digest": digest, "size": manifest.len() }],
    });
    std::fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")?;
    std::fs::write(layout.join("index.json"), index.to_string())?;
    Ok(())
}

/// The manifest for this machine, its digest, and what it says.
async fn manifest(
    client: &Client,
    reference: &Reference,
    auth: &RegistryAuth,
) -> Result<(Vec<u8>, String, Document), Failure> {
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut wanted = reference.clone();
    for _ in 0..INDEX_DEPTH_MAX {
        let (bytes, digest) = client.pull_manifest_raw(&wanted, auth, &ACCEPTED).await?;
        let document: Document = serde_json::from_slice(&bytes)?;
        if document.manifests.is_empty() {
            return Ok((bytes.to_vec(), digest, document));
        }
        let fits = |entry: &&Entry| match &entry.platform {
            Some(platform) => platform.os == "linux" && platform.architecture == own,
            None => false,
        };
        let silent = || document.manifests.iter().find(|entry| entry.platform.is_none());
        let chosen = document.manifests.iter().find(fits).or_else(silent);
        let chosen = chosen.ok_or_else(|| format!("the image has no linux/{own}, which this machine needs"))?;
        wanted = reference.clone_with_digest(chosen.digest.clone());
    }
    Err("its indexes are nested too deeply".into())
}

fn blob_path(layout: &Path, digest: &str) -> Result<PathBuf, Failure> {
    let hex =
        digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let hex = hex.ok_or_else(|| format!("the digest {digest:?} is not of SHA-256"))?;
    Ok(layout.join("blobs/sha256").join(hex))
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Where docker and its like keep credentials.
fn config_file() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = var("DOCKER_CONFIG").or_else(|| var("HOME").map(|home| home.join(".docker")));
    directory.unwrap_or_default().join("config.json")
}

/// The user's credentials for a registry; nobody's when there are none.
fn credentials(config: &Path, reference: &Reference) -> Result<RegistryAuth, Problem> {
    #[derive(Default, Deserialize)]
    struct Config {
        #[serde(default)]
        auths: BTreeMap<String, Secret>,
    }
    #[derive(Default, Deserialize)]
    struct Secret {
        #[serde(default)]
        auth: String,
    }
    let text = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(_) => return Ok(RegistryAuth::Anonymous),
    };
    let unclear = |what: &str| Problem::new(format!("cannot use the credentials in {}: {what}", config.display()));
    let parsed: Config = serde_json::from_str(&text).map_err(|err| unclear(&err.to_string()))?;
    let host = |key: &str| {
        let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_string()
    };
    let names = [reference.registry(), reference.resolve_registry()];
    let found = parsed.auths.iter().find(|(key, _)| names.contains(&host(key).as_str()));
    let Some((_, secret)) = found.filter(|(_, secret)| !secret.auth.is_empty()) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(&secret.auth).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| unclear("they are not base64"))?;
    let (user, password) = text.split_once(':').ok_or_else(|| unclear("they are not USER:PASSWORD"))?;
    Ok(RegistryAuth::Basic(user.to_string(), password.to_string()))
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
