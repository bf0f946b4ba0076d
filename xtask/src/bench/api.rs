//! The few EC2 calls that the benches make, as signed requests in bytes. A
//! signature is good for a quarter of an hour, so a request made once is sent
//! as often as a round wants.

use crate::http::{Answer, Connection};
use crate::server::{Server, binary};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elastane_wire::ClientRequest;
use elastane_wire::sigv4::Signer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const VERSION: &str = "2016-11-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const REGION: &str = "us-east-1";
const INSTANCE_TYPE: &str = "t3.nano";

/// A client of one server with one kept connection.
pub struct Api {
    connection: Connection,
    address: SocketAddr,
    key: String,
    secret: String,
    region: String,
}

impl Api {
    /// A client of the daemon, with the credentials that `elastane env` tells.
    pub fn to_daemon(server: &Server) -> Result<Api, String> {
        let output = Command::new(binary()?).arg("env").arg("--data-dir").arg(server.folder()).output();
        let output = output.map_err(|err| format!("cannot run `elastane env`: {err}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let exports: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('=')).collect();
        let export = |name: &str| {
            let value = exports.get(name).map(|value| value.trim_matches(['"', '\'']).to_owned());
            value.ok_or_else(|| format!("`elastane env` does not tell {name}: {text}"))
        };
        Ok(Api {
            connection: Connection::new(server.address),
            address: server.address,
            key: export("AWS_ACCESS_KEY_ID")?,
            secret: export("AWS_SECRET_ACCESS_KEY")?,
            region: export("AWS_DEFAULT_REGION")?,
        })
    }

    /// A client of the peer, which takes any credentials.
    pub fn to_peer(server: &Server) -> Api {
        let [key, secret, region] = ["AKIAIOSFODNN7EXAMPLE", "secret", REGION].map(str::to_owned);
        Api { connection: Connection::new(server.address), address: server.address, key, secret, region }
    }

    /// A whole signed request.
    pub fn request(&self, action: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
        let mut body = format!("Action={action}&Version={VERSION}");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", escaped(value)));
        }
        let mut signed = ClientRequest {
            method: "POST",
            target: "/".into(),
            headers: vec![("content-type", FORM.into())],
            body: body.clone().into_bytes(),
        };
        let signer = Signer {
            access_key_id: &self.key,
            secret_access_key: &self.secret,
            session_token: None,
            region: &self.region,
            service: "ec2",
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        signer.sign(&mut signed, &self.address.to_string(), now.as_secs().cast_signed());
        let mut request = String::from("POST / HTTP/1.1\r\n");
        for (name, value) in signed.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        request.into_bytes()
    }

    /// Sends a request made before; an error is any status but 200.
    pub fn send(&mut self, request: &[u8]) -> Result<Answer<'_>, String> {
        let answer = self.connection.exchange(request)?;
        if answer.status == 200 {
            return Ok(answer);
        }
        Err(format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }

    /// Makes and sends a request; the body of the answer.
    pub fn call(&mut self, action: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
        let request = self.request(action, parameters);
        let answer = self.send(&request).map_err(|err| format!("{action}: {err}"))?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Launches `count` instances of the first image; their ids.
    pub fn run_instances(&mut self, count: &str, user_data: Option<&str>) -> Result<Vec<String>, String> {
        let images = self.call("DescribeImages", &[("Owner.1", "amazon")])?;
        let image = values(&images, "imageId").next().ok_or("there is no image")?.to_owned();
        let encoded = user_data.map(|script| STANDARD.encode(script));
        let mut parameters = vec![
            ("ImageId", image.as_str()),
            ("InstanceType", INSTANCE_TYPE),
            ("MinCount", count),
            ("MaxCount", count),
        ];
        parameters.extend(encoded.as_deref().map(|script| ("UserData", script)));
        let launched = self.call("RunInstances", &parameters)?;
        Ok(values(&launched, "instanceId").map(str::to_owned).collect())
    }

    /// What an instance has printed on its console so far.
    pub fn console_output(&mut self, instance: &str) -> Result<String, String> {
        let answer = self.call("GetConsoleOutput", &[("InstanceId", instance)])?;
        let encoded: String = values(&answer, "output").next().unwrap_or_default().split_whitespace().collect();
        let bytes = STANDARD.decode(encoded).map_err(|err| format!("console output is not base64: {err}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Terminates instances.
    pub fn terminate(&mut self, instances: &[String]) -> Result<(), String> {
        let names: Vec<String> = (1..=instances.len()).map(|index| format!("InstanceId.{index}")).collect();
        let pairs = names.iter().map(String::as_str).zip(instances.iter().map(String::as_str));
        self.call("TerminateInstances", &pairs.collect::<Vec<_>>()).map(|_| ())
    }
}

/// Contents of every element `name` that has no elements in it. The answers
/// read here hold none of the characters that XML escapes.
pub fn values<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (value, after) = after.split_once(&close)?;
        rest = after;
        Some(value)
    })
}

/// `value` as a form carries it: everything but unreserved characters escaped.
fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values of one element, in order.
    #[test]
    fn values_of_an_element() {
        let xml = "<a><id>i-1</id><x/><id>i-2</id><ids>no</ids></a>";
        assert_eq!(values(xml, "id").collect::<Vec<_>>(), ["i-1", "i-2"]);
        assert_eq!(values(xml, "none").count(), 0);
    }

    /// Base64 goes through a form unharmed.
    #[test]
    fn form_escapes() {
        assert_eq!(escaped("a+/=~-_. "), "a%2B%2F%3D~-_.%20");
    }
}
