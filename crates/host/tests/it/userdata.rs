//! User data of each format, cloud-config, and what a boot reports.

use crate::cases::{Case, count, expect};
use crate::isolated;
use crate::world::{PATIENCE, World, spec, until};
use elastane_domain::id::{ImageId, InstanceId};
use elastane_domain::machine::{Generation, HostFact, Initialization, LaunchSpec, MachineState};
use elastane_host::Make;
use std::net::Ipv4Addr;

/// The cases of this file.
pub const CASES: [(&str, Case); 12] = [
    ("results_of_boots", results_of_boots),
    ("formats_of_user_data", formats_of_user_data),
    ("included_user_data", included_user_data),
    ("cloud_config_in_order", cloud_config_in_order),
    ("cloud_config_users", cloud_config_users),
    ("cloud_config_settings", cloud_config_settings),
    ("cloud_config_faults", cloud_config_faults),
    ("cloud_config_packages", cloud_config_packages),
    ("cloud_config_ends", cloud_config_ends),
    ("later_boots_and_images", later_boots_and_images),
    ("names_and_resolver", names_and_resolver),
    ("login_over_ssh", login_over_ssh),
];

/// How the boot work of a generation ended.
pub fn initialized(world: &World, id: &InstanceId, wanted: u64) -> Result<Initialization, String> {
    let fact = world.wait(&format!("Initialized of {id}"), |fact| match fact {
        HostFact::Initialized { instance, generation, initialization } if instance == id && generation.0 == wanted => {
            Some(initialization.clone())
        }
        _ => None,
    });
    fact.map_err(|err| format!("{err}; console: {}", world.console(id)))
}

/// Boots with user data of any bytes and waits for the end of the boot work.
fn boot_to_end(world: &World, data: &[u8]) -> Result<(InstanceId, Initialization), String> {
    let mut spec = spec("");
    spec.user_data = Some(data.to_vec());
    let id = world.boot(spec)?;
    let end = initialized(world, &id, 1)?;
    Ok((id, end))
}

/// Boots with user data that must end well.
fn boot_well(world: &World, data: &[u8]) -> Result<InstanceId, String> {
    let (id, end) = boot_to_end(world, data)?;
    expect(end == Initialization::Done, || format!("{end:?}; console: {}", world.console(&id)))?;
    Ok(id)
}

/// What an inventory says of an instance.
fn in_inventory(world: &World, id: &InstanceId) -> Option<(MachineState, Initialization)> {
    let machines = world.host().inventory();
    machines.into_iter().find(|machine| machine.instance == *id).map(|machine| (machine.state, machine.initialization))
}

/// Done, failed and under way are told, stay known to the next daemon, and
/// are in the files where programs look for cloud-init's result.
fn results_of_boots(world: &mut World) -> Result<(), String> {
    let good = boot_well(world, b"#!/bin/sh\necho well\n")?;
    let (bad, end) = boot_to_end(world, b"#!/bin/sh\necho on the way\nexit 3\n")?;
    let failed = Initialization::Failed("user data script part-001 exited with 3".to_owned());
    expect(end == failed, || format!("{end:?}"))?;
    let console = world.console(&bad);
    expect(console.contains("ERROR: user data script part-001 exited with 3"), || console.clone())?;
    expect(console.contains("boot finished with 1 error,"), || console.clone())?;
    let endless = "#!/bin/sh\nuntil [ -e $ELASTANE_ROOT/srv/end ]; do sleep 0.02; done\n";
    let endless = world.boot(spec(endless))?;
    world.console_with(&endless, "running user data")?;
    for (id, want) in [(&good, Initialization::Done), (&bad, failed.clone()), (&endless, Initialization::UnderWay)] {
        let got = in_inventory(world, id);
        expect(got == Some((MachineState::Running, want.clone())), || format!("{id}: {got:?} instead of {want:?}"))?;
    }
    let read = "cat $ELASTANE_ROOT/run/cloud-init/result.json $ELASTANE_ROOT/var/lib/cloud/data/status.json";
    let files = world.output(&bad, read)?;
    expect(count(&files, "user data script part-001 exited with 3") == 2, || files.clone())?;
    let files = world.output(&good, read)?;
    expect(files.contains("\"errors\": []") && files.contains("\"stage\": null"), || files.clone())?;
    let running =
        world.output(&endless, "cat $ELASTANE_ROOT/run/cloud-init/status.json; ls $ELASTANE_ROOT/run/cloud-init")?;
    expect(running.contains("\"stage\": \"modules-final\"") && !running.contains("result.json"), || running.clone())?;
    world.host().stop(&bad, Generation(1));
    world.exited(&bad, 1)?;
    world.reopen();
    for (id, state, want) in [
        (&good, MachineState::Running, Initialization::Done),
        (&bad, MachineState::Stopped, failed),
        (&endless, MachineState::Running, Initialization::UnderWay),
    ] {
        let got = in_inventory(world, id);
        expect(got == Some((state, want.clone())), || format!("next host: {id}: {got:?} instead of {want:?}"))?;
    }
    world.output(&endless, "touch $ELASTANE_ROOT/srv/end")?;
    let end = initialized(world, &endless, 1)?;
    expect(end == Initialization::Done, || format!("{end:?}"))?;
    [good, bad, endless].iter().try_for_each(|id| world.remove(id))
}

/// A message with one part of each kind, some encoded, one in a nested multipart.
const MESSAGE: &str = "Content-Type: multipart/mixed; boundary=\"out\"\nMIME-Version: 1.0\n\n\
--out\nContent-Type: text/cloud-config\n\nruncmd:\n - echo first config\n\
--out\nContent-Type: text/cloud-config\nX-Merge-Type: list(append)+dict(recurse_list)+str()\n\nruncmd:\n - echo second config\n\
--out\nContent-Type: multipart/mixed; boundary=in\n\n\
--in\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"zz.sh\"\n\n\
IyEvYmluL3NoCmVjaG8gZnJvbSBiYXNlNjQK\n\
--in\nContent-Type: text/cloud-boothook\n\n#cloud-boothook\n#!/bin/sh\necho boothook of $INSTANCE_ID\n\
--in--\n\
--out\nContent-Type: text/x-shellscript\nContent-Transfer-Encoding: quoted-printable\n\n#!/bin/sh\necho quoted=3Dprint=\nable\n\
--out\nContent-Type: text/x-shellscript-per-boot\nContent-Disposition: attachment; filename=each.sh\n\n#!/bin/sh\necho at each boot\n\
--out--\n";

/// Each format is run; what each script says is in the console, in order.
fn formats_of_user_data(world: &mut World) -> Result<(), String> {
    let script = "#!/bin/sh\necho it ran\n";
    // `printf '#!/bin/sh\necho it ran\n' | gzip -n`, of which `base64` too.
    let gzip_base64 = "H4sIAAAAAAAAA1NW1E/KzNMvzuBKTc7IV8gsUShKzOMCABg8LlMWAAAA";
    let gzip = decode_base64(gzip_base64);
    for (name, data, wants) in [
        ("script after white space", format!("\n\n{script}").into_bytes(), vec!["it ran"]),
        ("base64", b"IyEvYmluL3NoCmVjaG8gaXQgcmFuCg==\n".to_vec(), vec!["it ran"]),
        ("gzip", gzip, vec!["it ran"]),
        ("base64 of gzip", gzip_base64.as_bytes().to_vec(), vec!["it ran"]),
        ("boothook", b"#cloud-boothook\n#!/bin/sh\necho it ran\n".to_vec(), vec!["it ran"]),
        (
            "archive",
            b"#cloud-config-archive\n- |\n  #!/bin/sh\n  echo it ran\n- type: text/cloud-config\n  content: |\n    bootcmd: [echo config ran]\n"
                .to_vec(),
            vec!["config ran", "it ran"],
        ),
        (
            "message",
            MESSAGE.as_bytes().to_vec(),
            vec!["boothook of i-", "at each boot", "quoted=printable", "first config", "second config", "from base64"],
        ),
    ] {
        let id = boot_well(world, &data).map_err(|err| format!("{name}: {err}"))?;
        let console = world.console(&id);
        let mut at = 0;
        for want in wants {
            let line = console[at..].find(want).ok_or_else(|| format!("{name}: no {want:?} after {at} in {console}"))?;
            at += line;
        }
        let stored = world.output(&id, "ls $ELASTANE_ROOT/var/lib/cloud/instances/$ELASTANE_INSTANCE_ID/")?;
        for file in ["user-data.txt", "scripts", "sem", "boot-finished"] {
            expect(stored.lines().any(|line| line == file), || format!("{name}: {file} in {stored}"))?;
        }
        world.remove(&id)?;
    }
    Ok(())
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits: Vec<u8> = text.bytes().filter(|b| *b != b'=').map(value).collect();
    let group = |group: &[u8]| {
        let number = group.iter().fold(0u32, |sum, bits| sum << 6 | u32::from(*bits)) << (6 * (4 - group.len()));
        number.to_be_bytes()[1..group.len()].to_vec()
    };
    bits.chunks(4).flat_map(group).collect()
}

/// Includes are fetched from inside the instance's network, handled like user
/// data, and kept if they are to be fetched once.
fn included_user_data(world: &mut World) -> Result<(), String> {
    let server = boot_well(
        world,
        b"#!/bin/sh\nmkdir -p $ELASTANE_ROOT/srv/www && cd $ELASTANE_ROOT/srv/www\n\
        printf '#!/bin/sh\\necho included script\\n' > script\n\
        printf '#cloud-config\\nbootcmd: [echo included config]\\n' > config\n\
        head -c 9000000 /dev/zero > long\n\
        /usr/bin/python3 -u -m http.server --bind $ELASTANE_LOCAL_IPV4 8099 > log 2>&1 &\n\
        until grep -q Serving log; do sleep 0.02; done\n",
    )?;
    let address = world.host().address(&server).ok_or("no address")?;
    let base = format!("http://{address}:8099");
    let mut child = spec(&format!("#include\n{base}/config\n#include-once {base}/script\n"));
    let id = world.boot(child.clone())?;
    let end = initialized(world, &id, 1)?;
    let console = world.console(&id);
    expect(end == Initialization::Done, || format!("{end:?}: {console}"))?;
    expect(console.contains("included config\n") && console.contains("included script\n"), || console.clone())?;
    let (refused, end) =
        boot_to_end(world, format!("#include\n{base}/none\n{base}/long\nfile:///etc/passwd\n").as_bytes())?;
    let console = world.console(&refused);
    for want in
        ["/none was left out: curl failed", "/long was left out: it is longer than 8 MiB", "only http and https"]
    {
        expect(console.contains(want), || format!("{want}: {console}"))?;
    }
    expect(matches!(&end, Initialization::Failed(why) if why.ends_with("(and 2 more)")), || format!("{end:?}"))?;
    world.remove(&server)?;
    world.host().stop(&id, Generation(1));
    world.exited(&id, 1)?;
    child.generation = Generation(2);
    world.boot(child)?;
    let end = initialized(world, &id, 2)?;
    let why = format!("the include {base}/config was left out");
    // The one that is fetched once was kept; the other one is gone.
    expect(
        matches!(&end, Initialization::Failed(sentence) if sentence.starts_with(&why) && !sentence.contains("more")),
        || format!("{end:?}: {}", world.console(&id)),
    )?;
    [id, refused].iter().try_for_each(|id| world.remove(id))
}

/// The stages come in cloud-init's order; files have their content, modes and owners.
fn cloud_config_in_order(world: &mut World) -> Result<(), String> {
    let config = "#cloud-config\n\
runcmd:\n - echo 5 runcmd >> $ELASTANE_ROOT/srv/order\n - [sh, -c, 'echo \"6 words $0\" >> $ELASTANE_ROOT/srv/order', \"it's\"]\n\
bootcmd:\n - mkdir -p $ELASTANE_ROOT/srv\n - echo 1 bootcmd >> $ELASTANE_ROOT/srv/order\n\
write_files:\n\
- {path: /srv/order, append: true, content: \"2 write_files\\n\"}\n\
- {path: /srv/deep/encoded, encoding: b64, content: aGVsbG8=, permissions: '0640'}\n\
- {path: /srv/packed, encoding: gz+b64, content: H4sIAAAAAAAAA8vIBACsKpPYAgAAAA==, permissions: 0755}\n\
- {path: /srv/order, append: true, defer: true, content: \"4 deferred\\n\"}\n";
    let id = boot_well(world, config.as_bytes())?;
    let got = world.output(
        &id,
        "cd $ELASTANE_ROOT/srv; cat order; cat deep/encoded; echo; cat packed; stat -c ' %a' deep/encoded packed",
    )?;
    expect(got == "1 bootcmd\n2 write_files\n4 deferred\n5 runcmd\n6 words it's\nhello\nhi 640\n 755", || {
        format!("{got}; {}", world.console(&id))
    })?;
    world.remove(&id)
}

/// Groups, users, their homes, keys, sudo rules and passwords.
fn cloud_config_users(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let config = "#cloud-config\n\
groups:\n- ops: [root]\n- web\n\
users:\n- default\n\
- name: ann\n  gecos: Ann A\n  groups: ops, extra\n  primary_group: web\n  shell: /bin/sh\n  uid: 1777\n  sudo: ['ALL=(ALL) NOPASSWD:ALL']\n  ssh_authorized_keys: [ssh-ed25519 AAAA ann@there]\n  lock_passwd: false\n  passwd: $6$salt$hash\n\
- {name: svc, system: true, homedir: /srv/svc, no_create_home: true, ssh_import_id: x}\n\
ssh_authorized_keys: [ssh-ed25519 BBBB team]\n\
chpasswd:\n  expire: false\n  list: |\n    svc:$6$other$hash\n    root:R\n\
write_files:\n - {path: /srv/of-root, owner: 'root:root', permissions: '0600'}\n - {path: /srv/late, owner: 'ann:ops', defer: true}\n";
    let mut launch = spec(config);
    launch.ssh_public_key = Some("ssh-ed25519 CCCC pair".to_owned());
    let id = world.boot(launch)?;
    let end = initialized(world, &id, 1)?;
    let console = world.console(&id);
    expect(end == Initialization::Done, || format!("{end:?}: {console}"))?;
    let wants = [
        ("grep ^ann: /etc/passwd", "ann:x:1777:GID:Ann A:/home/ann:/bin/sh"),
        (
            "grep ^ann: /etc/shadow | cut -d: -f1-2; grep ^svc: /etc/shadow | cut -d: -f1-2",
            "ann:$6$salt$hash\nsvc:$6$other$hash",
        ),
        ("grep -E '^(ops|extra):' /etc/group | cut -d: -f1,4", "ops:root,ann\nextra:ann"),
        ("cat /home/ann/.ssh/authorized_keys", "ssh-ed25519 AAAA ann@there"),
        (
            "cat /home/ec2-user/.ssh/authorized_keys /root/.ssh/authorized_keys",
            "ssh-ed25519 CCCC pair\nssh-ed25519 BBBB team\nssh-ed25519 CCCC pair\nssh-ed25519 BBBB team",
        ),
        (
            "stat -c %a /home/ann/.ssh /home/ann/.ssh/authorized_keys /etc/sudoers.d/90-cloud-init-users",
            "700\n600\n440",
        ),
        (
            "grep -v ^# /etc/sudoers.d/90-cloud-init-users | grep .",
            "ec2-user ALL=(ALL) NOPASSWD:ALL\nann ALL=(ALL) NOPASSWD:ALL",
        ),
        ("ls -d /srv/svc 2>&1 | grep -c 'No such'", "1"),
        ("grep ^root: /etc/shadow | cut -d: -f2 | cut -c1", "$"),
        ("test -f /home/ann/.bashrc || test ! -f /etc/skel/.bashrc; echo $?", "0"),
    ];
    let group = world.output(&id, "grep ^web: /etc/group | cut -d: -f3")?;
    for (script, want) in wants {
        let got = world.output(&id, script)?;
        let want = want.replace("GID", &group);
        expect(got == want, || format!("{script}: {got:?} instead of {want:?}; {console}"))?;
    }
    expect(console.contains("`ssh_import_id` of svc is not supported"), || console.clone())?;
    if world.make == Make::Root {
        let owners = world.output(&id, "stat -c %U:%G /srv/of-root /srv/late /home/ann /home/ann/.ssh/authorized_keys; su ann -c 'id -un; echo $HOME'")?;
        expect(owners == "root:root\nann:ops\nann:web\nann:web\nann\n/home/ann", || owners.clone())?;
    } else {
        expect(console.contains("this instance has one user id only"), || console.clone())?;
    }
    world.remove(&id)
}

/// Time zone, locale, hosts, output, final message.
fn cloud_config_settings(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let config = "#cloud-config\n\
timezone: Europe/Berlin\nlocale: de_DE.UTF-8\nfqdn: shop.example.com\nmanage_etc_hosts: true\n\
output: {final: '>> /var/log/final.log', all: '| tee -a /var/log/cloud-init-output.log'}\n\
bootcmd: [echo seen in the console]\nruncmd: [echo seen in the file]\n\
final_message: done after $UPTIME\n";
    let id = boot_well(world, config.as_bytes())?;
    let address = world.host().address(&id).ok_or("no address")?;
    let console = world.console(&id);
    expect(console.contains("\nseen in the console\n") && console.contains("\ndone after 0."), || console.clone())?;
    expect(!console.contains("seen in the file"), || console.clone())?;
    for (script, want) in [
        ("cat /etc/timezone; readlink /etc/localtime", "Europe/Berlin\n/usr/share/zoneinfo/Europe/Berlin".to_owned()),
        ("cat /etc/default/locale", "LANG=de_DE.UTF-8".to_owned()),
        ("hostname; cat /etc/hostname; hostname -f", "shop\nshop\nshop.example.com".to_owned()),
        ("sed -n 2p /etc/hosts", format!("{address} shop.example.com shop")),
        ("cat /var/log/final.log", "seen in the file".to_owned()),
    ] {
        let got = world.output(&id, script)?;
        expect(got == want, || format!("{script}: {got:?} instead of {want:?}"))?;
    }
    world.remove(&id)
}

/// Faults and refusals are in the console with their place and fail the boot;
/// keys without effect are named; the rest is carried out.
fn cloud_config_faults(world: &mut World) -> Result<(), String> {
    let isolated = isolated(world.make);
    for (config, line, fails) in [
        ("a: [", "ERROR: the cloud-config part-001 cannot be read as YAML: ", true),
        ("- a\n", "ERROR: the cloud-config part-001 is not a mapping of keys to values", true),
        ("pakages: [x]\n", "WARNING: cloud-config: `pakages` is not a known key and has no effect", false),
        (
            "ntp: {enabled: true}\n",
            "WARNING: cloud-config: `ntp` is not supported and has no effect: the instance's clock is the host's",
            false,
        ),
        ("swap: {size: 1}\n", "WARNING: cloud-config: `swap` is not supported", false),
        ("runcmd: [{a: b}]\n", "ERROR: runcmd: entry 1 of runcmd is neither", true),
        ("runcmd: [exit 4]\n", "ERROR: user data script runcmd exited with 4", true),
        ("bootcmd: [exit 5]\n", "ERROR: bootcmd bootcmd exited with 5", true),
        ("write_files: [{path: x}]\n", "ERROR: write_files: the path \"x\" is not absolute", true),
        (
            "write_files: [{path: /srv/x, owner: nobody-here}]\n",
            "ERROR: write_files: /srv/x: no user nobody-here",
            true,
        ),
        (
            "timezone: Mars/Olympus\n",
            if isolated { "ERROR: timezone: the image does not know" } else { "`timezone` cannot be carried out" },
            true,
        ),
        (
            "users: [{name: 'a:b'}]\n",
            if isolated {
                "ERROR: users: \"a:b\" cannot be the name of a user"
            } else {
                "ERROR: cloud-config: `users` cannot be carried out"
            },
            true,
        ),
        (
            "hostname: 'a b'\n",
            if isolated {
                "ERROR: hostname: \"a b\" cannot be a host name"
            } else {
                "`hostname` cannot be carried out"
            },
            true,
        ),
        (
            if isolated {
                "bootcmd: [rm -rf /etc/apt/sources.list /etc/apt/sources.list.d]\npackages: [x]\nruncmd: [echo still run]\n"
            } else {
                "packages: [x]\nruncmd: [echo still run]\n"
            },
            if isolated {
                "ERROR: packages: installing x: apt-get exited with"
            } else {
                "ERROR: cloud-config: `packages` cannot be carried out: instances of the process driver"
            },
            true,
        ),
        ("power_state: {mode: reboot}\n", "ERROR: power_state: the mode `reboot` is not supported", true),
    ] {
        let (id, end) = boot_to_end(world, format!("#cloud-config\n{config}").as_bytes())?;
        let console = world.console(&id);
        expect(console.lines().any(|found| found.contains(line)), || format!("{config}: no {line:?} in {console}"))?;
        expect(matches!(end, Initialization::Failed(_)) == fails, || format!("{config}: {end:?}"))?;
        expect(!config.contains("still run") || console.contains("\nstill run\n"), || console.clone())?;
        world.remove(&id)?;
    }
    Ok(())
}

/// A package of a repository inside the instance is installed by apt.
fn cloud_config_packages(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let config = "#cloud-config\n\
bootcmd:\n- |\n  mkdir -p /srv/repo/tiny/DEBIAN /srv/repo/tiny/srv && cd /srv/repo && \
printf 'Package: elastane-tiny\\nVersion: 1.2\\nArchitecture: all\\nMaintainer: nobody <nobody@example.com>\\nDescription: tiny\\n' > tiny/DEBIAN/control && \
echo tiny > tiny/srv/tiny-was-installed && dpkg-deb -Znone --root-owner-group -b tiny tiny.deb && \
(cat tiny/DEBIAN/control; echo Filename: ./tiny.deb; echo Size: $(stat -c %s tiny.deb); echo SHA256: $(sha256sum tiny.deb | cut -d' ' -f1)) > Packages && \
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* && echo 'deb [trusted=yes] file:/srv/repo ./' > /etc/apt/sources.list\n\
package_update: true\npackages:\n - [elastane-tiny, '1.2']\n\
runcmd: [cat /srv/tiny-was-installed]\n";
    if world.make == Make::Rootless {
        // dpkg wants to be several users.
        return Ok(());
    }
    let id = boot_well(world, config.as_bytes())?;
    let console = world.console(&id);
    expect(console.contains("\ntiny\n") && console.contains("Setting up elastane-tiny (1.2)"), || console.clone())?;
    world.remove(&id)
}

/// An instance that is told to goes down after its boot, and its result is known.
fn cloud_config_ends(world: &mut World) -> Result<(), String> {
    let config =
        "#cloud-config\nruncmd: [exit 9]\npower_state: {mode: poweroff, condition: 'test -d /', message: bye}\n";
    let (id, end) = boot_to_end(world, config.as_bytes())?;
    expect(end == Initialization::Failed("user data script runcmd exited with 9".to_owned()), || format!("{end:?}"))?;
    world.exited(&id, 1)?;
    let known = in_inventory(world, &id);
    expect(known == Some((MachineState::Stopped, end)), || format!("{known:?}"))?;
    let stays = boot_well(world, b"#cloud-config\npower_state: {mode: poweroff, condition: [test, -d, /none]}\n")?;
    world.output(&stays, "true")?;
    [id, stays].iter().try_for_each(|id| world.remove(id))
}

/// At a second boot only what is for each boot runs; an instance from an
/// image of this one runs its own user data.
fn later_boots_and_images(world: &mut World) -> Result<(), String> {
    let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
--b\nContent-Type: text/cloud-config\n\nbootcmd: [echo bootcmd ran]\nruncmd: [echo runcmd ran]\nwrite_files: [{path: /srv/written, content: x}]\n\
--b\nContent-Type: text/cloud-boothook\n\n#!/bin/sh\necho boothook ran\n\
--b\nContent-Type: text/x-shellscript-per-boot\n\n#!/bin/sh\necho per-boot ran\n\
--b\nContent-Type: text/x-shellscript-per-instance\n\n#!/bin/sh\necho per-instance ran\n\
--b\nContent-Type: text/x-shellscript-per-once\n\n#!/bin/sh\necho per-once ran\n\
--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho script ran\n\
--b--\n";
    let mut first: LaunchSpec = spec(message);
    let id = world.boot(first.clone())?;
    initialized(world, &id, 1)?;
    world.output(&id, "rm $ELASTANE_ROOT/srv/written")?;
    world.host().stop(&id, Generation(1));
    world.exited(&id, 1)?;
    first.generation = Generation(2);
    world.boot(first)?;
    let end = initialized(world, &id, 2)?;
    let console = world.console(&id);
    expect(end == Initialization::Done, || format!("{end:?}: {console}"))?;
    let counts = |console: &str, wanted: [(&str, usize); 7]| {
        wanted.into_iter().try_for_each(|(what, want)| {
            let got = count(console, &format!("\n{what} ran\n"));
            expect(got == want, || format!("{what} ran {got} times, not {want}: {console}"))
        })
    };
    counts(
        &console,
        [
            ("bootcmd", 2),
            ("boothook", 2),
            ("per-boot", 2),
            ("runcmd", 1),
            ("script", 1),
            ("per-instance", 1),
            ("per-once", 1),
        ],
    )?;
    world.output(&id, "test ! -e $ELASTANE_ROOT/srv/written")?;
    let image = ImageId::from("ami-0000000000000000d");
    world.capture(&image, &id)?;
    world.remove(&id)?;
    let mut child = spec("#!/bin/sh\necho script ran\n");
    child.layers = vec![image.clone()];
    let id = world.boot(child)?;
    initialized(world, &id, 1)?;
    let console = world.console(&id);
    counts(
        &console,
        [
            ("bootcmd", 0),
            ("boothook", 0),
            ("per-boot", 1),
            ("runcmd", 0),
            ("script", 1),
            ("per-instance", 1),
            ("per-once", 0),
        ],
    )?;
    world.remove(&id)?;
    world.host().delete_image(&image);
    until("the image's removal", || (!world.data.join("images").join(image.as_str()).exists()).then_some(()))
}

/// Resolver and hosts files follow the launch; what the user changes stays.
fn names_and_resolver(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let mut own = spec("");
    own.name_servers = vec![Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(192, 0, 2, 54)];
    own.search_domain = "corp.example.com".to_owned();
    let id = world.boot(own.clone())?;
    let read = "grep -v ^options /etc/resolv.conf";
    let got = world.output(&id, read)?;
    expect(got == "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch corp.example.com", || got.clone())?;
    let got = world.output(&id, "sed -n 2p /etc/hosts; echo 192.0.2.9 mine >> /etc/hosts")?;
    expect(got == format!("{} {}.ec2.internal {}", own.private_ip, own.hostname, own.hostname), || got.clone())?;
    initialized(world, &id, 1)?;
    world.host().stop(&id, Generation(1));
    world.exited(&id, 1)?;
    own.generation = Generation(2);
    own.name_servers = Vec::new();
    own.search_domain = String::new();
    world.boot(own)?;
    let got = world.output(&id, read)?;
    expect(got == "nameserver 169.254.169.253", || got.clone())?;
    let got = world.command(&id, "tail -n 1 /etc/hosts", None, PATIENCE)?;
    expect(got.steps[0].stdout == "192.0.2.9 mine\n", || format!("{got:?}"))?;
    world.remove(&id)
}

/// The client that the cases use, which trusts what it sees first.
const SSH: &str = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/root/known -o BatchMode=yes -o ConnectTimeout=20";

/// A key pair logs in as root and as the image's user, runs commands and
/// copies files; another key does not; host keys are the instance's own and
/// stay at its next boot.
fn login_over_ssh(world: &mut World) -> Result<(), String> {
    let missing =
        ["/usr/sbin/sshd", "/usr/bin/ssh"].into_iter().find(|program| !std::path::Path::new(program).exists());
    if let Some(program) = missing {
        println!("SKIPPED {}: login_over_ssh: this machine has no {program}", world.make.name());
        return Ok(());
    }
    if !isolated(world.make) {
        return Ok(());
    }
    let client = boot_well(world, b"#!/bin/sh\n")?;
    world.output(
        &client,
        "cd /root && ssh-keygen -q -t ed25519 -N '' -f right && ssh-keygen -q -t ed25519 -N '' -f wrong",
    )?;
    let mut server = spec("#cloud-config\nssh_pwauth: true\n");
    server.ssh_public_key = Some(world.output(&client, "cat /root/right.pub")?);
    let id = world.boot(server.clone())?;
    let end = initialized(world, &id, 1)?;
    let console = world.console(&id);
    expect(end == Initialization::Done, || format!("{end:?}: {console}"))?;
    if world.make == Make::Rootless {
        expect(console.contains("SSH: the server is not started: the instance has one user id"), || console.clone())?;
        return [client, id].iter().try_for_each(|id| world.remove(id));
    }
    let address = server.private_ip;
    let ssh = |key: &str, user: &str, command: &str| format!("ssh {SSH} -i /root/{key} {user}@{address} {command}");
    for (script, want) in [
        (ssh("right", "ec2-user", "'id -un; hostname; pwd'"), format!("ec2-user\n{}\n/home/ec2-user", server.hostname)),
        (ssh("right", "root", "id -u"), "0".to_owned()),
        (
            format!(
                "head -c 300000 /dev/urandom > /root/data; scp -q {SSH} -i /root/right /root/data ec2-user@{address}:copy && scp -q {SSH} -i /root/right ec2-user@{address}:copy /root/back && cmp /root/data /root/back && echo same"
            ),
            "same".to_owned(),
        ),
        (ssh("right", "ec2-user", "stat -c %U:%s copy"), "ec2-user:300000".to_owned()),
    ] {
        let got = world
            .output(&client, &script)
            .map_err(|err| format!("{err}; server: {:?}", world.output(&id, "cat /var/log/auth.log")))?;
        expect(got == want, || format!("{script}: {got:?} instead of {want:?}"))?;
    }
    for user in ["ec2-user", "root"] {
        let refused = world.command(&client, &format!("{} 2>&1", ssh("wrong", user, "true")), None, PATIENCE)?;
        expect(refused.steps[0].stdout.contains("Permission denied (publickey,password"), || format!("{refused:?}"))?;
    }
    let allowed = world.output(&id, "/usr/sbin/sshd -T | grep -E '^(passwordauthentication|permitrootlogin)'")?;
    expect(allowed == "permitrootlogin without-password\npasswordauthentication yes", || allowed.clone())?;
    let again = ssh("right", "ec2-user", HOST_KEYS);
    host_keys_are_own(world, &client, server, &again)?;
    world.remove(&client)
}

const HOST_KEYS: &str = "cat /etc/ssh/ssh_host_*_key.pub";

/// The running server's host keys are in its console, stay over a stop, where
/// `login` shows them to the client, and are not those of its image's instances.
fn host_keys_are_own(world: &World, client: &InstanceId, mut server: LaunchSpec, login: &str) -> Result<(), String> {
    let id = server.instance.clone();
    let keys = world.output(&id, HOST_KEYS)?;
    let console = world.console(&id);
    expect(keys.lines().all(|key| console.contains(key.trim())) && keys.lines().count() >= 2, || keys.clone())?;
    let image = ImageId::from("ami-000000000000000e1");
    world.capture(&image, &id)?;
    world.host().stop(&id, Generation(1));
    world.exited(&id, 1)?;
    server.generation = Generation(2);
    world.boot(server.clone())?;
    initialized(world, &id, 2)?;
    let again = world.output(client, login)?;
    expect(again == keys, || format!("other host keys after a stop: {again}; {keys}"))?;
    let mut child = spec("");
    child.layers = vec![image.clone()];
    child.ssh_public_key.clone_from(&server.ssh_public_key);
    let twin = world.boot(child)?;
    initialized(world, &twin, 1)?;
    let others = world.output(&twin, HOST_KEYS)?;
    expect(others.lines().all(|key| !keys.contains(key)), || format!("shared host keys: {others}"))?;
    [id, twin].iter().try_for_each(|id| world.remove(id))?;
    world.host().delete_image(&image);
    until("the image's removal", || (!world.data.join("images").join(image.as_str()).exists()).then_some(()))
}
