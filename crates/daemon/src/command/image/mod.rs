//! `elastane image`: images from files and registries, images built by a
//! script, and what there is. Importing is a request to the daemon, which owns
//! the data directory; everything else goes through the AWS API.

mod build;
mod import;
mod listing;
mod recipe;
mod registry;

use crate::cli::Where;
use crate::client::{Daemon, ask};
use crate::data_dir::{DataDir, Problem};
use elastane_api::ec2::ALIAS_TAG;
use elastane_wire::{ec2, ssm};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// Import, build, list and remove images.
#[derive(clap::Args, Clone, Debug)]
pub struct Image {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    /// Make an image of a root file system: a tar archive (plain, gzip, xz or zstd), an OCI layout
    /// (directory or archive), or an image of a registry.
    ///
    /// The image boots by itself: this machine's own files are not in it. It needs /bin/sh for user
    /// data and Run Command. An OCI image's entry point is not run: say in user data what to start.
    /// Takes the sandbox driver.
    Import(Import),
    /// Build an image: launch an instance of a base, run a script in it, capture it.
    ///
    /// FILE begins with lines of a keyword and a value, and goes on with the script from its first
    /// line that begins with `#!` (or with `#cloud-config`):
    ///
    ///     FROM host          the base: an image's id, name or alias, a public parameter's name, or
    ///                        `host` for the built-in image (required)
    ///     NAME web-1         the image's name (--name wins; without: FILE's name and the time)
    ///     ALIAS web          further names, any number of lines
    ///     DESCRIPTION text   its description
    ///     TYPE t3.small      the instance type to build on [default: t3.micro]
    ///     #!/bin/sh
    ///     set -e
    ///     apt-get install -y nginx
    ///
    /// When the script fails, its console is printed and no image is made. The instance is ended in
    /// any case.
    #[command(verbatim_doc_comment)]
    Build(Build),
    /// List the images of a region.
    List(Choice),
    /// Remove images: deregister them and delete their snapshots. Instances of theirs keep running.
    Rm(Remove),
}

/// Which daemon and region.
#[derive(clap::Args, Clone, Debug)]
struct Choice {
    /// Which installation.
    #[command(flatten)]
    place: Where,
    /// The region. [default: the daemon's]
    #[arg(long)]
    region: Option<String>,
}

/// What to import.
#[derive(clap::Args, Clone, Debug)]
struct Import {
    /// A file, an OCI layout directory, or HOST[:PORT]/NAME[:TAG] of a registry. Registries are
    /// asked over HTTPS, those on this machine's loopback addresses over HTTP, with the credentials
    /// of docker's config.json if it has any.
    #[arg(value_name = "PATH|REFERENCE")]
    source: String,
    /// The image's name. [default: made of the source's]
    #[arg(long)]
    name: Option<String>,
    /// A further name, by which public parameters and `elastane image build` find it: al2023,
    /// ubuntu-24.04, debian-12. Can be given several times.
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// A description.
    #[arg(long, default_value = "")]
    description: String,
    /// Where.
    #[command(flatten)]
    choice: Choice,
}

/// What to build.
#[derive(clap::Args, Clone, Debug)]
struct Build {
    /// The file that says how.
    file: PathBuf,
    /// The image's name.
    #[arg(long)]
    name: Option<String>,
    /// A further name; can be given several times.
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// How long the script may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    timeout: u64,
    /// Where.
    #[command(flatten)]
    choice: Choice,
}

/// What to remove.
#[derive(clap::Args, Clone, Debug)]
struct Remove {
    /// Ids or names.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Where.
    #[command(flatten)]
    choice: Choice,
}

impl Choice {
    fn data(&self) -> Result<DataDir, Problem> {
        DataDir::existing(&self.place.path()?)
    }

    /// The daemon, asked in the chosen region.
    fn daemon(&self) -> Result<Daemon, Problem> {
        let mut daemon = Daemon::find(&self.data()?)?;
        if let Some(region) = &self.region {
            daemon.about.region.clone_from(region);
        }
        Ok(daemon)
    }
}

/// Runs a subcommand.
pub fn run(image: &Image) -> Result<(), Problem> {
    match &image.command {
        Command::Import(import) => import::run(import),
        Command::Build(build) => build::run(build),
        Command::List(choice) => listing::list(choice),
        Command::Rm(remove) => listing::remove(remove),
    }
}

/// All images that the account may launch.
fn images(daemon: &Daemon) -> Result<Vec<ec2::Image>, Problem> {
    Ok(ask!(daemon, Ec2DescribeImages, ec2::DescribeImagesRequest::default())?.images)
}

/// Further names of an image.
fn aliases(image: &ec2::Image) -> Vec<String> {
    let tag = image.tags.iter().find(|tag| tag.key.as_deref() == Some(ALIAS_TAG));
    let words = tag.and_then(|tag| tag.value.as_deref()).unwrap_or_default();
    words.split_ascii_whitespace().map(str::to_string).collect()
}

/// The image that a user's word means: an id, a public parameter, `host`, or
/// the newest available one of that name or alias.
fn named(daemon: &Daemon, word: &str) -> Result<ec2::Image, Problem> {
    let mut wanted = word.to_string();
    if word.starts_with('/') {
        let request = ssm::GetParameterRequest { name: Some(wanted), ..Default::default() };
        let answer = ask!(daemon, SsmGetParameter, request)?;
        wanted = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    }
    let is = |image: &ec2::Image| {
        image.image_id.as_deref() == Some(&wanted)
            || image.name.as_deref() == Some(&wanted)
            || (wanted == "host" && image.image_owner_alias.as_deref() == Some("amazon"))
            || aliases(image).contains(&wanted)
    };
    let mut found: Vec<ec2::Image> = images(daemon)?.into_iter().filter(is).collect();
    found.retain(|image| image.state.as_deref() == Some("available"));
    found.sort_by(|a, b| a.creation_date.cmp(&b.creation_date));
    found.pop().ok_or_else(|| {
        let region = &daemon.about.region;
        Problem::new(format!(
            "no available image is called {word} in {region}: `elastane image list` shows those that are"
        ))
    })
}

/// A name as images may have: what they may not have becomes a dash.
fn name_of(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "./-_".contains(c) { c } else { '-' };
    let mut name: String = text.chars().map(allowed).take(100).collect();
    while name.len() < 3 {
        name.push('-');
    }
    name
}

/// Says how far something is: on a terminal on one line that changes, else not at all.
struct Line {
    terminal: bool,
    shown: bool,
}

impl Line {
    fn new() -> Line {
        Line { terminal: std::io::stderr().is_terminal(), shown: false }
    }

    /// Replaces the line.
    fn show(&mut self, text: &str) {
        if self.terminal {
            eprint!("\r\x1b[2K{text}");
            // Nobody waits for what is only shown.
            let _ = std::io::stderr().flush();
            self.shown = true;
        }
    }

    /// Removes the line.
    fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[2K");
            self.shown = false;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names are made of what was given, and are never too short.
    #[test]
    fn names() {
        for (text, want) in
            [("rootfs.tar.xz", "rootfs.tar.xz"), ("127.0.0.1:5000/web:v1@x", "127.0.0.1-5000/web-v1-x"), ("a", "a--")]
        {
            assert_eq!(name_of(text), want);
        }
    }
}
