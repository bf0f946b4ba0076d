//! Managed policies, the account's and AWS's, behind one view.

use super::aws_policies::{self, AWS_POLICIES, AwsPolicy};
use super::tables;
use crate::row::{ManagedPolicy, PolicyText};
use crate::state::{Tables, View};
use elastane_domain::id::AccountId;
use elastane_domain::time::Time;

/// ARNs of managed policies begin so; AWS's go on with [`AWS`], others with their account.
const PREFIX: &str = "arn:aws:iam::";

/// Whose AWS's policies are.
const AWS: &str = "aws:";

/// A managed policy.
#[derive(Clone, Copy, Debug)]
pub enum Managed<'a> {
    /// One of AWS's, the same in every account.
    Aws(&'static AwsPolicy),
    /// One of the account's.
    Own(&'a ManagedPolicy),
}

impl<'a> Managed<'a> {
    /// Its ARN.
    pub fn arn(&self, account: &AccountId) -> String {
        match self {
            Managed::Aws(policy) => policy.arn(),
            Managed::Own(row) => policy_arn(account, row),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        match self {
            Managed::Aws(policy) => policy.name,
            Managed::Own(row) => &row.name,
        }
    }

    /// Its path.
    pub fn path(&self) -> &'a str {
        match self {
            Managed::Aws(policy) => policy.path,
            Managed::Own(row) => &row.path,
        }
    }

    /// The number of the version in force.
    pub fn default_version(&self) -> u32 {
        match self {
            Managed::Aws(_) => aws_policies::VERSION,
            Managed::Own(row) => row.default_version,
        }
    }

    /// Its versions by number, with when each was made.
    pub fn versions(&self) -> Vec<(u32, &'a PolicyText, Time)> {
        match self {
            Managed::Aws(policy) => vec![(aws_policies::VERSION, &policy.document, policy.created_at)],
            Managed::Own(row) => {
                row.versions.iter().map(|(number, it)| (*number, &it.document, it.created_at)).collect()
            }
        }
    }

    /// What is in force; `None` never, as the default version cannot be deleted.
    pub fn in_force(&self) -> Option<&'a PolicyText> {
        match self {
            Managed::Aws(policy) => Some(&policy.document),
            Managed::Own(row) => row.versions.get(&row.default_version).map(|version| &version.document),
        }
    }
}

/// `arn:aws:iam::<account>:policy<path><name>`.
pub fn policy_arn(account: &AccountId, policy: &ManagedPolicy) -> String {
    format!("arn:aws:iam::{account}:policy{}{}", policy.path, policy.name)
}

/// The managed policy of an ARN.
pub fn managed<'a>(view: &View<'a>, arn: &str) -> Option<Managed<'a>> {
    match arn.strip_prefix(PREFIX)?.starts_with(AWS) {
        true => AWS_POLICIES.get(arn).map(Managed::Aws),
        false => find((tables(view)?, &view.scope.account), arn),
    }
}

/// The managed policy of an ARN among the rows of an account.
pub(super) fn find<'a>((tables, account): (&'a Tables, &AccountId), arn: &str) -> Option<Managed<'a>> {
    let owned = arn.strip_prefix(PREFIX)?;
    if owned.starts_with(AWS) {
        return AWS_POLICIES.get(arn).map(Managed::Aws);
    }
    let own = owned.strip_prefix(account.as_str())?.strip_prefix(":policy")?;
    let (path, name) = own.split_at(own.bytes().rposition(|byte| byte == b'/')? + 1);
    let row = tables.managed_policies.get(name)?;
    (path == row.path).then_some(Managed::Own(row))
}

/// How often a managed policy is attached, and how often it is a boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Users, groups and roles that have it.
    pub attached: usize,
    /// Users and roles that it bounds.
    pub bounding: usize,
}

/// The uses of a managed policy.
pub fn uses(tables: &Tables, arn: &str) -> Uses {
    let permissions = tables.users.values().map(|row| &row.permissions);
    let permissions = permissions.chain(tables.user_groups.values().map(|row| &row.permissions));
    let permissions = permissions.chain(tables.roles.values().map(|row| &row.permissions));
    let boundaries = tables.users.values().map(|row| &row.boundary);
    let boundaries = boundaries.chain(tables.roles.values().map(|row| &row.boundary));
    Uses {
        attached: permissions.filter(|it| it.attached.contains(arn)).count(),
        bounding: boundaries.filter(|boundary| boundary.as_deref() == Some(arn)).count(),
    }
}
