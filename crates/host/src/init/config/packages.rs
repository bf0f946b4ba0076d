//! `packages`, `package_update`, `package_upgrade`, with the image's own
//! package manager.

use super::{is_true, text};
use crate::init::boot::Boot;
use crate::init::command::{command, find};
use crate::make::Make;
use serde_json::Value;
use std::process::Command;

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Yum,
    Apk,
}

impl Manager {
    const ALL: [Manager; 4] = [Manager::Apt, Manager::Dnf, Manager::Yum, Manager::Apk];

    fn program(self) -> &'static str {
        match self {
            Manager::Apt => "apt-get",
            Manager::Dnf => "dnf",
            Manager::Yum => "yum",
            Manager::Apk => "apk",
        }
    }

    fn update(self) -> &'static [&'static str] {
        match self {
            Manager::Apt | Manager::Apk => &["update"],
            Manager::Dnf | Manager::Yum => &["-y", "makecache"],
        }
    }

    fn upgrade(self) -> &'static [&'static str] {
        match self {
            Manager::Apt => &["-y", "dist-upgrade"],
            Manager::Dnf | Manager::Yum => &["-y", "upgrade"],
            Manager::Apk => &["upgrade"],
        }
    }

    fn install(self) -> &'static [&'static str] {
        match self {
            Manager::Apt => &["-y", "install"],
            Manager::Dnf | Manager::Yum => &["-y", "install"],
            Manager::Apk => &["add"],
        }
    }

    /// A package of one version, as the manager names it.
    fn versioned(self, name: &str, version: &str) -> String {
        match self {
            Manager::Apt | Manager::Apk => format!("{name}={version}"),
            Manager::Dnf | Manager::Yum => format!("{name}-{version}"),
        }
    }
}

/// The packages by name. The error names the entry that is none.
fn names(manager: Manager, packages: &Value) -> Result<Vec<String>, String> {
    let entries = packages.as_array().ok_or("packages is not a list")?;
    let name = |(at, entry): (usize, &Value)| {
        let named = match entry {
            Value::String(name) => Some(name.clone()),
            Value::Array(pair) => match (pair.first().and_then(text), pair.get(1).and_then(text)) {
                (Some(name), Some(version)) => Some(manager.versioned(&name, &version)),
                (Some(name), None) => Some(name),
                _ => None,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        // A word that begins like an option would be read as one.
        named
            .filter(|name| !name.is_empty() && !name.starts_with('-'))
            .ok_or_else(|| format!("entry {} of packages is neither a name nor a name with a version", at + 1))
    };
    entries.iter().enumerate().map(name).collect()
}

/// Updates, upgrades and installs, once in the instance's life.
pub fn apply(boot: &mut Boot<'_>) {
    let either = |one: &str, other: &str| is_true(&boot.key(one)) || is_true(&boot.key(other));
    let packages = boot.key("packages");
    let update = either("package_update", "apt_update");
    let upgrade = either("package_upgrade", "apt_upgrade");
    let install = packages.as_array().is_none_or(|list| !list.is_empty()) && !packages.is_null();
    if !(update || upgrade || install) || !boot.first_time("package_update_upgrade_install") {
        return;
    }
    let Some(manager) = Manager::ALL.into_iter().find(|manager| find(boot.spec, manager.program()).is_some()) else {
        return boot.report.fail("packages: the image has none of apt-get, dnf, yum and apk");
    };
    let names = match names(manager, &packages) {
        _ if !install => Vec::new(),
        Ok(names) => names,
        Err(why) => return boot.report.fail(&why),
    };
    // Fresh lists, as cloud-init does: an image's are old or missing.
    if update || upgrade || install {
        let well = manage(boot, manager, manager.update(), &[], "updating the package lists");
        if !well && !install {
            return;
        }
    }
    if upgrade {
        manage(boot, manager, manager.upgrade(), &[], "upgrading the packages");
    }
    if install {
        manage(boot, manager, manager.install(), &names, &format!("installing {}", names.join(" ")));
    }
}

fn manage(boot: &mut Boot<'_>, manager: Manager, words: &[&str], names: &[String], what: &str) -> bool {
    let program = manager.program();
    let mut run: Command = command(boot.spec, std::path::Path::new(program));
    if manager == Manager::Apt {
        run.env("DEBIAN_FRONTEND", "noninteractive");
        run.args([
            "--quiet",
            "--assume-yes",
            "-o",
            "Dpkg::Options::=--force-confold",
            "-o",
            "Dpkg::Options::=--force-confdef",
        ]);
        if boot.spec.make == Make::Rootless {
            // There is no other user that it could download as.
            run.args(["-o", "APT::Sandbox::User=root"]);
        }
    }
    run.args(words).args(names);
    boot.report.line(&format!("elastane: {what} with {program}"));
    boot.must(&format!("packages: {what}: {program}"), run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Names, versions as each manager writes them, and what is neither.
    #[test]
    fn package_names() {
        for (manager, packages, want) in [
            (Manager::Apt, json!(["nginx", ["curl", "7.1"], ["jq"]]), Ok(vec!["nginx", "curl=7.1", "jq"])),
            (Manager::Dnf, json!([["curl", "7.1"]]), Ok(vec!["curl-7.1"])),
            (Manager::Apk, json!([["curl", 7]]), Ok(vec!["curl=7"])),
            (
                Manager::Apt,
                json!(["a", {"snap": ["b"]}]),
                Err("entry 2 of packages is neither a name nor a name with a version"),
            ),
            (Manager::Apt, json!(["--purge"]), Err("entry 1 of packages is neither a name nor a name with a version")),
            (Manager::Apt, json!("nginx"), Err("packages is not a list")),
        ] {
            let want = want.map(|names| names.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
            assert_eq!(names(manager, &packages), want, "{packages}");
        }
    }
}
