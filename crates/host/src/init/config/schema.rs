//! The top-level keys of cloud-config: what is done, what cloud-init knows
//! and is not done here, and what is no key at all. Nothing is dropped
//! without a word.

use crate::init::userdata::Problem;
use serde_json::{Map, Value};

/// Keys that are carried out.
const SUPPORTED: [&str; 32] = [
    "apt_update",
    "apt_upgrade",
    "bootcmd",
    "ca-certs",
    "ca_certs",
    "chpasswd",
    "disable_root",
    "disable_root_opts",
    "final_message",
    "fqdn",
    "groups",
    "hostname",
    "locale",
    "manage_etc_hosts",
    "output",
    "package_update",
    "package_upgrade",
    "packages",
    "password",
    "power_state",
    "prefer_fqdn_over_hostname",
    "preserve_hostname",
    "runcmd",
    "ssh_authorized_keys",
    "ssh_deletekeys",
    "ssh_pwauth",
    "timezone",
    "user",
    "users",
    "write_files",
    "locale_configfile",
    "merge_how",
];

/// Of those, the keys that need a root, users or a network of the instance's
/// own, which the process make has not.
const NEED_A_ROOT: [&str; 23] = [
    "apt_update",
    "apt_upgrade",
    "ca-certs",
    "ca_certs",
    "chpasswd",
    "disable_root",
    "disable_root_opts",
    "fqdn",
    "groups",
    "hostname",
    "locale",
    "locale_configfile",
    "manage_etc_hosts",
    "package_update",
    "package_upgrade",
    "packages",
    "password",
    "ssh_authorized_keys",
    "ssh_deletekeys",
    "ssh_pwauth",
    "timezone",
    "user",
    "users",
];

/// cloud-init's other keys for which there is a reason.
const REASONS: [(&str, &str); 10] = [
    ("ntp", "the instance's clock is the host's"),
    ("mounts", "an instance has one disk, which is a layer over its image"),
    ("mount_default_fields", "an instance has one disk, which is a layer over its image"),
    ("swap", "swap space is the host's"),
    ("disk_setup", "an instance has one disk, which is a layer over its image"),
    ("fs_setup", "an instance has one disk, which is a layer over its image"),
    ("growpart", "the disk has no partitions"),
    ("resize_rootfs", "the disk has no fixed size"),
    ("network", "the network is the subnet's"),
    ("resolv_conf", "the resolver is set by the VPC's DHCP options"),
];

/// cloud-init's other keys.
const KNOWN: [&str; 55] = [
    "allow_public_ssh_keys",
    "ansible",
    "apt",
    "apt_pipelining",
    "apt_reboot_if_required",
    "authkey_hash",
    "autoinstall",
    "byobu_by_default",
    "chef",
    "cloud_config_modules",
    "cloud_final_modules",
    "cloud_init_modules",
    "create_hostname_file",
    "datasource",
    "datasource_list",
    "device_aliases",
    "disable_ec2_metadata",
    "drivers",
    "fan",
    "grub-dpkg",
    "grub_dpkg",
    "keyboard",
    "landscape",
    "launch-index",
    "lxd",
    "manage_resolv_conf",
    "mcollective",
    "no_ssh_fingerprints",
    "package_reboot_if_required",
    "phone_home",
    "puppet",
    "random_seed",
    "reporting",
    "rh_subscription",
    "rpi",
    "rsyslog",
    "salt_minion",
    "snap",
    "spacewalk",
    "ssh",
    "ssh_fp_console_blacklist",
    "ssh_genkeytypes",
    "ssh_import_id",
    "ssh_key_console_blacklist",
    "ssh_keys",
    "ssh_publish_hostkeys",
    "ssh_quiet_keygen",
    "system_info",
    "ubuntu_advantage",
    "ubuntu_pro",
    "updates",
    "vendor_data",
    "wireguard",
    "yum_repos",
    "zypper",
];

/// Removes what cannot be carried out and says so for each key.
pub fn check(config: &mut Map<String, Value>, has_root: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    config.retain(|key, value| {
        if SUPPORTED.contains(&key.as_str()) {
            let refused = !has_root && NEED_A_ROOT.contains(&key.as_str()) && !value.is_null();
            if refused {
                problems.push(Problem::Failure(format!(
                    "cloud-config: `{key}` cannot be carried out: instances of the process driver have no root file system, \
                     users or packages of their own"
                )));
            }
            return !refused;
        }
        let reason = REASONS.iter().find(|(name, _)| name == key).map(|(_, why)| *why);
        problems.push(Problem::Warning(match reason {
            Some(why) => format!("cloud-config: `{key}` is not supported and has no effect: {why}"),
            None if KNOWN.contains(&key.as_str()) => {
                format!("cloud-config: `{key}` is not supported and has no effect")
            }
            None => format!("cloud-config: `{key}` is not a known key and has no effect; is it misspelt?"),
        }));
        false
    });
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each kind of key and what is said about it; what stays is done.
    #[test]
    fn kinds_of_keys() {
        let all = json!({"runcmd": [], "packages": [], "ntp": {}, "puppet": {}, "pakages": []});
        for (has_root, left, want) in [
            (
                true,
                vec!["packages", "runcmd"],
                [
                    "Warning(\"cloud-config: `ntp` is not supported and has no effect: the instance's clock is the host's\")",
                    "Warning(\"cloud-config: `pakages` is not a known key and has no effect; is it misspelt?\")",
                    "Warning(\"cloud-config: `puppet` is not supported and has no effect\")",
                ]
                .to_vec(),
            ),
            (false, vec!["runcmd"], vec!["Failure(\"cloud-config: `packages` cannot be carried out"]),
        ] {
            let mut config = all.as_object().unwrap().clone();
            let said: Vec<String> = check(&mut config, has_root).iter().map(|problem| format!("{problem:?}")).collect();
            let mut keys: Vec<&String> = config.keys().collect();
            keys.sort();
            assert_eq!(keys, left);
            for line in want {
                assert!(said.iter().any(|said| said.starts_with(line)), "{line} in {said:?}");
            }
        }
    }
}
