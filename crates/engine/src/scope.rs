//! Who a row belongs to. Account and region are part of every key, so that
//! regions and accounts cannot see each other by mistake.

use elastane_domain::id::{AccountId, Region};
use std::fmt;
use std::net::Ipv4Addr;

/// One account in one region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The account: twelve digits.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Scope {
    /// The scope of an account and region.
    pub fn new(account: &str, region: &str) -> Scope {
        Scope { account: account.into(), region: region.into() }
    }

    /// An ARN in this scope: `arn:aws:<service>:<region>:<account>:<rest>`.
    pub fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.region, self.account)
    }

    /// The domain of private host names (EC2 User Guide, "Hostname types").
    pub fn private_domain(&self) -> String {
        match self.region.as_str() {
            "us-east-1" => "ec2.internal".to_string(),
            region => format!("{region}.compute.internal"),
        }
    }

    /// The name of a public address (Amazon VPC User Guide, "DNS attributes for your VPC").
    pub fn public_name(&self, address: Ipv4Addr) -> String {
        let [a, b, c, d] = address.octets();
        match self.region.as_str() {
            "us-east-1" => format!("ec2-{a}-{b}-{c}-{d}.compute-1.amazonaws.com"),
            region => format!("ec2-{a}-{b}-{c}-{d}.{region}.compute.amazonaws.com"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}
