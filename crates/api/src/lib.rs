//! AWS operations as functions of state, input and time: one module a
//! service. A handler reads through [`Call`] or changes rows through
//! [`Change`]; it never sees bytes, sockets or clocks, and a change that ends
//! in an error leaves nothing behind.

pub mod access;
pub mod acm;
pub mod autoscaling;
mod caller;
pub mod cloudtrail;
pub mod cloudwatch;
pub mod ec2;
pub mod elbv2;
pub mod iam;
pub mod kms;
pub mod page;
pub mod ssm;
pub mod sts;
mod tagging;
#[cfg(test)]
mod testing;

pub use caller::{Caller, Origin, Principal, RoleSession};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_domain::id::{AccountId, InstanceId, Region};
use elastane_domain::time::Time;
use elastane_engine::row::IAM_REGION;
use elastane_engine::{Scope, Tx, View};
use elastane_wire::{ApiError, Input, Operation, Output, Service};
use std::ops::{Deref, DerefMut};

/// What a handler may ask of the world besides rows.
pub trait World: Sync {
    /// The newest console output of an instance, at most 64 KiB; `None` when
    /// the host holds none.
    fn console(&self, instance: &InstanceId) -> Option<Vec<u8>>;

    /// A stored object, as S3 would hold it: at most [`OBJECT_BYTES_MAX`]. A
    /// world without objects has none.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn object(&self, _bucket: &str, _key: &str) -> Result<Vec<u8>, ObjectError> {
        Err(ObjectError::Missing)
    }

    /// Events of the trail that answer a lookup. A world without a trail has none.
    fn trail(&self, _lookup: &cloudtrail::Lookup) -> cloudtrail::Found {
        cloudtrail::Found::default()
    }

    /// A text that its reader shall not see through, until [`World::unseal`]
    /// for the same purpose. A world without secrets writes it in base64.
    fn seal(&self, purpose: Purpose, text: &str) -> String {
        STANDARD.encode(format!("{}:{text}", purpose.name()))
    }

    /// What this world sealed for this purpose; `None` for anything else.
    fn unseal(&self, purpose: Purpose, sealed: &str) -> Option<String> {
        let text = String::from_utf8(STANDARD.decode(sealed).ok()?).ok()?;
        Some(text.strip_prefix(purpose.name())?.strip_prefix(':')?.to_string())
    }

    /// When and where an access key, or the credentials of a role by its unique
    /// id, last signed a request that was accepted; `None` while none is known
    /// to have.
    fn last_use(&self, _id: &str) -> Option<KeyUse> {
        None
    }
}

/// What a text is sealed for: it is opened for nothing else, so that no
/// operation that opens texts of callers can be handed a stored secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Why a call was refused, for DecodeAuthorizationMessage.
    AuthorizationMessage,
    /// Material of a KMS key, in its row.
    KeyMaterial,
}

impl Purpose {
    /// Its name, which no other purpose has.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::AuthorizationMessage => "authorization message",
            Purpose::KeyMaterial => "key material",
        }
    }
}

/// The last use of an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// When, in service time.
    pub at: Time,
    /// The region that it was signed for.
    pub region: String,
    /// The service that it was signed for.
    pub service: String,
}

/// Bytes of an object that a handler reads: bundles of certificates and
/// revocation lists, which end up in a row.
pub const OBJECT_BYTES_MAX: usize = 1 << 20;

/// Why an object cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// There is none of this name.
    Missing,
    /// It is larger than [`OBJECT_BYTES_MAX`].
    TooLarge,
    /// It is there and cannot be read.
    Unreadable(String),
}

/// A world that holds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWorld;

impl World for NoWorld {
    fn console(&self, _instance: &InstanceId) -> Option<Vec<u8>> {
        None
    }
}

/// A call that reads.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The rows of its scope.
    pub view: View<'a>,
    /// Who calls.
    pub caller: &'a Caller,
    /// The world.
    pub world: &'a dyn World,
}

impl<'a> Deref for Call<'a> {
    type Target = View<'a>;
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

/// A call that changes rows.
pub struct Change<'a, 'b> {
    /// The transaction.
    pub tx: &'a mut Tx<'b>,
    /// Who calls.
    pub caller: &'a Caller,
    /// The world.
    pub world: &'a dyn World,
}

impl<'b> Deref for Change<'_, 'b> {
    type Target = Tx<'b>;
    fn deref(&self) -> &Tx<'b> {
        self.tx
    }
}

impl<'b> DerefMut for Change<'_, 'b> {
    fn deref_mut(&mut self) -> &mut Tx<'b> {
        self.tx
    }
}

/// The region that requests of IAM are addressed to, wherever they come from
/// (IAM User Guide, "aws:RequestedRegion").
pub const GLOBAL_REGION: &str = "us-east-1";

/// The scope in which an operation runs that was signed for a region: the rows
/// of IAM and STS belong to the account as a whole.
pub fn scope_of(operation: Operation, account: AccountId, region: Region) -> Scope {
    match operation.service() {
        Service::Iam | Service::Sts => Scope { account, region: Region::from(IAM_REGION) },
        Service::Acm
        | Service::Ec2
        | Service::AutoScaling
        | Service::Elbv2
        | Service::CloudWatch
        | Service::CloudTrail
        | Service::Kms
        | Service::Ssm => Scope { account, region },
    }
}

/// Answers an operation that reads, if its caller may. `None` when it is one that writes.
pub fn read(call: &Call<'_>, input: &Input) -> Option<Result<Output, ApiError>> {
    if !input.operation().info().read {
        return None;
    }
    if let Err(refused) = access::permit(&call.view, call.caller, call.world, input) {
        return Some(Err(refused));
    }
    elastane_wire::dispatch_read!(crate, call, input)
}

/// Carries out an operation that writes, if its caller may. `None` when it is one that reads.
pub fn write(change: &mut Change<'_, '_>, input: &Input) -> Option<Result<Output, ApiError>> {
    if input.operation().info().read {
        return None;
    }
    if let Err(refused) = access::permit(&change.tx.view(), change.caller, change.world, input) {
        return Some(Err(refused));
    }
    elastane_wire::dispatch_write!(crate, change, input)
}

/// Carries out any operation within a transaction: what the simulator and the
/// shell's writer use.
pub fn call(tx: &mut Tx<'_>, caller: &Caller, world: &dyn World, input: &Input) -> Result<Output, ApiError> {
    if let Some(result) = write(&mut Change { tx, caller, world }, input) {
        return result;
    }
    let view = tx.view();
    let answer = read(&Call { view, caller, world }, input);
    answer.expect("an operation reads or writes")
}
