//! Host name, time zone, locale and trusted certificates.

use super::{is_true, text, texts};
use crate::init::InitSpec;
use crate::init::boot::{Boot, merge, store};
use crate::init::command::{command, find};
use crate::init::userdata;
use serde_json::{Map, Value};
use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Longest host name of the kernel.
const NAME_BYTES_MAX: usize = 64;

/// What the instance is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its host name.
    pub host: String,
    /// The name with its domain.
    pub full: String,
}

fn is_host_name(name: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    name.len() <= NAME_BYTES_MAX && name.split('.').all(label)
}

/// The name that a cloud-config asks for, if it does.
fn configured(config: &Map<String, Value>, domain: &str) -> Result<Option<Name>, String> {
    let key = |name: &str| config.get(name).and_then(text).filter(|text| !text.is_empty());
    let (host, full) = match (key("hostname"), key("fqdn")) {
        (None, None) => return Ok(None),
        (Some(host), Some(full)) => (host, full),
        (None, Some(full)) => (full.split('.').next().unwrap_or_default().to_owned(), full),
        (Some(host), None) => match host.split_once('.') {
            Some((first, _)) => (first.to_owned(), host.clone()),
            None => (host.clone(), format!("{host}.{domain}")),
        },
    };
    let prefers_full = config.get("prefer_fqdn_over_hostname").is_some_and(is_true);
    let host = if prefers_full { full.clone() } else { host };
    let name = Name { host, full };
    let bad = [&name.host, &name.full].into_iter().find(|name| !is_host_name(name));
    if let Some(bad) = bad {
        return Err(format!("{bad:?} cannot be a host name"));
    }
    Ok(Some(name))
}

/// The name for this boot, known before anything can be fetched: the user
/// data's own, the one that the instance has had, or EC2's.
pub fn name(spec: &InitSpec) -> Name {
    let usual = Name { host: spec.hostname.clone(), full: format!("{}.{}", spec.hostname, spec.domain) };
    let config = spec.user_data.as_ref().map(|data| {
        let found = userdata::gather(data, &mut |_, _| Err("not now".to_owned()));
        merge(&found).0
    });
    let config = config.unwrap_or_default();
    let wanted = configured(&config, &spec.domain).ok().flatten();
    let keeps = config.get("preserve_hostname").is_some_and(is_true);
    let had = had(spec);
    match (wanted, had) {
        (Some(wanted), _) if !keeps => wanted,
        (_, Some(host)) if host != spec.hostname => {
            let full = if host.contains('.') { host.clone() } else { format!("{host}.{}", spec.domain) };
            Name { host, full }
        }
        _ => usual,
    }
}

/// The name in `/etc/hostname`, if this instance has written it: that of an image is not its own.
fn had(spec: &InitSpec) -> Option<String> {
    let known = small_file("/var/lib/cloud/data/instance-id")?;
    let name = small_file("/etc/hostname").filter(|_| known.trim() == spec.instance)?;
    Some(name.trim().to_owned()).filter(|name| is_host_name(name))
}

/// The begin of a file that the instance's root may have made anything of.
fn small_file(path: &str) -> Option<String> {
    let mut options = fs::File::options();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path).ok()?;
    let mut text = String::new();
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let read = file.take(1_000).read_to_string(&mut text);
    read.ok().filter(|_| is_file).map(|_| text)
}

/// The hosts file of an instance.
pub fn hosts(spec: &InitSpec, name: &Name) -> String {
    let names = match name.host == name.full {
        true => name.full.clone(),
        false => format!("{} {}", name.full, name.host),
    };
    format!("127.0.0.1 localhost\n{} {names}\n::1 localhost ip6-localhost ip6-loopback\n", spec.address)
}

/// Names, time zone, locale, certificates: what of them is configured.
pub fn apply(boot: &mut Boot<'_>) {
    host_name(boot);
    certificates(boot);
    locale(boot);
    time_zone(boot);
}

fn host_name(boot: &mut Boot<'_>) {
    let keeps = is_true(&boot.key("preserve_hostname"));
    match configured(&boot.config, &boot.spec.domain) {
        Err(why) => boot.report.fail(&format!("hostname: {why}")),
        Ok(Some(wanted)) if !keeps => {
            let current = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            if current.trim() != wanted.host {
                boot.report.fail("hostname: it can be set in the user data itself, not in what that includes");
            }
        }
        Ok(_) => {}
    }
    match boot.key("manage_etc_hosts") {
        Value::Null => {}
        wanted if is_true(&wanted) || matches!(wanted.as_str(), Some("localhost" | "template")) => {
            let written = fs::write("/etc/hosts", hosts(boot.spec, &name(boot.spec)));
            if let Err(err) = written {
                boot.report.fail(&format!("manage_etc_hosts: cannot write /etc/hosts: {err}"));
            }
        }
        _ => {}
    }
}

fn time_zone(boot: &mut Boot<'_>) {
    let Some(zone) = text(&boot.key("timezone")) else { return };
    if !boot.first_time("timezone") {
        return;
    }
    let file = Path::new("/usr/share/zoneinfo").join(&zone);
    if zone.starts_with('/') || zone.split('/').any(|name| name == "..") || !file.is_file() {
        return boot.report.fail(&format!("timezone: the image does not know {zone:?}"));
    }
    let _ = fs::remove_file("/etc/localtime");
    let set = std::os::unix::fs::symlink(&file, "/etc/localtime")
        .and_then(|()| store(Path::new("/etc/timezone"), format!("{zone}\n").as_bytes(), 0o644));
    if let Err(err) = set {
        boot.report.fail(&format!("timezone: {err}"));
    }
}

/// Sets the locale; it is not generated.
fn locale(boot: &mut Boot<'_>) {
    let wanted = boot.key("locale");
    let Some(locale) = text(&wanted).filter(|_| wanted != Value::Bool(false)) else { return };
    if !boot.first_time("locale") {
        return;
    }
    if !locale.chars().all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c)) {
        return boot.report.fail(&format!("locale: {locale:?} cannot be a locale"));
    }
    let usual = if Path::new("/etc/debian_version").exists() { "/etc/default/locale" } else { "/etc/locale.conf" };
    let path = text(&boot.key("locale_configfile")).unwrap_or_else(|| usual.to_owned());
    let directory = Path::new(&path).parent().map_or(Ok(()), fs::create_dir_all);
    let set = directory.and_then(|()| store(Path::new(&path), format!("LANG={locale}\n").as_bytes(), 0o644));
    if let Err(err) = set {
        boot.report.fail(&format!("locale: cannot write {path}: {err}"));
    }
}

/// Certificates that the instance is to trust besides the image's.
fn certificates(boot: &mut Boot<'_>) {
    let wanted = [boot.key("ca_certs"), boot.key("ca-certs")].into_iter().find(|value| !value.is_null());
    let Some(wanted) = wanted.filter(|_| boot.first_time("ca_certs")) else { return };
    if is_true(&wanted["remove_defaults"]) || is_true(&wanted["remove-defaults"]) {
        boot.report.fail("ca_certs: `remove_defaults` is not supported; the image's certificates stay trusted");
    }
    let places = [
        ("update-ca-certificates", "/usr/local/share/ca-certificates", &[][..]),
        ("update-ca-trust", "/etc/pki/ca-trust/source/anchors", &["extract"][..]),
    ];
    let Some((program, directory, arguments)) =
        places.into_iter().find(|(program, ..)| find(boot.spec, program).is_some())
    else {
        return boot.report.fail("ca_certs: the image has neither update-ca-certificates nor update-ca-trust");
    };
    let trusted = match &wanted["trusted"] {
        Value::String(one) => vec![one.clone()],
        list => texts(list),
    };
    for (at, certificate) in trusted.iter().enumerate() {
        let path = Path::new(directory).join(format!("cloud-init-ca-cert-{}.crt", at + 1));
        let stored = fs::create_dir_all(directory)
            .and_then(|()| store(&path, format!("{}\n", certificate.trim()).as_bytes(), 0o644));
        if let Err(err) = stored {
            boot.report.fail(&format!("ca_certs: cannot write {}: {err}", path.display()));
        }
    }
    let mut run = command(boot.spec, Path::new(program));
    run.args(arguments);
    boot.must(&format!("ca_certs: {program}"), run);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Host name and full name from each other, as cloud-init derives them.
    #[test]
    fn names() {
        for (config, want) in [
            (json!({}), Ok(None)),
            (json!({"hostname": "web"}), Ok(Some(("web", "web.ec2.internal")))),
            (json!({"hostname": "web.example.com"}), Ok(Some(("web", "web.example.com")))),
            (json!({"fqdn": "web.example.com"}), Ok(Some(("web", "web.example.com")))),
            (json!({"fqdn": "a.example.com", "hostname": "b"}), Ok(Some(("b", "a.example.com")))),
            (json!({"fqdn": "a.b", "prefer_fqdn_over_hostname": true}), Ok(Some(("a.b", "a.b")))),
            (json!({"hostname": "a b"}), Err("\"a b\" cannot be a host name")),
            (json!({"hostname": "a\nb"}), Err("\"a\\nb\" cannot be a host name")),
            (json!({"fqdn": "a..b"}), Err("\"a..b\" cannot be a host name")),
        ] {
            let got = configured(config.as_object().unwrap(), "ec2.internal");
            let want = want
                .map(|found| found.map(|(host, full)| Name { host: host.to_owned(), full: full.to_owned() }))
                .map_err(str::to_owned);
            assert_eq!(got, want, "{config}");
        }
    }
}
