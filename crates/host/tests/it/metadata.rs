//! The metadata service over real networks: who is answered, how far a token
//! travels, and how much one instance may ask.

use crate::isolated;
use crate::world::{World, spec};
use elastane_domain::id::InstanceId;
use elastane_host::Leaf;
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// `HttpPutResponseHopLimit` of every instance. Cases run one after the other.
pub static HOP_LIMIT: AtomicU8 = AtomicU8::new(1);

/// Shell that names the service in each make, and gets a token.
const SERVICE: &str = "E=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}\n\
    token() { curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $E/latest/api/token; }\n";

/// How long a request waits whose answer must never come.
const SILENCE_SECS: u32 = 3;

/// The tree of every instance: its own id.
pub fn entries(instance: &InstanceId) -> BTreeMap<String, Leaf> {
    BTreeMap::from([("meta-data/instance-id".to_owned(), Leaf::Text(instance.to_string()))])
}

fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// A token of one instance is no token for its neighbour; each reads its own id.
pub fn tokens_are_not_shared(world: &mut World) -> Result<(), String> {
    let (one, two) = (world.boot(spec(""))?, world.boot(spec(""))?);
    let token = world.output(&one, &format!("{SERVICE}token"))?;
    let read = format!(
        "{SERVICE}curl -s -o /tmp/id -w '%{{http_code}} ' -H 'X-aws-ec2-metadata-token: {token}' \
         $E/latest/meta-data/instance-id; cat /tmp/id"
    );
    let read = if isolated(world.make) { read } else { read.replace("/tmp/id", "$ELASTANE_ROOT/tmp/id") };
    let own = world.output(&one, &read)?;
    expect(own == format!("200 {one}"), || format!("its own token: {own}"))?;
    let others = world.output(&two, &read)?;
    expect(others.starts_with("401 "), || format!("a neighbour's token: {others}"))?;
    world.remove(&one)?;
    world.remove(&two)
}

/// An instance that asks too much is told to wait; its neighbour is not.
pub fn asking_too_much(world: &mut World) -> Result<(), String> {
    let (greedy, modest) = (world.boot(spec(""))?, world.boot(spec(""))?);
    // Faster than the service allows in the long run, for as long as it takes. Unbuffered: the first refusal ends it.
    let ask = format!(
        "{SERVICE}stdbuf -o0 curl -s -o /dev/null -w '%{{http_code}}\\n' \"$E/latest/user-data?[1-20000]\" | grep -m 1 -v 401"
    );
    let refused = world.output(&greedy, &ask)?;
    expect(refused == "503", || format!("the first answer that is another: {refused}"))?;
    let other = world.output(&modest, &format!("{SERVICE}curl -s -o /dev/null -w '%{{http_code}}' $E/latest"))?;
    expect(other == "401", || format!("the neighbour: {other}"))?;
    world.remove(&greedy)?;
    world.remove(&modest)
}

/// One that calls itself by a neighbour's address, or by one that nobody has,
/// hears nothing. The address is put there by the test: instances cannot.
pub fn foreign_addresses_hear_nothing(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let (liar, victim) = (spec(""), spec(""));
    let taken = victim.private_ip;
    let free = std::net::Ipv4Addr::new(172, 31, 15, 200);
    let (liar, victim) = (world.boot(liar)?, world.boot(victim)?);
    let pid = world.host().pid(&liar).ok_or("it does not run")?;
    for address in [taken, free] {
        let script = format!(
            "ip address add {address}/32 dev eth0\n\
             curl -s -m {SILENCE_SECS} -o /dev/null -w '%{{http_code}}' --interface {address} http://169.254.169.254/latest/\n\
             echo; ip address del {address}/32 dev eth0"
        );
        let got = in_network(pid, &script)?;
        expect(got.trim() == "000", || format!("as {address}: {got}"))?;
    }
    let own = in_network(pid, "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/")?;
    expect(own == "401", || format!("as itself: {own}"))?;
    world.remove(&liar)?;
    world.remove(&victim)
}

/// A process behind one more routed hop inside an instance, like a container
/// on a bridge: with a hop limit of 1 the token never reaches it, with 2 it
/// does; everything else always does (ec2-imds.md 2.1 rule 5).
pub fn tokens_travel_so_far(world: &mut World) -> Result<(), String> {
    if !isolated(world.make) {
        return Ok(());
    }
    let id = world.boot(spec(""))?;
    let pid = world.host().pid(&id).ok_or("it does not run")?;
    let nested = Nested::start(pid)?;
    let ask = |arguments: &str| {
        let url = "http://169.254.169.254/latest/";
        let curl = format!("curl -s -m {SILENCE_SECS} -o /dev/null -w '%{{http_code}}' {arguments}");
        in_network(nested.pid(), &format!("{}; true", curl.replace("URL", url)))
    };
    let put = "-X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' URLapi/token";
    let mut got = Vec::new();
    for limit in [1, 2, 1] {
        HOP_LIMIT.store(limit, Ordering::SeqCst);
        got.push((limit, ask(put)?, ask("URLmeta-data/")?));
    }
    HOP_LIMIT.store(1, Ordering::SeqCst);
    let both = "-X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' URLapi/token --next -s -m 3 -o /dev/null \
        -w ' %{http_code}' URLmeta-data/";
    let near = in_network(
        pid,
        &format!("curl -s -o /dev/null -w '%{{http_code}}' {}", both.replace("URL", "http://169.254.169.254/latest/")),
    )?;
    let want = [(1, "000", "401"), (2, "200", "401"), (1, "000", "401")];
    let same = got.iter().zip(want).all(|((limit, put, get), want)| (*limit, put.as_str(), get.as_str()) == want);
    expect(same, || format!("(limit, PUT, GET) from one hop further: {got:?}"))?;
    expect(near == "200 401", || format!("from the instance itself: {near}"))?;
    drop(nested);
    world.remove(&id)
}

/// A shell in the network of a process.
fn in_network(pid: i32, script: &str) -> Result<String, String> {
    let output = Command::new("nsenter")
        .args(["-t", &pid.to_string(), "-n", "sh", "-c", script])
        .output()
        .map_err(|err| format!("cannot run nsenter: {err}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.is_empty() && !output.status.success() {
        true => Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr))),
        false => Ok(text),
    }
}

/// A network inside an instance's, behind it as its router.
struct Nested(Child);

impl Nested {
    fn start(instance: i32) -> Result<Nested, String> {
        let mut command = Command::new("nsenter");
        command.args(["-t", &instance.to_string(), "-n", "unshare", "-n", "sh", "-c", "echo up; exec sleep 600"]);
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|err| format!("cannot run nsenter: {err}"))?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let nested = Nested(child);
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).map_err(|err| err.to_string())?;
        let outer = format!(
            "set -e\n\
             ip link add c-out type veth peer name c-in netns {pid}\n\
             ip address add 10.99.0.1/24 dev c-out\n\
             ip link set c-out up\n\
             echo 1 > /proc/sys/net/ipv4/ip_forward\n\
             nft add table ip nested\n\
             nft 'add chain ip nested out {{ type nat hook postrouting priority srcnat; }}'\n\
             nft add rule ip nested out ip saddr 10.99.0.0/24 masquerade\n\
             echo done",
            pid = nested.pid()
        );
        let inner = "set -e\nip link set lo up\nip address add 10.99.0.2/24 dev c-in\nip link set c-in up\n\
            ip route add default via 10.99.0.1\necho done";
        in_network(instance, &outer)?;
        in_network(nested.pid(), inner)?;
        Ok(nested)
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
