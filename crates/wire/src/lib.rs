//! Bytes to typed requests and back: SigV4, the AWS protocols, error envelopes.
//!
//! Shapes are generated into structs and schema tables; each protocol is one
//! hand-written codec over the tables. Nothing here knows a socket: requests
//! arrive as slices and leave as [`Input`], answers go the other way.

pub mod error;
#[macro_use]
mod generated;
pub mod operation;
pub mod schema;
pub mod value;

pub use error::ApiError;
pub use generated::{autoscaling, cloudwatch, ec2, elbv2, ssm, sts};
pub use operation::{Input, Operation, Output, Service};
pub use value::Timestamp;
