//! The cases, in the order in which they run.

use crate::images;
use crate::isolated;
use crate::listeners;
use crate::metadata;
use crate::network;
use crate::sessions;
use crate::userdata;
use crate::world::{ANY_BOOT, PATIENCE, Totals, World, spec, until};
use elastane_domain::id::{CommandId, ImageId, InstanceId, VpcId};
use elastane_domain::machine::{
    CommandEnd, CommandStep, Generation, HostFact, LaunchSpec, MachineState, OnFailure, StepEnd,
};
use elastane_host::Make;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One case.
pub type Case = fn(&mut World) -> Result<(), String>;

const CASES: [(&str, Case); 23] = [
    ("user_data_runs_once", user_data_runs_once),
    ("failing_and_foreign_user_data", failing_and_foreign_user_data),
    ("own_identity", own_identity),
    ("metadata_from_inside", metadata_from_inside),
    ("tokens_are_not_shared", metadata::tokens_are_not_shared),
    ("tokens_travel_so_far", metadata::tokens_travel_so_far),
    ("foreign_addresses_hear_nothing", metadata::foreign_addresses_hear_nothing),
    ("asking_too_much", metadata::asking_too_much),
    ("run_command", run_command),
    ("end_command", end_command),
    ("steps", steps),
    ("neighbours_meet", neighbours_meet),
    ("networks_are_apart", networks_are_apart),
    ("images_carry_changes", images_carry_changes),
    ("stop_keeps_the_layer", stop_keeps_the_layer),
    ("killed_first_process_is_an_exit", killed_first_process_is_an_exit),
    ("requests_are_idempotent", requests_are_idempotent),
    ("limits_are_enforced", limits_are_enforced),
    ("isolation", isolation),
    ("taken_over_by_the_next_host", taken_over_by_the_next_host),
    ("hundred_at_once", hundred_at_once),
    ("launches_after_a_reset", launches_after_a_reset),
    ("data_directory_in_a_shared_one", data_directory_in_a_shared_one),
];

/// Runs the cases of one make.
pub fn run(make: Make, data: &Path, filter: &str, totals: &mut Totals) {
    let mut world = World::open(make, data);
    for (name, case) in CASES
        .into_iter()
        .chain(sessions::CASES)
        .chain(userdata::CASES)
        .chain(network::CASES)
        .chain(listeners::CASES)
        .chain(images::CASES)
        .filter(|(name, _)| name.contains(filter))
    {
        totals.check(make.name(), name, case(&mut world));
    }
    world.host().notes().iter().for_each(|note| println!("note    {}: {note}", make.name()));
    let done = world.host().shutdown_all();
    totals.check(make.name(), "shutdown", done.then_some(()).ok_or("not in time".to_owned()));
}

/// An error when something does not hold.
pub fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// How often a text holds another.
pub fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// User data runs at the first boot and not at the next; its output is in the
/// console and in cloud-init's log, in order; what it started goes on.
fn user_data_runs_once(world: &mut World) -> Result<(), String> {
    let script = "#!/bin/sh\necho first line\necho second line >&2\n(sleep 3600; true) &\necho $! > $ELASTANE_ROOT/root/pid\necho $0 $HOME\n";
    let mut spec = spec(script);
    let id = world.boot(spec.clone())?;
    let text = world.console_with(&id, "boot finished")?;
    expect(text.contains("first line\nsecond line\n"), || format!("order: {text}"))?;
    let log = world.output(&id, "cat $ELASTANE_ROOT/var/log/cloud-init-output.log")?;
    expect(log.contains("first line\nsecond line\n"), || format!("log: {log}"))?;
    world.output(&id, "kill -0 $(cat $ELASTANE_ROOT/root/pid)")?;
    world.output(&id, "test -x $ELASTANE_ROOT/var/lib/cloud/instance/scripts/part-001")?;
    spec.generation = Generation(2);
    world.host().stop(&id, Generation(1));
    world.exited(&id, 1)?;
    world.boot(spec)?;
    let text = world.console_with(&id, "boot 2")?;
    until("the second boot", || Some(()).filter(|()| count(&world.console(&id), "boot finished") == 2))?;
    expect(count(&text, "first line") == 1, || format!("ran again: {text}"))?;
    world.remove(&id)
}

/// A failing script is reported with its status; a format that is not
/// supported and text that is none are warned about.
fn failing_and_foreign_user_data(world: &mut World) -> Result<(), String> {
    for (data, want) in [
        ("#!/bin/sh\nexit 7\n", "[exit status 7]"),
        ("#!/no/such/interpreter\n", "[exit status 126]"),
        ("#part-handler\n", "`#part-handler` is not supported"),
        ("hello\n", "Unhandled non-multipart"),
        ("#!/bin/sh\necho bind: Address already in use\nexit 1\n", "[exit status 1]"),
    ] {
        let id = world.boot(spec(data))?;
        let text = world.console_with(&id, "boot finished")?;
        expect(text.contains(want), || format!("{data:?}: {text}"))?;
        let explained = text.contains("instances of the process driver share one network");
        let collides = data.contains("already in use") && !isolated(world.make);
        expect(explained == collides, || format!("explanation of collisions: {text}"))?;
        world.remove(&id)?;
    }
    Ok(())
}

fn own_identity(world: &mut World) -> Result<(), String> {
    let spec = spec("");
    let id = world.boot(spec.clone())?;
    let address =
        world.output(&id, "echo $ELASTANE_LOCAL_IPV4; echo $ELASTANE_INSTANCE_ID; pwd; echo \"[$ELASTANE_ROOT]\"")?;
    let lines: Vec<&str> = address.lines().collect();
    expect(lines[1] == id.as_str(), || address.clone())?;
    if isolated(world.make) {
        expect(lines[0] == spec.private_ip.to_string() && lines[2] == "/" && lines[3] == "[]", || address.clone())?;
        expect(world.output(&id, "hostname")? == spec.hostname, || "host name".to_owned())?;
        expect(world.output(&id, "cat /proc/1/comm; id -u")?.ends_with("\n0"), || "root".to_owned())?;
        let processes = world.output(&id, "ls /proc | grep -c '^[0-9]'")?;
        expect(processes.parse::<u32>().is_ok_and(|count| count <= 6), || format!("{processes} processes"))?;
        let route = world.output(&id, "cat /proc/net/route")?;
        expect(route.contains("eth0"), || route.clone())?;
        let name = world.output(&id, &format!("getent hosts {}.ec2.internal", spec.hostname))?;
        expect(name.starts_with(&spec.private_ip.to_string()), || name.clone())?;
        world.output(&id, "/usr/bin/python3 -c 'import socket; socket.create_server((\"\", 80))'")?;
        world.output(&id, "test $(stat -c %a /tmp) = 1777 && touch /usr/local/bin/x && chown 33:33 /usr/local/bin/x || test \"$(cat /proc/self/uid_map | tr -s ' ')\" = ' 0 0 1'")?;
    } else {
        expect(lines[0].starts_with("127.31.0."), || address.clone())?;
        expect(lines[2].ends_with("@root") && lines[3].contains("@root"), || address.clone())?;
    }
    world.remove(&id)
}

/// The token flow as an SDK does it, with curl inside the instance.
fn metadata_from_inside(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let script = "E=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}\n\
        curl -s -o /dev/null -w '%{http_code} ' $E/latest/meta-data/instance-id\n\
        T=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $E/latest/api/token)\n\
        curl -s -H \"X-aws-ec2-metadata-token: $T\" $E/latest/meta-data/instance-id\n\
        curl -s -o /dev/null -w ' %{http_code}' -X PUT $E/latest/api/token\n";
    let got = world.output(&id, script)?;
    expect(got == format!("401 {id} 400"), || format!("got {got}"))?;
    world.remove(&id)
}

fn run_command(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let ok = world.command(&id, "echo out; echo err >&2", None, PATIENCE)?;
    expect(
        (ok.end, ok.steps[0].stdout.as_str(), ok.steps[0].stderr.as_str()) == (CommandEnd::Exited(0), "out\n", "err\n"),
        || format!("{ok:?}"),
    )?;
    let fails = world.command(&id, "exit 3", None, PATIENCE)?;
    expect(fails.end == CommandEnd::Exited(3), || format!("{fails:?}"))?;
    let killed = world.command(&id, "kill -9 $$", None, PATIENCE)?;
    expect(killed.end == CommandEnd::Exited(137), || format!("{killed:?}"))?;
    // How long a shell takes to say something is the machine's affair.
    let mut limits = [1, 4, 30].into_iter().map(Duration::from_secs);
    let slow = loop {
        let limit = limits.next().ok_or("nothing was said before any limit")?;
        let slow = world.command(&id, "echo before; sleep 3600", None, limit)?;
        if slow.end != CommandEnd::TimedOut || !slow.steps[0].stdout.is_empty() {
            break slow;
        }
    };
    expect((slow.end, slow.steps[0].stdout.as_str()) == (CommandEnd::TimedOut, "before\n"), || format!("{slow:?}"))?;
    let inside = world.command(&id, "pwd", Some("/usr/bin"), PATIENCE)?;
    expect(inside.steps[0].stdout == "/usr/bin\n", || format!("{inside:?}"))?;
    let nowhere = world.command(&id, "pwd", Some("/no/such/place"), PATIENCE)?;
    expect(nowhere.end == CommandEnd::Exited(127), || format!("{nowhere:?}"))?;
    let long = world.command(
        &id,
        "head -c 100000 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero | tr '\\0' y >&2",
        None,
        PATIENCE,
    )?;
    let lengths = (long.steps[0].stdout.len(), long.steps[0].stderr.len());
    expect(lengths == (24_000, 8_000), || "limits of output".to_owned())?;
    let count = "echo run >> /tmp/count-$ELASTANE_INSTANCE_ID; wc -l < /tmp/count-$ELASTANE_INSTANCE_ID";
    let first = world.command_named("once", &id, count, None, PATIENCE)?;
    let again = world.command_named("once", &id, count, None, PATIENCE)?;
    world.command(&id, "rm /tmp/count-$ELASTANE_INSTANCE_ID", None, PATIENCE)?;
    expect(first == again && first.steps[0].stdout.trim() == "1", || format!("run once: {first:?} {again:?}"))?;
    let background = world.command(&id, "sleep 3600 & echo done", None, PATIENCE)?;
    expect(background.steps[0].stdout == "done\n", || format!("{background:?}"))?;
    world.remove(&id)?;
    let gone = world.command(&id, "true", None, PATIENCE)?;
    expect(gone.end == CommandEnd::Unreached, || format!("{gone:?}"))
}

/// A script that says that it runs, and then stays with what it has started
/// in a session and process group of its own.
fn stays(mark: &str) -> CommandStep {
    let script = format!("setsid sh -c 'sleep 987{mark}' & sleep 987{mark} & echo $$ > /tmp/{mark}.pid; wait");
    CommandStep { script, timeout_secs: 3600, ..CommandStep::default() }
}

/// Ending a command ends all that it has started; one that was taken back is never run.
fn end_command(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let mark = format!("{:06}", std::process::id() % 1_000_000);
    let command = CommandId::from("stays");
    world.host().run_command(&command, &id, ANY_BOOT, vec![stays(&mark)]);
    world.wait("CommandStarted", |fact| match fact {
        HostFact::CommandStarted { command: begun, .. } if *begun == command => Some(()),
        _ => None,
    })?;
    let count = format!("pgrep -cf '[s]leep 987{mark}'; true");
    // Two sleep, and the shell of one of them has it in its arguments too.
    let sleeping = || world.output(&id, &count).ok().filter(|count| count.parse::<u32>().is_ok_and(|count| count >= 2));
    until("the processes of the command", sleeping)?;
    world.host().end_command(&command, &id, true);
    world.wait("CommandStarted", |fact| match fact {
        HostFact::CommandStarted { command: begun, .. } if *begun == command => Some(()),
        _ => None,
    })?;
    world.host().end_command(&command, &id, false);
    let ended = world.ended(&command)?;
    expect(ended.end == CommandEnd::Cancelled, || format!("{ended:?}"))?;
    let left = world.output(&id, &format!("{count}; rm -f /tmp/{mark}.pid"))?;
    expect(left == "0", || format!("{left} processes are left"))?;
    let back = CommandId::from("taken-back");
    world.host().end_command(&back, &id, true);
    let withdrawn = world.ended(&back)?;
    expect(withdrawn.end == CommandEnd::Withdrawn, || format!("{withdrawn:?}"))?;
    let refused = world.command_named("taken-back", &id, "true", None, PATIENCE)?;
    expect(refused.end == CommandEnd::Withdrawn, || format!("{refused:?}"))?;
    world.remove(&id)
}

/// Steps run one after the other; a failure ends the command where it says so, but for the last step.
fn steps(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let step = |script: &str| CommandStep { script: script.to_owned(), timeout_secs: 60, ..CommandStep::default() };
    let steps = vec![
        CommandStep { skipped: true, ..step("echo elsewhere") },
        step("echo one; exit 4"),
        CommandStep { on_failure: OnFailure::Exit, ..step("echo two; exit 5") },
        step("echo three"),
        CommandStep { runs_anyway: true, ..step("echo last") },
    ];
    let outcome = world.steps_named("steps", &id, steps)?;
    let ends: Vec<_> = outcome.steps.iter().map(|step| (step.end, step.stdout.trim())).collect();
    let want = [
        (StepEnd::Skipped, ""),
        (StepEnd::Exited(4), "one"),
        (StepEnd::Exited(5), "two"),
        (StepEnd::Skipped, ""),
        (StepEnd::Exited(0), "last"),
    ];
    expect(ends == want && outcome.end == CommandEnd::Exited(4), || format!("{outcome:?}"))?;
    world.remove(&id)
}

/// A web server as user data starts one.
fn server() -> LaunchSpec {
    let place = "cd $ELASTANE_ROOT/srv && echo I am $ELASTANE_INSTANCE_ID > index.html";
    spec(&format!("#!/bin/sh\n{place}\n/usr/bin/python3 -u -m http.server --bind $ELASTANE_LOCAL_IPV4 8080 &\n"))
}

fn fetch(world: &World, spec: &LaunchSpec) -> Result<String, String> {
    let sockets = world.host().sockets();
    let address = SocketAddrV4::new(sockets.reach(&spec.vpc, spec.private_ip), 8080);
    until("an answer of the web server", || {
        let socket = sockets.tcp_socket(&spec.vpc).ok()?;
        rustix::io::ioctl_fionbio(&socket, false).ok()?;
        rustix::net::connect(&socket, &address).ok()?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text).filter(|text| text.contains("I am"))
    })
    .map_err(|err| format!("{err}; console: {}", world.console(&spec.instance)))
}

/// Two instances of one network reach each other, and the daemon reaches both.
fn neighbours_meet(world: &mut World) -> Result<(), String> {
    let (first, second) = (server(), spec(""));
    let one = world.boot(first.clone())?;
    let two = world.boot(second)?;
    let text = fetch(world, &first)?;
    expect(text.contains(one.as_str()), || text.clone())?;
    let address = world.host().address(&one).ok_or("no address")?;
    let text = world.output(&two, &format!("curl -s http://{address}:8080/"))?;
    expect(text.contains(one.as_str()), || text.clone())?;
    if isolated(world.make) {
        let name = format!("ip-{}", first.private_ip.to_string().replace('.', "-"));
        let text =
            world.output(&two, &format!("curl -s http://{name}:8080/; getent hosts example.com || echo refused"))?;
        expect(text.contains(one.as_str()) && text.ends_with("refused"), || text.clone())?;
    }
    world.remove(&one)?;
    world.remove(&two)
}

/// Equal addresses in two VPCs are two machines; nothing leads from one network to the other or out.
fn networks_are_apart(world: &mut World) -> Result<(), String> {
    let first = server();
    let mut second = server();
    second.vpc = VpcId::from("vpc-00000000000000002");
    second.private_ip = first.private_ip;
    let mut third = spec("");
    third.vpc = second.vpc.clone();
    let (one, two, three) = (world.boot(first.clone())?, world.boot(second.clone())?, world.boot(third)?);
    for (spec, id) in [(&first, &one), (&second, &two)] {
        let text = fetch(world, spec)?;
        expect(text.contains(id.as_str()), || text.clone())?;
    }
    if isolated(world.make) {
        let text = world.output(&three, &format!("curl -s http://{}:8080/", first.private_ip))?;
        expect(text.contains(two.as_str()), || text.clone())?;
        world.output(&three, "! curl -s -m 1 http://192.0.2.1/")?;
    }
    [one, two, three].iter().try_for_each(|id| world.remove(id))
}

/// An image carries files, removals, modes and per-boot scripts, and neither
/// the identity nor the logs of its instance; its instances can be captured again.
fn images_carry_changes(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec("#!/bin/sh\necho original user data\n"))?;
    world.console_with(&id, "boot finished")?;
    let prepare = "R=$ELASTANE_ROOT; mkdir -p $R/opt/app $R/app $R/usr/local/bin && echo one > $R/opt/app/file && echo top > $R/app/file && chmod 640 $R/app/file\n\
        mkdir -p $R/var/lib/cloud/scripts/per-boot && printf '#!/bin/sh\\necho per-boot ran on $ELASTANE_INSTANCE_ID\\n' > $R/var/lib/cloud/scripts/per-boot/10-x && chmod +x $R/var/lib/cloud/scripts/per-boot/10-x\n\
        [ -n \"$R\" ] || { rm -rf /opt/app/none /etc/debian_version; }\n";
    world.output(&id, prepare)?;
    let image = ImageId::from("ami-00000000000000001");
    world.capture(&image, &id)?;
    world.remove(&id)?;
    let mut child = spec("#!/bin/sh\necho user data of the child\n");
    child.layers = vec![image.clone()];
    let id = world.boot(child.clone())?;
    let text = world.console_with(&id, "boot finished")?;
    let want = format!("per-boot ran on {id}\n");
    expect(text.contains(&want) && text.contains("user data of the child"), || text.clone())?;
    expect(!text.contains("original user data"), || text.clone())?;
    let seen = world.output(&id, "R=$ELASTANE_ROOT; cat $R/opt/app/file $R/app/file; stat -c %a $R/app/file; ls /etc/debian_version 2>&1; hostname")?;
    expect(seen.starts_with("one\ntop\n640\n"), || seen.clone())?;
    if isolated(world.make) {
        let gone = seen.contains("No such file") || world.make == Make::Rootless;
        expect(gone && seen.ends_with(&child.hostname), || seen.clone())?;
    }
    world.output(&id, "rm $ELASTANE_ROOT/opt/app/file; echo two > $ELASTANE_ROOT/opt/app/second")?;
    let second = ImageId::from("ami-00000000000000002");
    world.capture(&second, &id)?;
    world.remove(&id)?;
    let mut grandchild = spec("");
    grandchild.layers = vec![image.clone(), second.clone()];
    let id = world.boot(grandchild)?;
    let seen = world.output(&id, "cd $ELASTANE_ROOT/opt/app; cat second; cat ../../app/file; ls file 2>&1 || true")?;
    expect(seen.starts_with("two\ntop\n"), || seen.clone())?;
    // Copies have no whiteouts: in the process make a removal is not carried.
    expect(seen.contains("No such file") || !isolated(world.make), || seen.clone())?;
    world.remove(&id)?;
    let mut orphan = spec("");
    world.host().delete_image(&image);
    world.host().delete_image(&second);
    until("the image's removal", || (!world.data.join("images").join(second.as_str()).exists()).then_some(()))?;
    orphan.layers = vec![second];
    let refused = world.boot(orphan).err().unwrap_or_default();
    expect(refused.contains("not on this host"), || format!("launch without layer: {refused}"))
}

fn stop_keeps_the_layer(world: &mut World) -> Result<(), String> {
    let mut spec = spec("#!/bin/sh\necho once >> $ELASTANE_ROOT/var/once\n");
    let id = world.boot(spec.clone())?;
    world.console_with(&id, "boot finished")?;
    world.output(&id, "echo kept > $ELASTANE_ROOT/root/file")?;
    world.host().stop(&id, Generation(1));
    world.exited(&id, 1)?;
    let state =
        world.host().inventory().into_iter().find(|machine| machine.instance == id).map(|machine| machine.state);
    expect(state == Some(MachineState::Stopped), || format!("{state:?}"))?;
    expect(world.host().cpu_usage(&id).is_none(), || "a stopped instance uses CPU".to_owned())?;
    spec.generation = Generation(2);
    world.boot(spec)?;
    until("the second boot", || Some(()).filter(|()| count(&world.console(&id), "boot finished") == 2))?;
    let kept = world.output(&id, "cat $ELASTANE_ROOT/root/file $ELASTANE_ROOT/var/once")?;
    expect(kept == "kept\nonce", || kept.clone())?;
    world.remove(&id)
}

/// The first process as the host sees it, from the record.
fn first_process(world: &World, id: &InstanceId) -> Result<i32, String> {
    let text = std::fs::read(world.data.join("instances").join(id.as_str()).join("state.json"))
        .map_err(|err| err.to_string())?;
    let record: serde_json::Value = serde_json::from_slice(&text).map_err(|err| err.to_string())?;
    record["process"]["pid"].as_i64().map(|pid| pid as i32).ok_or_else(|| "no process".to_owned())
}

fn killed_first_process_is_an_exit(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec("#!/bin/sh\nsleep 3601 &\nsetsid sleep 3602 &\n"))?;
    world.console_with(&id, "boot finished")?;
    let pid = rustix::process::Pid::from_raw(first_process(world, &id)?).ok_or("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|err| err.to_string())?;
    world.exited(&id, 1)?;
    let gone = world.command(&id, "true", None, PATIENCE)?;
    expect(gone.end == CommandEnd::Unreached, || format!("{gone:?}"))?;
    let sleeping = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line == b"sleep\x003601\0" || line == b"sleep\x003602\0"
    });
    expect(!sleeping, || "a process of the instance goes on".to_owned())?;
    world.remove(&id)
}

/// Asking twice does nothing twice, older generations are ignored, and what
/// is unknown is answered.
fn requests_are_idempotent(world: &mut World) -> Result<(), String> {
    let mut spec = spec("");
    let id = world.boot(spec.clone())?;
    let before = first_process(world, &id)?;
    world.boot(spec.clone())?;
    expect(first_process(world, &id)? == before, || "booted twice".to_owned())?;
    spec.generation = Generation(3);
    world.boot(spec.clone())?;
    expect(first_process(world, &id)? != before, || "not booted anew".to_owned())?;
    world.host().stop(&id, Generation(2));
    spec.generation = Generation(2);
    world.host().launch(spec);
    world.output(&id, "true")?;
    world.host().stop(&id, Generation(3));
    world.exited(&id, 3)?;
    world.host().stop(&id, Generation(3));
    world.exited(&id, 3)?;
    world.remove(&id)?;
    world.remove(&id)?;
    let unknown = InstanceId::from("i-00000000000000bad");
    world.host().stop(&unknown, Generation(1));
    world.exited(&unknown, 1)?;
    let mut evil = crate::world::spec("");
    evil.instance = InstanceId::from("../../etc");
    let refused = world.boot(evil).err().unwrap_or_default();
    expect(refused.contains("file name"), || refused.clone())
}

fn limits_are_enforced(world: &mut World) -> Result<(), String> {
    let mut spec = spec("");
    spec.cpu_millicores = 200;
    spec.memory_mib = 64;
    let id = world.boot(spec)?;
    let before = world.host().cpu_usage(&id).ok_or("no CPU usage")?;
    let start = Instant::now();
    world.output(&id, "timeout 1 sh -c 'while :; do :; done'; true")?;
    let wall = start.elapsed().as_nanos() as f64;
    let used = world.host().cpu_usage(&id).ok_or("no CPU usage")? - before;
    let share = used as f64 / wall;
    println!("figure  {}: a busy loop of a share of 0.2 used {share:.2} of a core", world.make.name());
    expect(used > 0, || "no CPU time was measured".to_owned())?;
    if world.make == Make::Root {
        expect(share < 0.4, || format!("used {share} of a core"))?;
        let outcome = world.command(&id, "/usr/bin/python3 -c 'x = bytearray(200 << 20)'; echo $?", None, PATIENCE)?;
        expect(outcome.steps[0].stdout == "137\n", || format!("{outcome:?}"))?;
        world.console_with(&id, "Out of memory")?;
    }
    if world.make == Make::Process {
        let outcome = world.command(&id, "/usr/bin/python3 -c 'x = bytearray(200 << 20)' 2>&1", None, PATIENCE)?;
        expect(outcome.steps[0].stdout.contains("MemoryError"), || format!("{outcome:?}"))?;
    }
    world.remove(&id)
}

fn isolation(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let id = world.boot(spec(""))?;
    let data = world.data.to_string_lossy().into_owned();
    for script in [
        format!("! ls {data}"),
        "! mount -t tmpfs tmpfs /mnt 2>&1".to_owned(),
        "! umount /proc 2>&1".to_owned(),
        "! sh -c 'echo 1 > /proc/sys/vm/drop_caches' 2>/dev/null".to_owned(),
        "! sh -c 'echo b > /proc/sysrq-trigger' 2>/dev/null || ! test -s /proc/sysrq-trigger".to_owned(),
        "! readlink /proc/1/fd/1 && ! readlink /proc/1/exe && ! cat /proc/1/fd/1 2>/dev/null".to_owned(),
        "! cat /proc/1/environ 2>/dev/null".to_owned(),
        "! grep -E '^[^:]*:[$]' /etc/shadow".to_owned(),
        "! ls /dev/vda /dev/sda /dev/kmsg /dev/mem 2>/dev/null".to_owned(),
        "! mknod /tmp/disk b 254 0 2>/dev/null".to_owned(),
        "! hostname other 2>/dev/null".to_owned(),
        "test -z \"$(ls /root /home /srv) $(find /var/log -type f ! -name 'cloud-init*')\" || ! find /root /home /srv /var/log -type f | grep -v cloud-init".to_owned(),
        "! ip link add d type dummy 2>/dev/null".to_owned(),
        "! chroot /proc/1/root true 2>/dev/null".to_owned(),
    ] {
        world.output(&id, &script)?;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", first_process(world, &id)?))
        .map_err(|err| err.to_string())?;
    let users = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or("");
    let want = if world.make == Make::Root { "Uid:\t200000\t200000" } else { "Uid:\t0\t0" };
    expect(users.starts_with(want), || users.to_owned())?;
    world.remove(&id)
}

/// Instances go on without a host, and the next host serves them as before.
fn taken_over_by_the_next_host(world: &mut World) -> Result<(), String> {
    let first = server();
    let one = world.boot(first.clone())?;
    let two = world.boot(spec(""))?;
    fetch(world, &first)?;
    world.host().stop(&two, Generation(1));
    world.exited(&two, 1)?;
    let three = world.boot(spec(""))?;
    world.close();
    let pid = rustix::process::Pid::from_raw(first_process(world, &three)?).ok_or("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|err| err.to_string())?;
    until("its end", || has_ended(pid).then_some(()))?;
    world.reopen();
    let machines = world.wait("Inventory", |fact| match fact {
        HostFact::Inventory(machines) if machines.len() == 3 => Some(machines.clone()),
        _ => None,
    })?;
    for (id, state) in [(&one, MachineState::Running), (&two, MachineState::Stopped), (&three, MachineState::Stopped)] {
        let found = machines.iter().find(|machine| machine.instance == *id).map(|machine| machine.state);
        expect(found == Some(state), || format!("{id} is {found:?}"))?;
    }
    let text = fetch(world, &first)?;
    expect(text.contains(one.as_str()), || text.clone())?;
    world.output(&one, "E=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}; curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $E/latest/api/token | grep =")?;
    let pid = rustix::process::Pid::from_raw(first_process(world, &one)?).ok_or("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(|err| err.to_string())?;
    world.exited(&one, 1)?;
    [one, two, three].iter().try_for_each(|id| world.remove(id))
}

/// Whether a process is gone or waits to be reaped.
fn has_ended(pid: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.is_empty() || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"))
}

fn unix_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// One hundred launches in one go all run their user data. Prints figures, asserts none.
fn hundred_at_once(world: &mut World) -> Result<(), String> {
    let script = "#!/bin/sh\ndate +first:%s%N\n";
    let started = |world: &World, id: &InstanceId, since: u128| -> Result<u128, String> {
        let text = world.console_with(id, "boot finished")?;
        let stamp = text.lines().find_map(|line| line.strip_prefix("first:")?.parse::<u128>().ok());
        stamp.map(|at| (at - since) / 1_000_000).ok_or(text)
    };
    let mut single = Vec::new();
    for _ in 0..5 {
        let since = unix_nanos();
        let id = world.boot(spec(script))?;
        single.push(started(world, &id, since)?);
        world.remove(&id)?;
    }
    let specs: Vec<LaunchSpec> = (0..100).map(|_| spec(script)).collect();
    let since = unix_nanos();
    specs.iter().for_each(|spec| world.host().launch(spec.clone()));
    let mut last = 0;
    for spec in &specs {
        world.booted(&spec.instance)?;
        last = last.max(started(world, &spec.instance, since)?);
    }
    let ending = Instant::now();
    specs.iter().for_each(|spec| world.host().terminate(&spec.instance));
    for spec in &specs {
        world.removed(&spec.instance)?;
    }
    println!(
        "figure  {}: launch to first line of user data {single:?} ms; 100 at once: the last after {last} ms, all removed after {} ms",
        world.make.name(),
        ending.elapsed().as_millis()
    );
    Ok(())
}

/// After everything was shut down the same host can begin anew.
fn launches_after_a_reset(world: &mut World) -> Result<(), String> {
    world.boot(spec(""))?;
    expect(world.host().shutdown_all(), || "not in time".to_owned())?;
    expect(world.host().inventory().is_empty(), || "machines are left".to_owned())?;
    let id = world.boot(spec(""))?;
    world.output(&id, "true")?;
    world.remove(&id)
}

/// A data directory inside /var cannot carry overlays of /var: the launch
/// fails, says what to do, and leaves nothing.
fn data_directory_in_a_shared_one(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let data = Path::new("/var/tmp").join(format!("elastane-host-it-{}", std::process::id()));
    let other = World::open(world.make, &data);
    let refused = other.boot(spec("")).err().unwrap_or_default();
    let left = std::fs::read_dir(data.join("instances")).map_err(|err| err.to_string())?.count();
    other.host().shutdown_all();
    drop(other);
    std::fs::remove_dir_all(&data).map_err(|err| format!("cannot remove {}: {err}", data.display()))?;
    expect(refused.contains("--data-dir") && left == 0, || format!("{left} left; {refused}"))
}
