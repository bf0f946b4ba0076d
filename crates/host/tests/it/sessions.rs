//! Sessions: terminals, pipes and connections inside an instance, and that
//! nothing of a session outlives it.

use crate::cases::{Case, expect};
use crate::isolated;
use crate::world::{PATIENCE, World, spec, until};
use elastane_domain::id::InstanceId;
use elastane_domain::machine::Generation;
use elastane_host::{Make, SessionFrame, SessionReader, SessionTask, SessionWriter};

/// The cases of this file.
pub const CASES: [(&str, Case); 6] = [
    ("session_at_a_terminal", session_at_a_terminal),
    ("session_without_a_terminal", session_without_a_terminal),
    ("session_as_its_user", session_as_its_user),
    ("session_ends_with_everything", session_ends_with_everything),
    ("session_forwards_a_port", session_forwards_a_port),
    ("session_ends_with_its_instance", session_ends_with_its_instance),
];

/// A session with an event loop of its own.
struct Session {
    runtime: tokio::runtime::Runtime,
    reader: SessionReader,
    writer: SessionWriter,
    heard: String,
    exited: Option<i32>,
    unreachable: Option<String>,
}

impl Session {
    fn open(world: &World, id: &InstanceId, task: SessionTask) -> Result<Session, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
        let (reader, writer) = runtime.block_on(world.host().open_session(id, &task)).map_err(|err| err.sentence())?;
        Ok(Session { runtime, reader, writer, heard: String::new(), exited: None, unreachable: None })
    }

    fn send(&mut self, frame: &SessionFrame) -> Result<(), String> {
        self.runtime.block_on(self.writer.send(frame)).map_err(|err| format!("cannot send {frame:?}: {err}"))
    }

    fn say(&mut self, text: &str) -> Result<(), String> {
        self.send(&SessionFrame::Data(text.as_bytes().to_vec()))
    }

    /// Hears until something holds; false when the keeper is gone before.
    fn hear(&mut self, what: &str, done: impl Fn(&Session) -> bool) -> Result<(), String> {
        while !done(self) {
            let next = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.reader.receive()).await });
            match next {
                Ok(Ok(Some(SessionFrame::Data(bytes)))) => self.heard.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(Ok(Some(SessionFrame::Exited(code)))) => self.exited = Some(code),
                Ok(Ok(Some(SessionFrame::Unreachable(why)))) => self.unreachable = Some(why),
                other => return Err(format!("{what} did not come but {other:?}; heard {:?}", self.heard)),
            }
        }
        Ok(())
    }

    fn hear_text(&mut self, text: &str) -> Result<(), String> {
        self.hear(text, |session| session.heard.contains(text))
    }
}

/// A shell has a controlling terminal of the size that it is told, inside the
/// instance; control characters are signals; its exit code is told, after all output.
fn session_at_a_terminal(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let mut session = Session::open(world, &id, SessionTask::Shell)?;
    session.send(&SessionFrame::Size { columns: 132, rows: 43 })?;
    session.say("echo size: $(stty size); echo me: $ELASTANE_INSTANCE_ID $TERM; tty\r")?;
    session.hear_text("size: 43 132")?;
    session.hear_text(&format!("me: {id} xterm-256color"))?;
    session.hear_text("/dev/pts/")?;
    session.send(&SessionFrame::Size { columns: 20, rows: 5 })?;
    session.say("echo again: $(stty size)\r")?;
    session.hear_text("again: 5 20")?;
    // A shell at a terminal that is interrupted between two commands goes on with the second one.
    session.say("sh -c 'echo be; echo gun; exec sleep 10000'\r")?;
    session.hear_text("gun\r\n")?;
    session.say("\x03")?;
    let prompts = |session: &Session| {
        let after = session.heard.rsplit_once("^C").map_or("", |(_, after)| after.trim_end());
        after.ends_with(['#', '$'])
    };
    session.hear("the prompt", prompts)?;
    session.say("echo af''ter\r")?;
    session.hear_text("after\r\n")?;
    session.say("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; exit 7\r")?;
    session.hear("the exit", |session| session.exited.is_some())?;
    expect(session.exited == Some(7), || format!("exit code {:?}", session.exited))?;
    expect(session.heard.contains("line 4999\r\n"), || "the last output is missing".to_owned())?;
    let mut command = Session::open(world, &id, SessionTask::Interactive("test -t 0 && echo a $((6 * 7))".to_owned()))?;
    command.hear("the exit", |session| session.exited.is_some())?;
    expect(command.heard == "a 42\r\n" && command.exited == Some(0), || format!("heard {:?}", command.heard))?;
    world.remove(&id)
}

/// A command without a terminal has one stream for both outputs; an interrupt
/// reaches it as a signal.
fn session_without_a_terminal(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let task = |script: &str| SessionTask::NonInteractive(script.to_owned());
    let mut session = Session::open(world, &id, task("test -t 1 || echo plain; echo wrong >&2; exit 3"))?;
    session.hear("the exit", |session| session.exited.is_some())?;
    let right = session.heard == "plain\nwrong\n" && session.exited == Some(3);
    expect(right, || format!("heard {:?}, exit {:?}", session.heard, session.exited))?;
    // Nothing of what the first process blocks, or the daemon ignores, is left to programs.
    let states = "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f 2 | sort -u";
    let mut session = Session::open(world, &id, task(states))?;
    session.hear("the exit", |session| session.exited.is_some())?;
    for told in [&session.heard, &world.output(&id, states)?] {
        // The C library keeps those above to itself.
        let set = |line: &str| u64::from_str_radix(line, 16).is_ok_and(|bits| bits & 0x7fff_ffff == 0);
        expect(told.lines().all(set), || format!("signals {told:?}"))?;
    }
    let mut session =
        Session::open(world, &id, task("trap 'echo caught; exit 9' INT; echo ready; sleep 10000 & wait"))?;
    session.hear_text("ready\n")?;
    session.say("ignored")?;
    session.say("\x03")?;
    session.hear("the exit", |session| session.exited.is_some())?;
    let right = session.heard == "ready\ncaught\n" && session.exited == Some(9);
    expect(right, || format!("heard {:?}, exit {:?}", session.heard, session.exited))?;
    world.remove(&id)
}

/// Where the instance has the user that sessions run as, they do, with its
/// home, its groups and a terminal of its own, and without root's rights.
fn session_as_its_user(world: &mut World) -> Result<(), String> {
    if world.make != Make::Root {
        return Ok(());
    }
    let id = world.boot(spec(""))?;
    let user = "echo 'ssm-user:x:4321:4321::/home/ssm-user:/bin/sh' >> /etc/passwd; \
                echo 'helpers:x:4322:other,ssm-user' >> /etc/group; \
                mkdir -p /home/ssm-user; chown 4321:4321 /home/ssm-user";
    world.output(&id, user)?;
    let mut session = Session::open(world, &id, SessionTask::Shell)?;
    session.say("echo ids: $(id -u) $(id -g) $(id -G); echo at: $PWD $HOME $USER; touch mine && ls /root; tty\r")?;
    session.hear_text("ids: 4321 4321 4321 4322\r\n")?;
    session.hear_text("at: /home/ssm-user /home/ssm-user ssm-user\r\n")?;
    session.hear_text("Permission denied")?;
    session.hear_text("/dev/pts/")?;
    let mut command = Session::open(world, &id, SessionTask::NonInteractive("id -u".to_owned()))?;
    command.hear("the exit", |session| session.exited.is_some())?;
    expect(command.heard == "4321\n", || format!("heard {:?}", command.heard))?;
    expect(world.output(&id, "id -u")? == "0", || "Run Command is root's".to_owned())?;
    world.remove(&id)
}

/// How many processes of an instance run `sleep` for so many seconds.
fn sleeping(world: &World, id: &InstanceId, seconds: &str) -> Result<usize, String> {
    let script = format!(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null && echo; done | grep -c '^sleep {seconds} ' || true"
    );
    let text = world.output(id, &script)?;
    text.parse().map_err(|_| format!("no number: {text:?}"))
}

/// When the stream closes, as it does when the daemon is killed, everything
/// that was begun in the session ends, however it was put into the background.
fn session_ends_with_everything(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let seconds = format!("{}", 1_000_000 + std::process::id());
    let mut session = Session::open(world, &id, SessionTask::Shell)?;
    let daemon = format!("trap \"\" HUP TERM; sleep {seconds} & setsid sleep {seconds} & wait");
    session.say(&format!("(setsid nohup sh -c '{daemon}' > /dev/null 2>&1 &); sleep {seconds} & echo go''ne\r"))?;
    session.hear_text("gone\r\n")?;
    until("three sleeping processes", || (sleeping(world, &id, &seconds) == Ok(3)).then_some(()))?;
    drop(session);
    until("no sleeping process", || (sleeping(world, &id, &seconds) == Ok(0)).then_some(()))?;
    world.remove(&id)
}

/// Bytes go to a port of the instance and back; a connection that either side
/// closes is made again by the next bytes; no server is told, and no session
/// reaches the metadata service.
fn session_forwards_a_port(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let server = "import os, socket\n\
                  server = socket.create_server((os.environ['ELASTANE_LOCAL_IPV4'], 0))\n\
                  open(os.environ['ELASTANE_ROOT'] + '/root/port', 'w').write(str(server.getsockname()[1]) + '\\n')\n\
                  for number in range(3):\n    \
                  peer = server.accept()[0]\n    \
                  while (got := peer.recv(100)) not in (b'', b'bye'):\n        \
                  peer.sendall(b'%d:%s|' % (number, got))\n    \
                  peer.close()\n";
    let script = format!(
        "cat > $ELASTANE_ROOT/root/server.py <<'END'\n{server}END\nnohup /usr/bin/python3 $ELASTANE_ROOT/root/server.py > /dev/null 2>&1 &"
    );
    world.output(&id, &script)?;
    let port = until("the server's port", || world.output(&id, "cat $ELASTANE_ROOT/root/port").ok()?.parse().ok())?;
    let task = |host: Option<&str>, port, reopens| SessionTask::Port { host: host.map(str::to_owned), port, reopens };
    let mut session = Session::open(world, &id, task(None, port, true))?;
    session.say("one")?;
    session.hear_text("0:one|")?;
    session.send(&SessionFrame::Disconnect)?;
    session.say("two")?;
    session.hear_text("1:two|")?;
    session.say("bye")?;
    drop(session);
    let mut tunnel = Session::open(world, &id, task(Some(&address(world, &id)?), port, false))?;
    tunnel.say("three")?;
    tunnel.hear_text("2:three|")?;
    tunnel.say("bye")?;
    tunnel.hear("the end", |session| session.exited.is_some())?;
    expect(tunnel.exited == Some(0), || format!("exit {:?}", tunnel.exited))?;
    // The server answers nobody any more, and takes a moment to go.
    let refused = until("the server to go", || Session::open(world, &id, task(None, port, false)).err())?;
    expect(refused.contains("Connection to destination port failed"), || format!("refused: {refused:?}"))?;
    for (host, port) in [(None, port), (Some("169.254.169.254"), 80)] {
        let mut session = Session::open(world, &id, task(host, port, true))?;
        session.say("hello?")?;
        session.hear("no connection", |session| session.unreachable.is_some())?;
    }
    world.remove(&id)
}

fn address(world: &World, id: &InstanceId) -> Result<String, String> {
    world.host().address(id).map(|address| address.to_string()).ok_or_else(|| "it has no address".to_owned())
}

/// A session with an instance that stops is over, and one with an instance
/// that does not run cannot be had.
fn session_ends_with_its_instance(world: &mut World) -> Result<(), String> {
    let id = world.boot(spec(""))?;
    let mut session = Session::open(world, &id, SessionTask::Shell)?;
    session.say("echo id: $(id -u)\r")?;
    let user = if isolated(world.make) { 0 } else { rustix::process::geteuid().as_raw() };
    session.hear_text(&format!("id: {user}\r\n"))?;
    world.host().stop(&id, Generation(1));
    let ended = session.hear("the end", |session| session.exited.is_some());
    expect(session.exited.is_some() || ended.is_err(), || "the session goes on".to_owned())?;
    world.exited(&id, 1)?;
    let refused = Session::open(world, &id, SessionTask::Shell).err().unwrap_or_default();
    expect(refused.contains("does not run"), || format!("refused: {refused:?}"))?;
    world.remove(&id)
}
