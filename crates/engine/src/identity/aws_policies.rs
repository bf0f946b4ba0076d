//! The policies that AWS manages, as far as this installation's services are
//! concerned. Their names, paths and actions are those of the AWS Managed
//! Policy Reference; a service that is not here stays in them, as a role is
//! often made for the real AWS as well. They have one version and are the same
//! in all accounts.

mod people;
mod services;

use crate::row::PolicyText;
use elastane_domain::time::Time;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What the ARNs of AWS's own policies begin with.
pub const ARN_PREFIX: &str = "arn:aws:iam::aws:policy";

/// Their only version.
pub const VERSION: u32 = 1;

/// When they were made: the day that IAM got managed policies.
const CREATED: Time = Time(1_423_247_986_000);

/// The path of policies that only service-linked roles have.
pub const SERVICE_ROLE_PATH: &str = "/aws-service-role/";

/// A policy that AWS manages.
#[derive(Debug)]
pub struct AwsPolicy {
    /// Its name.
    pub name: &'static str,
    /// `ANPA…`, made of its name.
    pub id: String,
    /// Its path.
    pub path: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it says.
    pub document: PolicyText,
    /// When it was made.
    pub created_at: Time,
}

impl AwsPolicy {
    /// `arn:aws:iam::aws:policy<path><name>`.
    pub fn arn(&self) -> String {
        format!("{ARN_PREFIX}{}{}", self.path, self.name)
    }

    /// Whether users may attach it: those of service-linked roles are attached by the services alone.
    pub fn attachable(&self) -> bool {
        self.path != SERVICE_ROLE_PATH
    }
}

/// All of them, by ARN.
pub static AWS_POLICIES: LazyLock<BTreeMap<String, AwsPolicy>> = LazyLock::new(|| {
    let all = people::TABLE.iter().chain(services::TABLE).map(Entry::policy);
    all.map(|policy| (policy.arn(), policy)).collect()
});

/// A row of the table.
struct Entry {
    name: &'static str,
    path: &'static str,
    description: &'static str,
    statements: &'static [Allow],
}

/// A statement that allows.
struct Allow {
    actions: &'static [&'static str],
    /// Whether the actions are those that it does not allow.
    all_but: bool,
    resources: &'static [&'static str],
    /// A condition block, as JSON.
    condition: Option<&'static str>,
}

const fn allow(actions: &'static [&'static str]) -> Allow {
    Allow { actions, all_but: false, resources: &["*"], condition: None }
}

const fn on(actions: &'static [&'static str], resources: &'static [&'static str]) -> Allow {
    Allow { actions, all_but: false, resources, condition: None }
}

const fn all_but(actions: &'static [&'static str]) -> Allow {
    Allow { actions, all_but: true, resources: &["*"], condition: None }
}

const fn when(allow: Allow, condition: &'static str) -> Allow {
    Allow { condition: Some(condition), ..allow }
}

impl Entry {
    fn policy(&self) -> AwsPolicy {
        let statements: Vec<Value> = self.statements.iter().map(Allow::json).collect();
        let document = json!({ "Version": "2012-10-17", "Statement": statements });
        AwsPolicy {
            name: self.name,
            id: id_of(self.name),
            path: self.path,
            description: self.description,
            document: PolicyText::new(document.to_string()),
            created_at: CREATED,
        }
    }
}

impl Allow {
    fn json(&self) -> Value {
        let one_or_many = |texts: &[&str]| match texts {
            [one] => json!(one),
            many => json!(many),
        };
        let action = if self.all_but { "NotAction" } else { "Action" };
        let mut statement =
            json!({ "Effect": "Allow", action: one_or_many(self.actions), "Resource": one_or_many(self.resources) });
        if let Some(condition) = self.condition {
            statement["Condition"] = serde_json::from_str(condition).expect("the table holds JSON");
        }
        statement
    }
}

/// An id in IAM's form that follows from the name alone (FNV-1a, stretched).
fn id_of(name: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |byte: u8| {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        hash
    };
    name.bytes().for_each(|byte| {
        mix(byte);
    });
    let letters = (0..17).map(|index| char::from(LETTERS[(mix(index) >> 32) as usize % LETTERS.len()]));
    "ANPA".chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_domain::policy::{Document, Grammar};

    /// Every document follows the grammar, and no name or id comes twice.
    #[test]
    fn all_can_be_read() {
        let mut ids = std::collections::BTreeSet::new();
        for policy in AWS_POLICIES.values() {
            let parsed = Document::parse(policy.document.text(), Grammar::Identity);
            assert!(parsed.is_ok(), "{}: {parsed:?}", policy.name);
            assert!(ids.insert(policy.id.clone()), "{}", policy.name);
            assert_eq!(policy.id.len(), 21);
        }
        assert_eq!(ids.len(), people::TABLE.len() + services::TABLE.len());
        assert!(AWS_POLICIES.contains_key("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"));
        assert!(AWS_POLICIES.contains_key("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"));
    }
}
