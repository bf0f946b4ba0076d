//! Requests and answers as a whole: body to [`Input`], [`Output`] or
//! [`ApiError`] to answer, and the client's direction of both.

use crate::cbor;
use crate::decode::DecodeError;
use crate::error::ApiError;
use crate::http::{ClientRequest, HttpRequest, HttpResponse};
use crate::identify::{Identified, Protocol, ReplyForm, WireError, form_text};
use crate::json;
use crate::limits::{BODY_BYTES_MAX, Limits};
use crate::operation::{Input, Operation, Output, Service};
use crate::query::{self, Form};
use crate::schema::Shape;
use crate::validate::validate;
use crate::value::Record;
use crate::xml::{self, Element, Style};
use std::borrow::Cow;
use std::io::Read;

const TYPE_XML: &str = "text/xml;charset=UTF-8";
const TYPE_JSON_10: &str = "application/x-amz-json-1.0";
const TYPE_JSON_11: &str = "application/x-amz-json-1.1";
const TYPE_CBOR: &str = "application/cbor";
const TYPE_FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Room that an answer's body starts with: ten instances fit, so that a usual
/// answer never moves while it is written. Pages that are not written to cost nothing.
const ANSWER_BYTES: usize = 64 << 10;

/// Decodes and validates a request.
///
/// # Errors
/// The service's own 4xx for what is malformed, over a limit of
/// [`crate::limits`] or against the model's rules.
pub fn decode(identified: &Identified, request: &HttpRequest<'_>) -> Result<Input, WireError> {
    let info = identified.operation.info();
    let fail = |error| WireError { form: identified.reply_form(), error };
    if request.body.len() > BODY_BYTES_MAX {
        return Err(fail(too_large()));
    }
    let body = decompress(request).map_err(fail)?;
    let plain = HttpRequest { body: &body, ..*request };
    let mut input = Input::empty(identified.operation);
    decode_into(identified.protocol, info.input, &plain, input.record_mut())
        .map_err(|err| fail(decode_failure(identified.protocol, info.service, &err)))?;
    validate(info.service, info.input, input.record()).map_err(fail)?;
    Ok(input)
}

fn too_large() -> ApiError {
    let text = format!("The request is larger than {BODY_BYTES_MAX} bytes.");
    ApiError::new("RequestEntityTooLarge", text).with_status(413)
}

fn decompress<'a>(request: &HttpRequest<'a>) -> Result<Cow<'a, [u8]>, ApiError> {
    match request.headers.first("content-encoding").map(str::trim) {
        None | Some("" | "identity") => Ok(Cow::Borrowed(request.body)),
        Some(kind) if kind.eq_ignore_ascii_case("gzip") => {
            let mut out = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(request.body).take(BODY_BYTES_MAX as u64 + 1);
            reader
                .read_to_end(&mut out)
                .map_err(|err| ApiError::new("SerializationException", format!("The gzip body is broken: {err}.")))?;
            if out.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            Ok(Cow::Owned(out))
        }
        Some(kind) => {
            let shown: String = kind.chars().take(64).collect();
            let text = format!("The content encoding {shown} is not supported.");
            Err(ApiError::new("SerializationException", text).with_status(415))
        }
    }
}

/// Fills a record from a request of `protocol`; no validation.
pub(crate) fn decode_into(
    protocol: Protocol,
    shape: &Shape,
    request: &HttpRequest<'_>,
    record: &mut dyn Record,
) -> Result<(), DecodeError> {
    match protocol {
        Protocol::Ec2 | Protocol::Query => {
            let form = Form::parse(form_text(request).unwrap_or_default())?;
            query::decode(&form, shape, record, Limits::REQUEST, protocol == Protocol::Ec2)
        }
        Protocol::Json10 | Protocol::Json11 => json::read(request.body, shape, record, Limits::REQUEST),
        Protocol::Cbor => cbor::read(request.body, shape, record, Limits::REQUEST),
        Protocol::RestXml => Err(DecodeError::malformed("REST-XML requests are not read.")),
    }
}

fn decode_failure(protocol: Protocol, service: Service, err: &DecodeError) -> ApiError {
    let code = match (protocol, err) {
        (Protocol::Ec2, DecodeError::UnknownParameter(_)) => "UnknownParameter",
        (Protocol::Ec2, DecodeError::BadValue { .. }) => "InvalidParameterValue",
        (Protocol::Query, DecodeError::BadValue { .. }) if service == Service::CloudWatch => "InvalidParameterValue",
        (Protocol::Ec2 | Protocol::Query | Protocol::RestXml, _) => "MalformedInput",
        (Protocol::Json10 | Protocol::Json11 | Protocol::Cbor, _) => "SerializationException",
    };
    ApiError::new(code, err.to_string())
}

/// Encodes a success.
pub fn encode_response(protocol: Protocol, output: &Output, request_id: &str) -> HttpResponse {
    let info = output.operation().info();
    let body = Body {
        name: info.name,
        namespace: info.service.info().namespace,
        shape: info.output,
        void: info.void,
        result_wrapper: info.result_wrapper,
    };
    respond(200, protocol, encode_body(protocol, &body, output.record(), request_id), request_id)
}

/// What an answer's envelope needs.
pub(crate) struct Body<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub shape: &'a Shape,
    pub void: bool,
    pub result_wrapper: Option<&'a str>,
}

pub(crate) fn encode_body(protocol: Protocol, body: &Body<'_>, record: &dyn Record, request_id: &str) -> Vec<u8> {
    let members = body.shape.members();
    match protocol {
        Protocol::Ec2 => {
            let mut out = String::with_capacity(ANSWER_BYTES);
            open_root(&mut out, body);
            xml::write_text_element(&mut out, "requestId", request_id);
            if body.void {
                out.push_str("<return>true</return>");
            }
            xml::write_members(&mut out, Style { millis: true, as_sent: false }, members, record);
            close_root(&mut out, body);
            out.into_bytes()
        }
        Protocol::Query | Protocol::RestXml => {
            let mut out = String::with_capacity(ANSWER_BYTES);
            open_root(&mut out, body);
            if let Some(wrapper) = body.result_wrapper {
                out.extend(["<", wrapper, ">"]);
            }
            xml::write_members(&mut out, Style { millis: true, as_sent: false }, members, record);
            if let Some(wrapper) = body.result_wrapper {
                out.extend(["</", wrapper, ">"]);
            }
            out.push_str("<ResponseMetadata>");
            xml::write_text_element(&mut out, "RequestId", request_id);
            out.push_str("</ResponseMetadata>");
            close_root(&mut out, body);
            out.into_bytes()
        }
        Protocol::Json10 | Protocol::Json11 => {
            let mut out = String::with_capacity(ANSWER_BYTES);
            if !body.void {
                json::write_record(&mut out, members, record, true);
            } else if protocol == Protocol::Json10 {
                out.push_str("{}");
            }
            out.into_bytes()
        }
        Protocol::Cbor => {
            let mut out = Vec::with_capacity(ANSWER_BYTES);
            cbor::write_record(&mut out, members, record, true);
            out
        }
    }
}

fn open_root(out: &mut String, body: &Body<'_>) {
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<");
    out.extend([body.name, "Response xmlns=\"", body.namespace, "\">"]);
}

fn close_root(out: &mut String, body: &Body<'_>) {
    out.extend(["</", body.name, "Response>"]);
}

fn respond(status: u16, protocol: Protocol, body: Vec<u8>, request_id: &str) -> HttpResponse {
    let content_type = match protocol {
        Protocol::Ec2 | Protocol::Query | Protocol::RestXml => TYPE_XML,
        Protocol::Json10 => TYPE_JSON_10,
        Protocol::Json11 => TYPE_JSON_11,
        Protocol::Cbor => TYPE_CBOR,
    };
    let mut headers = Vec::with_capacity(4);
    headers.push(("x-amzn-requestid", Cow::Owned(request_id.to_owned())));
    headers.push(("content-type", Cow::Borrowed(content_type)));
    if protocol == Protocol::Cbor {
        headers.push(("smithy-protocol", Cow::Borrowed("rpc-v2-cbor")));
    }
    HttpResponse { status, headers, body }
}

/// Encodes a failure in the caller's form. The code may be the query
/// protocol's or the shape's name; each protocol gets its own of the two.
pub fn encode_error(form: ReplyForm, error: &ApiError, request_id: &str) -> HttpResponse {
    let modelled = form.service.and_then(|service| {
        let errors = service.info().errors;
        // A code that two shapes share belongs to the one that is called like it.
        let by_shape = errors.iter().find(|one| one.shape == error.code);
        by_shape.or_else(|| errors.iter().find(|one| one.code == error.code))
    });
    let code = modelled.map_or(&*error.code, |one| one.code);
    let shape = modelled.map_or(&*error.code, |one| one.shape);
    let body = match form.protocol {
        Protocol::Ec2 => ec2_error(code, &error.message, request_id),
        Protocol::Query => query_error(form, code, error, request_id),
        Protocol::RestXml => rest_error(code, &error.message, request_id),
        Protocol::Json10 | Protocol::Json11 => json_error(shape, &error.message),
        Protocol::Cbor => cbor_error(shape, &error.message),
    };
    let mut response = respond(error.status, form.protocol, body, request_id);
    match form.protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => {
            response.headers.push(("x-amzn-errortype", Cow::Owned(shape.to_owned())));
            let compatible = form.service.is_some_and(|service| service.info().query_compatible);
            if compatible || form.query_mode {
                let value = format!("{code};{}", fault(error.status));
                response.headers.push(("x-amzn-query-error", Cow::Owned(value)));
            }
        }
        Protocol::Ec2 | Protocol::Query | Protocol::RestXml => {}
    }
    response
}

fn fault(status: u16) -> &'static str {
    if status < 500 { "Sender" } else { "Receiver" }
}

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn ec2_error(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    let mut out = format!("{XML_HEAD}<Response><Errors><Error>");
    xml::write_text_element(&mut out, "Code", code);
    xml::write_text_element(&mut out, "Message", message);
    out.push_str("</Error></Errors>");
    xml::write_text_element(&mut out, "RequestID", request_id);
    out.push_str("</Response>");
    out.into_bytes()
}

fn query_error(form: ReplyForm, code: &str, error: &ApiError, request_id: &str) -> Vec<u8> {
    let namespace = form.service.map_or("", |service| service.info().namespace);
    let mut out = XML_HEAD.to_owned();
    match namespace {
        "" => out.push_str("<ErrorResponse><Error>"),
        namespace => out.extend(["<ErrorResponse xmlns=\"", namespace, "\"><Error>"]),
    }
    xml::write_text_element(&mut out, "Type", fault(error.status));
    xml::write_text_element(&mut out, "Code", code);
    xml::write_text_element(&mut out, "Message", &error.message);
    out.push_str("</Error>");
    xml::write_text_element(&mut out, "RequestId", request_id);
    out.push_str("</ErrorResponse>");
    out.into_bytes()
}

fn rest_error(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    let mut out = format!("{XML_HEAD}<Error>");
    xml::write_text_element(&mut out, "Code", code);
    xml::write_text_element(&mut out, "Message", message);
    xml::write_text_element(&mut out, "RequestId", request_id);
    out.push_str("</Error>");
    out.into_bytes()
}

fn json_error(shape: &str, message: &str) -> Vec<u8> {
    let mut out = "{\"__type\":".to_owned();
    json::write_text(&mut out, shape);
    out.push_str(",\"message\":");
    json::write_text(&mut out, message);
    out.push('}');
    out.into_bytes()
}

fn cbor_error(shape: &str, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::write_map_head(&mut out, 2);
    for text in ["__type", shape, "message", message] {
        cbor::write_text(&mut out, text);
    }
    out
}

/// Encodes a request as a client; sign it with [`crate::sigv4::sign`].
///
/// # Panics
/// When the operation's service does not speak `protocol`.
pub fn encode_request(protocol: Protocol, input: &Input) -> ClientRequest {
    let info = input.operation().info();
    let service = info.service.info();
    let target = || service.target_prefix.expect("JSON and CBOR services have a target prefix");
    let (path, headers, body) = match protocol {
        Protocol::Ec2 | Protocol::Query | Protocol::RestXml => {
            let body = query::encode(info.name, service.version, info.input, input.record());
            ("/".to_owned(), vec![("content-type", TYPE_FORM.to_owned())], body.into_bytes())
        }
        Protocol::Json10 | Protocol::Json11 => {
            let kind = if protocol == Protocol::Json10 { TYPE_JSON_10 } else { TYPE_JSON_11 };
            let mut body = String::new();
            json::write_record(&mut body, info.input.members(), input.record(), false);
            let headers =
                vec![("content-type", kind.to_owned()), ("x-amz-target", format!("{}.{}", target(), info.name))];
            ("/".to_owned(), headers, body.into_bytes())
        }
        Protocol::Cbor => {
            let mut body = Vec::new();
            cbor::write_record(&mut body, info.input.members(), input.record(), false);
            let headers = vec![
                ("content-type", TYPE_CBOR.to_owned()),
                ("accept", TYPE_CBOR.to_owned()),
                ("smithy-protocol", "rpc-v2-cbor".to_owned()),
            ];
            (format!("/service/{}/operation/{}", target(), info.name), headers, body)
        }
    };
    ClientRequest { method: "POST", target: path, headers, body }
}

/// The protocol that our own clients speak to a service.
pub fn client_protocol(service: Service) -> Protocol {
    match (service, service.info().json_version) {
        (Service::Ec2, _) => Protocol::Ec2,
        (_, Some("1.0")) => Protocol::Json10,
        (_, Some(_)) => Protocol::Json11,
        (_, None) => Protocol::Query,
    }
}

/// Why an answer is not an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The service's error; `code` is the query protocol's where there is one.
    Api(ApiError),
    /// Not an answer of this operation.
    Decode(DecodeError),
}

impl std::fmt::Display for ResponseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ResponseError::Api(_) => f.write_str("the service refused the request"),
            ResponseError::Decode(_) => f.write_str("the answer cannot be read"),
        }
    }
}

impl std::error::Error for ResponseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ResponseError::Api(err) => Some(err),
            ResponseError::Decode(err) => Some(err),
        }
    }
}

/// Reads an answer as a client. `query_error` is the value of the header
/// `x-amzn-query-error`, if the answer has it.
pub fn decode_response(
    protocol: Protocol,
    operation: Operation,
    status: u16,
    query_error: Option<&str>,
    body: &[u8],
) -> Result<Output, ResponseError> {
    if status >= 300 {
        let found = decode_error(protocol, body).map_err(ResponseError::Decode)?;
        let (code, message) = found;
        let code = query_error.and_then(|value| value.split(';').next()).map_or(code, str::to_owned);
        return Err(ResponseError::Api(ApiError { code: Cow::Owned(code), message, status }));
    }
    let info = operation.info();
    let mut output = Output::empty(operation);
    decode_body(protocol, info.output, info.result_wrapper, body, output.record_mut())
        .map_err(ResponseError::Decode)?;
    Ok(output)
}

pub(crate) fn decode_body(
    protocol: Protocol,
    shape: &Shape,
    result_wrapper: Option<&str>,
    body: &[u8],
    record: &mut dyn Record,
) -> Result<(), DecodeError> {
    match protocol {
        Protocol::Ec2 | Protocol::Query | Protocol::RestXml => {
            let text = xml_text(body)?;
            let root = Element::parse(text, Limits::RESPONSE)?;
            let inner = match result_wrapper.filter(|_| protocol == Protocol::Query) {
                Some(wrapper) => root.child(wrapper),
                None => Some(&root),
            };
            inner.map_or(Ok(()), |inner| {
                xml::read_members(inner, shape.members(), record, Limits::RESPONSE, Limits::RESPONSE.depth)
            })
        }
        Protocol::Json10 | Protocol::Json11 => json::read(body, shape, record, Limits::RESPONSE),
        Protocol::Cbor => cbor::read(body, shape, record, Limits::RESPONSE),
    }
}

fn xml_text(body: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(body).map_err(|_| DecodeError::malformed("The answer is not UTF-8."))
}

/// Code and message of an error's body.
pub(crate) fn decode_error(protocol: Protocol, body: &[u8]) -> Result<(String, String), DecodeError> {
    let texts = match protocol {
        Protocol::Ec2 | Protocol::Query | Protocol::RestXml => {
            let root = Element::parse(xml_text(body)?, Limits::RESPONSE)?;
            let errors = root.child("Errors").unwrap_or(&root);
            let error = errors.child("Error").unwrap_or(errors);
            let text = |name: &str| error.child_text(name).unwrap_or_default().to_owned();
            return Ok((text("Code"), text("Message")));
        }
        Protocol::Json10 | Protocol::Json11 => json::top_texts(body)?,
        Protocol::Cbor => cbor::top_texts(body)?,
    };
    let find = |names: [&str; 2]| {
        texts.iter().find(|(key, _)| names.contains(&key.as_str())).map_or("", |(_, text)| text.as_str())
    };
    let code = find(["__type", "code"]);
    // `namespace#Name:uri` in its longest form.
    let code = code.rsplit('#').next().unwrap_or(code).split(':').next().unwrap_or(code);
    Ok((code.to_owned(), find(["message", "Message"]).to_owned()))
}
