//! Where a client finds its channel: on the endpoint that it called.

use elastane_wire::Output;

/// A Host header's length (RFC 1035, with a port).
const HOST_BYTES_MAX: usize = 260;

/// How a client reached the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Whether over TLS.
    pub secure: bool,
    /// Its Host header, if it sent one.
    pub host: Option<String>,
}

/// Puts scheme and host before the path of a channel that an answer names;
/// `own` is the endpoint's host and port, for a client that named none.
pub fn complete(output: &mut Output, reached: &Reached, own: &str) {
    let url = match output {
        Output::SsmStartSession(answer) => &mut answer.stream_url,
        Output::SsmResumeSession(answer) => &mut answer.stream_url,
        _ => return,
    };
    if let Some(path) = url {
        let scheme = if reached.secure { "wss" } else { "ws" };
        let host = reached.host.as_deref().filter(|host| is_host(host)).unwrap_or(own);
        *path = format!("{scheme}://{host}{path}");
    }
}

fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
    !text.is_empty() && text.len() <= HOST_BYTES_MAX && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_wire::ssm;

    /// The channel is where the client called, as it called; what is no host is not repeated.
    #[test]
    fn channels_are_where_the_client_called() {
        for (secure, host, url) in [
            (false, Some("127.0.0.1:4566"), "ws://127.0.0.1:4566/x"),
            (true, Some("aws.example.com"), "wss://aws.example.com/x"),
            (false, Some("[::1]:4566"), "ws://[::1]:4566/x"),
            (false, Some("a/b"), "ws://own:1/x"),
            (false, None, "ws://own:1/x"),
        ] {
            let answer = ssm::StartSessionResponse { stream_url: Some("/x".to_string()), ..Default::default() };
            let mut output = Output::SsmStartSession(Box::new(answer));
            complete(&mut output, &Reached { secure, host: host.map(str::to_string) }, "own:1");
            let Output::SsmStartSession(answer) = output else { panic!("another output") };
            assert_eq!(answer.stream_url.as_deref(), Some(url));
        }
    }
}
