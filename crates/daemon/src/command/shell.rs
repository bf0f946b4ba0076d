//! `elastane shell`: a session with an instance for people without the AWS
//! CLI's plugin. It calls the same operations and speaks the same protocol.

use crate::client::{Api, Reach, ask};
use crate::data_dir::Problem;
use crate::endpoint::Duplex;
use crate::session::protocol::client::{Conversation, Event};
use crate::session::{Ticks, limits, seed};
use clap::Args;
use elastane_wire::ssm;
use futures_util::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Keystrokes, or chunks of a pipe, that wait to be sent.
const TYPED_MAX: usize = 16;
/// Times that a lost connection is made again.
const ATTEMPTS_MAX: u32 = 5;
/// Before the first of them; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// How long one connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// While nothing is due, how often it is looked.
const IDLE: Duration = Duration::from_secs(5);
/// Exit code when the session ended otherwise than by its process.
const BROKEN: i32 = 255;

/// Which instance, and what to do there.
#[derive(Args, Clone, Debug)]
pub struct Shell {
    /// Which daemon.
    #[command(flatten)]
    pub reach: Reach,
    /// The instance, such as i-0123456789abcdef0.
    instance: String,
    /// Why; shown with the session.
    #[arg(long)]
    reason: Option<String>,
    /// A command instead of a shell: at a terminal when this output is one. Its exit status becomes ours.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

type Socket = WebSocketStream<Box<dyn Duplex>>;

/// Runs a session to its end and exits with its exit code.
pub fn run(shell: &Shell) -> Result<(), Problem> {
    let api = shell.reach.api()?;
    let typed_at = isatty(std::io::stdin());
    let shown_at = isatty(std::io::stdout());
    let (document, parameters) = document(&shell.command, shown_at);
    let request = ssm::StartSessionRequest {
        target: Some(shell.instance.clone()),
        document_name: document,
        parameters,
        reason: shell.reason.clone(),
    };
    let started = ask!(api, SsmStartSession, request)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| Problem::because("cannot start", err))?;
    let (Some(session), Some(url), Some(token)) = (started.session_id, started.stream_url, started.token_value) else {
        return Err(Problem::new("the daemon's answer names no channel"));
    };
    if shown_at {
        eprintln!("Session {session} with {}", shell.instance);
    }
    let code = runtime.block_on(async {
        let raw = if typed_at && shown_at { Raw::begin() } else { None };
        let mut client = Client::new(&api, session, raw.is_some());
        let code = client.run(&url, token).await;
        drop(raw);
        if let Err(problem) = &code {
            client.terminate();
            eprintln!("elastane: {problem}");
        }
        code.unwrap_or(BROKEN)
    });
    // The thread that reads the keyboard waits for ever.
    std::process::exit(code)
}

/// Path and query of a channel's URL.
fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|at| &rest[at..])
}

/// The document for a command, or for a shell, and its parameters.
fn document(command: &[String], at_terminal: bool) -> (Option<String>, BTreeMap<String, Vec<String>>) {
    if command.is_empty() {
        return (None, BTreeMap::new());
    }
    let name = if at_terminal { "AWS-StartInteractiveCommand" } else { "AWS-StartNonInteractiveCommand" };
    let text = match command {
        // One word is a shell's, as it is with ssh.
        [one] => one.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    };
    (Some(name.to_string()), BTreeMap::from([("command".to_string(), vec![text])]))
}

/// A word that a shell reads as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Our terminal, as it is while what is typed goes elsewhere.
struct Raw(Termios);

impl Raw {
    fn begin() -> Option<Raw> {
        let saved = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Raw(saved))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// What happened next.
enum Happened {
    Heard(Option<Message>),
    Typed(Option<Vec<u8>>),
    Resized,
    Interrupted,
    Ended,
    Time,
}

/// A session under way.
struct Client<'a> {
    api: &'a Api,
    session: String,
    conversation: Conversation,
    ticks: Ticks,
    /// Whether our terminal is the session's.
    raw: bool,
    typing: bool,
}

impl Client<'_> {
    fn new(api: &Api, session: String, raw: bool) -> Client<'_> {
        let conversation = Conversation::new(seed());
        Client { api, session, conversation, ticks: Ticks::start(), raw, typing: true }
    }

    /// Until the session is over; its exit code.
    async fn run(&mut self, url: &str, token: String) -> Result<i32, Problem> {
        let listen = |kind| signal(kind).map_err(|err| Problem::because("cannot listen for signals", err));
        let mut resized = listen(SignalKind::window_change())?;
        let mut interrupted = listen(SignalKind::interrupt())?;
        let (mut terminated, mut hung_up) = (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
        let mut typed = keyboard();
        let mut socket = self.connect(url, &token).await?;
        loop {
            while let Some(frame) = self.conversation.frame() {
                if socket.send(Message::Binary(Bytes::from(frame))).await.is_err() {
                    break;
                }
            }
            let (types, due) = (self.typing && self.conversation.takes_input(), self.due());
            let happened = tokio::select! {
                message = socket.next() => Happened::Heard(message.and_then(Result::ok)),
                bytes = typed.recv(), if types => Happened::Typed(bytes),
                _ = resized.recv() => Happened::Resized,
                _ = interrupted.recv() => Happened::Interrupted,
                _ = terminated.recv() => Happened::Ended,
                _ = hung_up.recv() => Happened::Ended,
                () = tokio::time::sleep(due) => Happened::Time,
            };
            match happened {
                Happened::Heard(None | Some(Message::Close(_))) => socket = self.reconnect().await?,
                Happened::Ended => return Err(Problem::new("ended by a signal")),
                other => self.handle(other),
            }
            if let Some(code) = self.events()? {
                // The other side need not wait for us.
                let _ = socket.close(None).await;
                return Ok(code);
            }
        }
    }

    fn handle(&mut self, happened: Happened) {
        let now = self.ticks.now();
        match happened {
            Happened::Heard(Some(Message::Binary(bytes))) => self.conversation.receive(now, &bytes),
            Happened::Typed(Some(bytes)) => self.conversation.input(now, &bytes),
            Happened::Typed(None) => {
                self.typing = false;
                // The end of a pipe, in the words of a terminal.
                self.conversation.input(now, &[0x04]);
            }
            Happened::Resized => self.resize(),
            Happened::Interrupted => self.conversation.input(now, &[0x03]),
            Happened::Time => self.conversation.tick(now),
            Happened::Heard(_) | Happened::Ended => {}
        }
    }

    fn due(&self) -> Duration {
        let due = self.conversation.due().map(|due| due.saturating_sub(self.ticks.now().millis));
        due.map_or(IDLE, Duration::from_millis).min(IDLE)
    }

    /// Shows what the server said; the exit code when it is over.
    fn events(&mut self) -> Result<Option<i32>, Problem> {
        while let Some(event) = self.conversation.event() {
            match event {
                Event::Begun => self.resize(),
                Event::Output(bytes) => {
                    let mut out = std::io::stdout().lock();
                    let shown = out.write_all(&bytes).and_then(|()| out.flush());
                    shown.map_err(|err| Problem::because("cannot show what the instance says", err))?;
                }
                Event::Closed { output, exit_code } => {
                    if !output.is_empty() {
                        eprintln!("{}{output}", if self.raw { "\r\n" } else { "" });
                    }
                    let unknown = if output.is_empty() { 0 } else { BROKEN };
                    return Ok(Some(exit_code.unwrap_or(unknown)));
                }
                Event::Failed(why) => return Err(Problem::new(why)),
            }
        }
        Ok(None)
    }

    /// Tells the size of our terminal.
    fn resize(&mut self) {
        if let Some(size) = tcgetwinsize(std::io::stdout()).ok().filter(|_| self.raw) {
            self.conversation.size(self.ticks.now(), size.ws_col, size.ws_row);
        }
    }

    /// Opens the channel at the endpoint that was called, whatever host `url`
    /// names: the token is nobody else's affair.
    async fn connect(&mut self, url: &str, token: &str) -> Result<Socket, Problem> {
        let problem = |err: tokio_tungstenite::tungstenite::Error| Problem::because("cannot open the channel", err);
        let path = path_of(url).ok_or_else(|| Problem::new("the daemon's answer names no channel"))?;
        let url = self.api.endpoint().channel(path);
        let dial = async {
            let stream = self.api.endpoint().dial().await;
            let stream = stream.map_err(|err| Problem::because("cannot open the channel", err))?;
            let (socket, _) = client_async_with_config(url, stream, Some(limits())).await.map_err(problem)?;
            Ok::<Socket, Problem>(socket)
        };
        let dialled = tokio::time::timeout(CONNECT_LIMIT, dial).await;
        let mut socket = dialled.map_err(|_| Problem::new("the daemon does not open the channel in time"))??;
        let open = self.conversation.open(self.ticks.now(), token);
        socket.send(Message::Text(open.into())).await.map_err(problem)?;
        Ok(socket)
    }

    /// Makes a lost connection again, with a new token.
    async fn reconnect(&mut self) -> Result<Socket, Problem> {
        self.conversation.lost();
        let mut pause = PAUSE_FIRST;
        let mut last = Problem::new("the connection was lost");
        for _ in 0..ATTEMPTS_MAX {
            tokio::time::sleep(pause).await;
            pause *= 2;
            let request = ssm::ResumeSessionRequest { session_id: Some(self.session.clone()) };
            match ask!(self.api, SsmResumeSession, request) {
                Ok(answer) => {
                    let Some((url, token)) = answer.stream_url.zip(answer.token_value) else {
                        return Err(Problem::new("the session is over"));
                    };
                    match self.connect(&url, &token).await {
                        Ok(socket) => return Ok(socket),
                        Err(problem) => last = problem,
                    }
                }
                Err(problem) => last = problem,
            }
        }
        Err(last)
    }

    /// Ends the session, so that nothing of it stays in the instance.
    fn terminate(&self) {
        let request = ssm::TerminateSessionRequest { session_id: Some(self.session.clone()) };
        // It ends by itself later when the daemon does not hear of it.
        let _ = ask!(self.api, SsmTerminateSession, request);
    }
}

/// What is typed, read by a thread of its own. Its end is the channel's.
fn keyboard() -> mpsc::Receiver<Vec<u8>> {
    let (sender, typed) = mpsc::channel(TYPED_MAX);
    std::thread::spawn(move || {
        let mut chunk = [0u8; crate::session::protocol::CHUNK_BYTES];
        loop {
            match std::io::stdin().lock().read(&mut chunk) {
                Ok(0) => return,
                Ok(got) => {
                    if sender.blocking_send(chunk[..got].to_vec()).is_err() {
                        return;
                    }
                }
                Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of a channel's URL is used.
    #[test]
    fn channels() {
        for (url, path) in [
            ("wss://a:1/v1/data-channel/x?role=b", Some("/v1/data-channel/x?role=b")),
            ("ws://a", None),
            ("/v1/x", None),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }

    /// One word is a script; several are words, whatever is in them.
    #[test]
    fn commands() {
        for (words, text) in [
            (&["ls | wc"][..], "ls | wc"),
            (&["ls", "-l", "/tmp"], "ls -l /tmp"),
            (&["echo", "a b", "", "it's"], r"echo 'a b' '' 'it'\''s'"),
        ] {
            let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            let (name, parameters) = document(&words, false);
            assert_eq!(name.as_deref(), Some("AWS-StartNonInteractiveCommand"));
            assert_eq!(parameters["command"], [text]);
            assert_eq!(document(&words, true).0.as_deref(), Some("AWS-StartInteractiveCommand"));
        }
        assert_eq!(document(&[], true), (None, BTreeMap::new()));
    }
}
