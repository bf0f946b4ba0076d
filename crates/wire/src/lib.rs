//! Bytes to typed requests and back: SigV4, the AWS protocols, error envelopes.
//!
//! Shapes are generated into structs and schema tables; each protocol is one
//! hand-written codec over the tables. Nothing here knows a socket: requests
//! arrive as slices and leave as [`Input`], answers go the other way.
//!
//! A server calls [`identify`], [`sigv4::verify`], [`decode`], then its
//! handler, then [`encode_response`] or [`encode_error`]. A client calls
//! [`encode_request`], [`sigv4::Signer::sign`], then [`decode_response`].

#[cfg(test)]
mod cases;
mod cbor;
mod decode;
#[cfg(test)]
mod dynamic;
mod error;
#[macro_use]
mod generated;
mod http;
mod identify;
mod json;
pub mod limits;
pub mod operation;
mod protocol;
mod query;
pub mod schema;
pub mod sigv4;
mod time;
mod validate;
pub mod value;
mod xml;

pub use decode::DecodeError;
pub use error::ApiError;
pub use generated::{acm, autoscaling, cloudtrail, cloudwatch, ec2, elbv2, iam, kms, ssm, sts};
pub use http::{ClientRequest, Headers, HttpRequest, HttpResponse};
pub use identify::{Identified, Protocol, ReplyForm, WireError, identify};
pub use json::{from_json, to_json};
pub use operation::{Input, Operation, Output, Service};
pub use protocol::{
    ResponseError, client_protocol, decode, decode_response, encode_error, encode_request, encode_response,
};
pub use validate::validate;
pub use value::Timestamp;
