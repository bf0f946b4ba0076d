//! Identifiers: one type per kind, so that look-alikes cannot be swapped. Those
//! of instances and the like, 23 bytes at most, are held in place: looking one
//! up among thousands reads the map and nothing else.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// What every identifier of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The text as clients write it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                String::deserialize(input).map(Self::from)
            }
        }
    )*};
}

ids! {
    /// An AWS account: twelve digits.
    AccountId "";
    /// A region's name, such as `us-east-1`; any valid host label is one.
    Region "";
    /// An Availability Zone's name: a region and one letter.
    Zone "";
    /// An EC2 instance.
    InstanceId "i-";
    /// A machine image.
    ImageId "ami-";
    /// A VPC.
    VpcId "vpc-";
    /// A subnet.
    SubnetId "subnet-";
    /// A security group.
    SecurityGroupId "sg-";
    /// A launch template.
    LaunchTemplateId "lt-";
    /// An Auto Scaling group's name.
    GroupName "";
    /// A load balancer's ARN.
    LoadBalancerArn "arn:";
    /// A target group's ARN.
    TargetGroupArn "arn:";
    /// A listener's ARN.
    ListenerArn "arn:";
    /// A listener rule's ARN.
    RuleArn "arn:";
    /// The ARN of a certificate of ACM or of an IAM server certificate.
    CertificateArn "arn:";
    /// A trust store's ARN.
    TrustStoreArn "arn:";
    /// A CloudWatch alarm's name.
    AlarmName "";
    /// A Run Command invocation: a UUID.
    CommandId "";
}

/// Whether `text` is `prefix` followed by 8 or 17 lower-case hex digits: the
/// shape of EC2 identifiers (EC2 User Guide, "Resource IDs").
pub fn well_formed(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (rest.len() == 8 || rest.len() == 17) && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the prefix with 8 or 17 lower-case hex digits is an identifier.
    #[test]
    fn shapes_of_identifiers() {
        for (text, good) in [
            ("i-0123456789abcdef0", true),
            ("i-01234567", true),
            ("i-0123456789ABCDEF0", false),
            ("i-0123", false),
            ("ami-01234567", false),
            ("i-", false),
        ] {
            assert_eq!(well_formed(InstanceId::PREFIX, text), good, "{text}");
        }
    }
}
