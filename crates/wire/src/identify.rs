//! Which service, operation and protocol a request means, on one port for all
//! services (the order of the rules is endpoints.md, section 4), and the
//! refusal of what is not implemented in the words of the service addressed.

use crate::error::ApiError;
use crate::http::HttpRequest;
use crate::operation::{Operation, Service};
use crate::query::Form;

/// How bytes and members correspond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// EC2's variant of the query protocol.
    Ec2,
    /// Form parameters, XML answers.
    Query,
    /// `application/x-amz-json-1.0`.
    Json10,
    /// `application/x-amz-json-1.1`.
    Json11,
    /// Smithy RPC v2 CBOR.
    Cbor,
    /// REST-XML: only to refuse S3, Route 53 and CloudFront in a form that
    /// their clients read.
    RestXml,
}

/// How a caller wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyForm {
    /// The protocol of its request.
    pub protocol: Protocol,
    /// The service, unless it is none of ours.
    pub service: Option<Service>,
    /// Whether it sent `x-amzn-query-mode: true`.
    pub query_mode: bool,
}

/// A request that one of our operations answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The operation; it knows its service.
    pub operation: Operation,
    /// The protocol of the request and of its answer.
    pub protocol: Protocol,
    /// Whether the client sent `x-amzn-query-mode: true`.
    pub query_mode: bool,
}

impl Identified {
    /// The service addressed.
    pub fn service(&self) -> Service {
        self.operation.service()
    }

    /// How to answer it.
    pub fn reply_form(&self) -> ReplyForm {
        ReplyForm { protocol: self.protocol, service: Some(self.service()), query_mode: self.query_mode }
    }
}

/// A refusal, with what it takes to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// How to write the answer.
    pub form: ReplyForm,
    /// What is wrong.
    pub error: ApiError,
}

/// Services that are told apart but not implemented: by target prefix of the
/// JSON protocols, or by API version of the query protocol.
const FOREIGN: &[(&str, &str)] = &[
    ("Logs_20140328", "CloudWatch Logs"),
    ("AnyScaleFrontendService", "Application Auto Scaling"),
    ("AnyScaleScalingPlannerFrontendService", "Auto Scaling Plans"),
    ("DynamoDB_20120810", "DynamoDB"),
    ("DynamoDBStreams_20120810", "DynamoDB Streams"),
    ("AmazonEC2ContainerServiceV20141113", "ECS"),
    ("AmazonEC2ContainerRegistry_V20150921", "ECR"),
    ("AWSWAF_20190729", "WAFv2"),
    ("AmazonSQS", "SQS"),
    ("AWSEvents", "EventBridge"),
    ("ResourceGroupsTaggingAPI_20170126", "Resource Groups Tagging"),
    ("ServiceQuotasV20190624", "Service Quotas"),
    ("AWSPriceListService", "Price List"),
    ("2012-06-01", "Elastic Load Balancing (Classic)"),
    ("2015-02-02", "ElastiCache"),
    ("2010-03-31", "SNS"),
    ("2012-11-05", "SQS"),
    ("2014-10-31", "RDS"),
    ("2010-12-01", "SES"),
];

fn foreign(key: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(known, _)| *known == key).map(|(_, name)| *name)
}

/// Tells which operation a request means. The body is looked at only for
/// query requests.
///
/// # Errors
/// A 4xx in the addressed service's own form: `InvalidAction` (query),
/// `UnknownOperationException` (JSON, CBOR), S3's form for everything else.
pub fn identify(request: &HttpRequest<'_>) -> Result<Identified, WireError> {
    let query_mode = request.headers.first("x-amzn-query-mode").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if let Some(rest) = request.path().strip_prefix("/service/") {
        return cbor(request, rest, query_mode);
    }
    if let Some(target) = request.headers.first("x-amz-target") {
        return json(request, target, query_mode);
    }
    if let Some(found) = query(request)? {
        return Ok(found);
    }
    Err(rest(request))
}

fn refuse(protocol: Protocol, service: Option<Service>, query_mode: bool, error: ApiError) -> WireError {
    WireError { form: ReplyForm { protocol, service, query_mode }, error }
}

fn cbor(request: &HttpRequest<'_>, rest: &str, query_mode: bool) -> Result<Identified, WireError> {
    let no = |service, error| Err(refuse(Protocol::Cbor, service, query_mode, error));
    let Some((target, name)) = rest.split_once("/operation/") else {
        return no(None, unknown_operation("The path is not /service/{service}/operation/{operation}."));
    };
    let info =
        Service::all().map(Service::info).find(|info| info.target_prefix == Some(target) && info.query_compatible);
    let Some(info) = info else {
        return no(None, unknown_operation(&unknown_service(target)));
    };
    if request.headers.first("smithy-protocol") != Some("rpc-v2-cbor") {
        return no(Some(info.service), unknown_operation("The header smithy-protocol must be rpc-v2-cbor."));
    }
    if request.method != "POST" {
        return no(Some(info.service), unknown_operation("The method must be POST.").with_status(405));
    }
    match Operation::find(info.service, name) {
        Some(operation) => Ok(Identified { operation, protocol: Protocol::Cbor, query_mode }),
        None => no(Some(info.service), unknown_operation(&not_implemented(info.service, name))),
    }
}

fn json(request: &HttpRequest<'_>, target: &str, query_mode: bool) -> Result<Identified, WireError> {
    let content_type = request.headers.first("content-type").unwrap_or_default();
    let asked = if content_type.contains("x-amz-json-1.0") { Protocol::Json10 } else { Protocol::Json11 };
    let (prefix, name) = target.rsplit_once('.').unwrap_or((target, ""));
    let info = Service::all().map(Service::info).find(|info| info.target_prefix == Some(prefix));
    let Some(info) = info else {
        return Err(refuse(asked, None, query_mode, unknown_operation(&unknown_service(prefix))));
    };
    let protocol = match info.json_version {
        Some("1.0") => Protocol::Json10,
        _ => Protocol::Json11,
    };
    let no = |error| Err(refuse(protocol, Some(info.service), query_mode, error));
    if request.method != "POST" {
        return no(unknown_operation("The method must be POST.").with_status(405));
    }
    match Operation::find(info.service, name) {
        Some(operation) => Ok(Identified { operation, protocol, query_mode }),
        None => no(unknown_operation(&not_implemented(info.service, name))),
    }
}

fn unknown_operation(text: &str) -> ApiError {
    ApiError::new("UnknownOperationException", text)
}

fn unknown_service(key: &str) -> String {
    match foreign(key) {
        Some(name) => format!("{name} is not implemented by Elastane."),
        None => format!("No service answers to {}.", short(key)),
    }
}

fn not_implemented(service: Service, name: &str) -> String {
    let info = service.info();
    if info.known.binary_search(&name).is_ok() {
        return format!("The operation {name} of {} is not implemented by Elastane.", info.full_name);
    }
    format!("The action {} is not valid for this web service.", short(name))
}

/// Enough of a client's text to recognise it in an error.
fn short(text: &str) -> String {
    const SHOWN_MAX: usize = 128;
    text.chars().take(SHOWN_MAX).collect()
}

/// Query requests; `None` when it is none.
fn query(request: &HttpRequest<'_>) -> Result<Option<Identified>, WireError> {
    let Some(text) = form_text(request) else {
        return Ok(None);
    };
    let no = |protocol, service, error| Err(refuse(protocol, service, false, error));
    let (action, version) = match action_and_version(text) {
        Some(found) => found,
        None => {
            if request.path() != "/" || (request.method != "POST" && request.query().is_empty()) {
                return Ok(None);
            }
            let error = ApiError::new("MissingAction", "The request must contain the parameter Action.");
            return no(Protocol::Query, None, error);
        }
    };
    let by_version =
        Service::all().find(|service| service.info().version == version && !service.info().namespace.is_empty());
    // EC2 kept its parameters over its versions, and old clients still send older ones.
    let known_foreign = foreign(&version);
    let service = match by_version {
        Some(service) => service,
        None if known_foreign.is_none() && ec2_version(&version) => Service::Ec2,
        None => {
            let text = match known_foreign {
                Some(name) => format!("{name} is not implemented by Elastane."),
                None => format!("No service has the API version {}.", short(&version)),
            };
            return no(Protocol::Query, None, ApiError::new("InvalidAction", text));
        }
    };
    let protocol = if service == Service::Ec2 { Protocol::Ec2 } else { Protocol::Query };
    match Operation::find(service, &action) {
        Some(operation) => Ok(Some(Identified { operation, protocol, query_mode: false })),
        None => no(protocol, Some(service), ApiError::new("InvalidAction", not_implemented(service, &action))),
    }
}

/// EC2's dated versions from 2014 to 2016.
fn ec2_version(version: &str) -> bool {
    let dated = version.len() == 10 && version.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    dated && ("2014-01-01".."2016-11-15").contains(&version)
}

/// The parameters of a query request: the body's of a form POST, otherwise
/// the target's.
pub(crate) fn form_text<'a>(request: &HttpRequest<'a>) -> Option<&'a [u8]> {
    match request.method {
        "POST" => {
            let form = request.headers.first("content-type").is_none_or(|kind| {
                kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
            });
            (form && request.path() == "/")
                .then(|| if request.body.is_empty() { request.query().as_bytes() } else { request.body })
        }
        "GET" if request.path() == "/" => Some(request.query().as_bytes()),
        _ => None,
    }
}

/// `Action` and `Version` without parsing the whole form.
fn action_and_version(text: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(text).ok()?;
    let (mut action, mut version) = (None, None);
    for pair in text.split('&') {
        if action.is_none() && pair.starts_with("Action=") {
            action = one_value(pair, "Action");
        } else if version.is_none() && pair.starts_with("Version=") {
            version = one_value(pair, "Version");
        }
        if action.is_some() && version.is_some() {
            break;
        }
    }
    action.zip(version)
}

fn one_value(pair: &str, name: &str) -> Option<String> {
    let form = Form::parse(pair.as_bytes()).ok()?;
    form.get(name).map(str::to_owned)
}

/// What is left is REST: no service of that kind is implemented.
fn rest(request: &HttpRequest<'_>) -> WireError {
    let path = request.path();
    let name = if path.starts_with("/2013-04-01/") {
        "Route 53"
    } else if path.starts_with("/2020-05-31/") {
        "CloudFront"
    } else if path.starts_with("/v20180820/") {
        "S3 Control"
    } else if path.starts_with("/2015-03-31/functions") {
        "Lambda"
    } else {
        "S3"
    };
    let text = format!("This request was understood as one for {name}, which is not implemented by Elastane.");
    refuse(Protocol::RestXml, None, false, ApiError::new("MethodNotAllowed", text).with_status(405))
}
