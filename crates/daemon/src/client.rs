//! A client of our own daemon, for the commands that ask a running one: that
//! of the data directory, plain HTTP/1.1 over loopback, signed with the
//! installation's credentials; or, for the commands that take `--endpoint`,
//! any daemon, as the holder of a key.

use crate::admin::{About, Status};
use crate::auth::OWN_SERVICE;
use crate::cli::Where;
use crate::clock::wall_ms;
use crate::credentials::Credentials;
use crate::data_dir::{DataDir, Problem};
use crate::endpoint::Endpoint;
use crate::trust::{BUNDLE_VARIABLE, Trust};
use clap::Args;
use elastane_domain::secret::SecretText;
use elastane_wire::sigv4::Signer;
use elastane_wire::{
    ClientRequest, Input, Operation, Output, ResponseError, client_protocol, decode_response, encode_request,
};
use std::path::PathBuf;

/// The file in which a running daemon says where it is.
pub const ABOUT_FILE: &str = "daemon.json";

/// The region of those who name none.
const REGION: &str = "us-east-1";

/// A running daemon.
pub struct Daemon {
    /// What it said of itself.
    pub about: About,
    /// Its credentials.
    pub credentials: Credentials,
    endpoint: Endpoint,
}

impl Daemon {
    /// The daemon of a data directory; an error that says how to start one
    /// when none answers.
    pub fn find(data: &DataDir) -> Result<Daemon, Problem> {
        let about: About = data.read_json(ABOUT_FILE)?.ok_or_else(|| not_running(data))?;
        let credentials = Credentials::existing(data)?.ok_or_else(|| not_running(data))?;
        // It is called without TLS: the way there is this machine's loopback, or an address of its own.
        let endpoint = Endpoint::parse(&about.endpoint, &Trust::Usual(None))?;
        let daemon = Daemon { about, credentials, endpoint };
        daemon.request("GET", "/_elastane/health").map_err(|_| not_running(data))?;
        Ok(daemon)
    }

    /// `127.0.0.1:4566`.
    pub fn address(&self) -> &str {
        self.endpoint.authority()
    }

    /// Sends a signed request to one of our own paths and returns the answer's body.
    pub fn request(&self, method: &'static str, path: &str) -> Result<Vec<u8>, Problem> {
        self.request_with(method, path, Vec::new())
    }

    /// The same with a body.
    pub fn request_with(&self, method: &'static str, path: &str, body: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let request = ClientRequest { method, target: path.to_string(), headers: Vec::new(), body };
        let (status, body) = self.send(request, OWN_SERVICE)?;
        match status {
            200 => Ok(body),
            _ => Err(Problem::new(format!("{path}: {}", String::from_utf8_lossy(&body).trim()))),
        }
    }

    /// Everything at a glance.
    pub fn status(&self) -> Result<Status, Problem> {
        serde_json::from_slice(&self.request("GET", "/_elastane/status")?)
            .map_err(|err| Problem::because("cannot understand the daemon's status", err))
    }

    /// Asks for an AWS operation as any client does: over its protocol, signed.
    ///
    /// # Errors
    /// The service's code and text, led by the operation's name.
    pub fn call(&self, input: &Input) -> Result<Output, Problem> {
        self.api().call(input)
    }

    /// Its API, for its administrator.
    pub fn api(&self) -> Api {
        let key = Key {
            id: self.credentials.access_key.clone(),
            secret: self.credentials.secret_key.clone(),
            session_token: None,
        };
        Api { endpoint: self.endpoint.clone(), region: self.about.region.clone(), key }
    }

    fn send(&self, request: ClientRequest, service: &str) -> Result<(u16, Vec<u8>), Problem> {
        self.api().send(request, service)
    }
}

/// An access key, and the token of a temporary one.
struct Key {
    id: String,
    secret: SecretText,
    session_token: Option<SecretText>,
}

/// An API as the holder of a key calls it.
pub struct Api {
    endpoint: Endpoint,
    region: String,
    key: Key,
}

impl Api {
    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks for an AWS operation over its protocol, signed.
    ///
    /// # Errors
    /// The service's code and text, led by the operation's name.
    pub fn call(&self, input: &Input) -> Result<Output, Problem> {
        let operation: Operation = input.operation();
        let protocol = client_protocol(operation.service());
        let request = encode_request(protocol, input);
        let (status, body) = self.send(request, operation.service().info().signing_name)?;
        decode_response(protocol, operation, status, None, &body).map_err(|err| match err {
            ResponseError::Api(err) => Problem::because(operation.name(), err),
            ResponseError::Decode(err) => {
                Problem::because(format!("cannot read the answer of {}", operation.name()), err)
            }
        })
    }

    fn send(&self, mut request: ClientRequest, service: &str) -> Result<(u16, Vec<u8>), Problem> {
        let signer = Signer {
            access_key_id: &self.key.id,
            secret_access_key: self.key.secret.expose(),
            session_token: self.key.session_token.as_ref().map(SecretText::expose),
            region: &self.region,
            service,
        };
        signer.sign(&mut request, self.endpoint.authority(), wall_ms() / 1000);
        let answer = self.endpoint.exchange(&request);
        answer.map_err(|err| Problem::because(format!("no answer from {}", self.endpoint.url()), err))
    }
}

/// How a command that takes any daemon reaches it.
#[derive(Args, Clone, Debug)]
pub struct Reach {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// A daemon elsewhere, such as https://build-1:4566, called with the key in AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY, else with the data directory's. [default: the daemon of the data directory, and without
    /// one $AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The authorities that an https endpoint's certificate may be from, as PEM: what `elastane ca` prints where the
    /// daemon runs. [default: $AWS_CA_BUNDLE, else the data directory's authority and this system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Reach {
    /// The API that is meant.
    ///
    /// # Errors
    /// What is missing: a daemon, a key, a certificate.
    pub fn api(&self) -> Result<Api, Problem> {
        self.api_with(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn api_with(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Api, Problem> {
        let data = self.place.path().and_then(|path| DataDir::existing(&path));
        let elsewhere = || variable("AWS_ENDPOINT_URL").filter(|_| data.is_err() && !self.place.is_named());
        let Some(url) = self.endpoint.clone().or_else(elsewhere) else {
            return Ok(Daemon::find(&data?)?.api());
        };
        let data = data.ok();
        let file = self.ca.clone().or_else(|| variable(BUNDLE_VARIABLE).map(PathBuf::from));
        let usual = || Trust::Usual(data.as_ref().map(|data| data.path().to_path_buf()));
        let endpoint = Endpoint::parse(&url, &file.map_or_else(usual, Trust::File))?;
        let about: Option<About> = data.as_ref().and_then(|data| data.read_json(ABOUT_FILE).ok().flatten());
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.or(about.map(|about| about.region)).unwrap_or_else(|| REGION.to_string());
        Ok(Api { endpoint, region, key: key(data.as_ref(), variable)? })
    }
}

/// The key in the variables, else the data directory's.
fn key(data: Option<&DataDir>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Key, Problem> {
    let named = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
    if let Some((id, secret)) = named {
        let session_token = variable("AWS_SESSION_TOKEN").map(SecretText::new);
        return Ok(Key { id, secret: SecretText::new(secret), session_token });
    }
    let own = data.map(Credentials::existing).transpose()?.flatten();
    let own = own.map(|own| Key { id: own.access_key, secret: own.secret_key, session_token: None });
    own.ok_or_else(|| {
        Problem::new(
            "there is no key to call with: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as `elastane env` and \
             `elastane credentials create` print them where the daemon runs",
        )
    })
}

/// Calls an operation and returns its output as that type:
/// `ask!(daemon, Ec2DescribeImages, ec2::DescribeImagesRequest { .. })`.
macro_rules! ask {
    ($daemon:expr, $operation:ident, $input:expr) => {
        $daemon.call(&elastane_wire::Input::$operation(Box::new($input))).map(|output| match output {
            elastane_wire::Output::$operation(output) => *output,
            _ => unreachable!("an answer is read as the operation that was asked for"),
        })
    };
}
pub(crate) use ask;

fn not_running(data: &DataDir) -> Problem {
    Problem::new(format!("no daemon runs on {}: start one with `elastane up`", data.path().display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn reach(endpoint: Option<&str>, place: &str) -> Reach {
        Reach { place: Where::at(place.into()), endpoint: endpoint.map(str::to_string), ca: None }
    }

    /// Where and as whom a daemon elsewhere is called; what is missing is said.
    #[test]
    fn reaching_a_daemon_elsewhere() {
        let key = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let with = |more: &[(&'static str, &'static str)]| -> BTreeMap<&str, &str> {
            key.into_iter().chain(more.iter().copied()).collect()
        };
        let missing = "/nonexistent/elastane";
        for (endpoint, variables, want) in [
            (Some("https://a:1"), with(&[]), Ok(("https://a:1", "us-east-1", None))),
            (
                Some("https://a:1"),
                with(&[("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "x"), ("AWS_SESSION_TOKEN", "t")]),
                Ok(("https://a:1", "eu-west-1", Some("t"))),
            ),
            (
                Some("http://a"),
                with(&[("AWS_ENDPOINT_URL", "https://b"), ("AWS_DEFAULT_REGION", "eu-west-2")]),
                Ok(("http://a", "eu-west-2", None)),
            ),
            (Some("https://a:1"), BTreeMap::new(), Err("set AWS_ACCESS_KEY_ID")),
            (Some("a:1"), with(&[]), Err("must begin with http")),
            (Some("https://a"), with(&[("AWS_CA_BUNDLE", "/nonexistent/ca.pem")]), Err("/nonexistent/ca.pem")),
            // A data directory that is named is meant.
            (None, with(&[("AWS_ENDPOINT_URL", "https://b")]), Err("elastane up")),
        ] {
            let lookup = |name: &str| variables.get(name).map(|value| value.to_string());
            let got = reach(endpoint, missing).api_with(&lookup).map_err(|problem| problem.to_string());
            match (&got, want) {
                (Ok(api), Ok((url, region, token))) => {
                    let token_here = api.key.session_token.as_ref().map(SecretText::expose);
                    assert_eq!((api.endpoint.url().as_str(), api.region.as_str(), token_here), (url, region, token));
                }
                (Err(said), Err(want)) => assert!(said.contains(want), "{said}"),
                (got, want) => panic!("{endpoint:?}: {:?}, not {want:?}", got.as_ref().err()),
            }
        }
    }
}
