//! Principal and NotPrincipal (IAM User Guide, "Principal", "NotPrincipal",
//! "Policy evaluation logic").

use super::json::Value;

/// A kind of principal, as documents name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// Accounts, users, roles, sessions; `*`.
    Aws,
    /// `ec2.amazonaws.com`.
    Service,
    /// Identity providers.
    Federated,
    /// Canonical user ids of S3.
    CanonicalUser,
}

/// A principal that a document names, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalName {
    /// The member it stands in.
    pub kind: PrincipalKind,
    /// ARN, account, id or name.
    pub value: String,
}

/// What a resource's document says of a request, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Nothing.
    None,
    /// It names the caller's account: the account's identity policies decide.
    Account,
    /// It names the caller's role: boundary and session policies still limit.
    Role,
    /// It names the caller itself, or everyone: nothing but an explicit denial limits.
    Direct,
    /// A statement denies it.
    Denied,
}

/// The element of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Principals {
    not: bool,
    names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq)]
enum Name {
    Everyone,
    /// Twelve digits.
    Account(String),
    /// Of a user, role or session.
    Arn(String),
    /// `AIDA…` or `AROA…`.
    Id(String),
    /// Of a service, an identity provider or S3's canonical user.
    Other(PrincipalKind, String),
}

/// Why the element is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadPrincipal {
    Syntax,
    Empty,
    /// The kind as AWS's text writes it, and the value.
    Invalid(&'static str, String),
}

/// What an ARN names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Account,
    User,
    Role,
    Session,
}

/// Digits of an account's number.
const ACCOUNT_DIGITS: usize = 12;

impl Principals {
    /// Reads Principal, or NotPrincipal when `not`.
    pub(super) fn read(element: &Value, not: bool) -> Result<Principals, BadPrincipal> {
        let mut names = Vec::new();
        match element {
            Value::Text(text) if text == "*" => names.push(Name::Everyone),
            Value::Object(kinds) => {
                for (kind, values) in kinds {
                    let values = values.texts().ok_or(BadPrincipal::Syntax)?;
                    for value in values {
                        names.push(name(kind, value)?);
                    }
                }
            }
            Value::Null | Value::Text(_) | Value::Bare(_) | Value::List(_) => return Err(BadPrincipal::Syntax),
        }
        if names.is_empty() { Err(BadPrincipal::Empty) } else { Ok(Principals { not, names }) }
    }

    /// The names as they are written.
    pub(super) fn shown(&self) -> impl Iterator<Item = PrincipalName> + '_ {
        self.names.iter().map(|name| match name {
            Name::Everyone => PrincipalName { kind: PrincipalKind::Aws, value: "*".to_owned() },
            Name::Account(value) | Name::Arn(value) | Name::Id(value) => {
                PrincipalName { kind: PrincipalKind::Aws, value: value.clone() }
            }
            Name::Other(kind, value) => PrincipalName { kind: *kind, value: value.clone() },
        })
    }

    /// How far an Allow statement reaches the caller.
    pub(super) fn grant(&self, asker: &Asker<'_>) -> Grant {
        let named = self.names.iter().map(|name| asker.named(name)).max().unwrap_or(Grant::None);
        match (self.not, named) {
            (false, named) => named,
            (true, Grant::None) => Grant::Direct,
            (true, _) => Grant::None,
        }
    }

    /// Whether a Deny statement reaches the caller. One with NotPrincipal
    /// spares only whom it names entirely - user and account, or session,
    /// role and account - and nobody who has a permissions boundary.
    pub(super) fn denies(&self, asker: &Asker<'_>, bounded: bool) -> bool {
        if self.not { bounded || !asker.is_covered(&self.names) } else { self.grant(asker) != Grant::None }
    }
}

fn name(kind: &str, value: &str) -> Result<Name, BadPrincipal> {
    let (kind, shown) = match kind {
        "AWS" => (PrincipalKind::Aws, "AWS"),
        "Service" => (PrincipalKind::Service, "SERVICE"),
        "Federated" => (PrincipalKind::Federated, "FEDERATED"),
        "CanonicalUser" => (PrincipalKind::CanonicalUser, "CANONICAL_USER"),
        _ => return Err(BadPrincipal::Syntax),
    };
    let invalid = || BadPrincipal::Invalid(shown, value.to_owned());
    let plain = !value.is_empty() && !value.contains(['*', '?', '$']) && !value.contains(char::is_whitespace);
    match kind {
        PrincipalKind::Aws if value == "*" => Ok(Name::Everyone),
        PrincipalKind::Aws if plain => aws(value).ok_or_else(invalid),
        PrincipalKind::Service if plain && value.contains('.') => Ok(Name::Other(kind, value.to_owned())),
        PrincipalKind::Federated | PrincipalKind::CanonicalUser if plain => Ok(Name::Other(kind, value.to_owned())),
        PrincipalKind::Aws | PrincipalKind::Service | PrincipalKind::Federated | PrincipalKind::CanonicalUser => {
            Err(invalid())
        }
    }
}

fn aws(value: &str) -> Option<Name> {
    if is_account(value) {
        return Some(Name::Account(value.to_owned()));
    }
    if value.starts_with("AIDA") || value.starts_with("AROA") {
        return value.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| Name::Id(value.to_owned()));
    }
    match parse(value)? {
        (Class::Account, account) => Some(Name::Account(account.to_owned())),
        (Class::User | Class::Role | Class::Session, _) => Some(Name::Arn(value.to_owned())),
    }
}

fn is_account(text: &str) -> bool {
    text.len() == ACCOUNT_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What an ARN of IAM or STS names, and its account.
fn parse(arn: &str) -> Option<(Class, &str)> {
    let rest = arn.strip_prefix("arn:aws:")?;
    let (service, rest) = rest.split_once("::")?;
    let (account, name) = rest.split_once(':')?;
    let class = match (service, name.split_once('/')) {
        ("iam", None) if name == "root" => Class::Account,
        ("iam", Some(("user", name))) if !name.is_empty() => Class::User,
        ("iam", Some(("role", name))) if !name.is_empty() => Class::Role,
        ("sts", Some(("assumed-role", name))) if name.contains('/') => Class::Session,
        ("sts", Some(("federated-user", name))) if !name.is_empty() => Class::Session,
        (_, _) => return None,
    };
    is_account(account).then_some((class, account))
}

/// Who asks, read from the names that the request carries.
#[derive(Debug, Default)]
pub(super) struct Asker<'a> {
    arns: Vec<(Class, &'a str)>,
    accounts: Vec<&'a str>,
    /// Unique ids and names of services.
    others: Vec<&'a str>,
}

impl<'a> Asker<'a> {
    pub(super) fn read(principal: &'a [String]) -> Asker<'a> {
        let mut asker = Asker::default();
        for entry in principal {
            let account = match parse(entry) {
                Some((Class::Account, account)) => account,
                Some((class, account)) => {
                    asker.arns.push((class, entry));
                    account
                }
                None if is_account(entry) => entry,
                None => {
                    asker.others.push(entry);
                    continue;
                }
            };
            if !asker.accounts.contains(&account) {
                asker.accounts.push(account);
            }
        }
        asker
    }

    fn has(&self, class: Class) -> bool {
        self.arns.iter().any(|(other, _)| *other == class)
    }

    fn named(&self, name: &Name) -> Grant {
        let class = match name {
            Name::Everyone => return Grant::Direct,
            Name::Other(_, value) => {
                return if self.others.contains(&value.as_str()) { Grant::Direct } else { Grant::None };
            }
            Name::Account(account) if !self.accounts.contains(&account.as_str()) => return Grant::None,
            // Only the account itself, its root user, is the account.
            Name::Account(_) if self.arns.is_empty() => return Grant::Direct,
            Name::Account(_) => return Grant::Account,
            Name::Arn(value) => match self.arns.iter().find(|(_, arn)| arn == value) {
                Some((class, _)) => *class,
                None => return Grant::None,
            },
            Name::Id(value) if !self.others.contains(&value.as_str()) => return Grant::None,
            Name::Id(value) if value.starts_with("AROA") => Class::Role,
            Name::Id(_) => Class::User,
        };
        match class {
            Class::Session => Grant::Direct,
            // A federated user's session is not the user.
            Class::User if self.has(Class::Session) => Grant::Role,
            Class::User => Grant::Direct,
            Class::Role => Grant::Role,
            Class::Account => Grant::Account,
        }
    }

    /// Whether the names cover everything that the caller is.
    fn is_covered(&self, names: &[Name]) -> bool {
        if names.contains(&Name::Everyone) {
            return true;
        }
        let listed = |wanted: &dyn Fn(&Name) -> bool| names.iter().any(wanted);
        let arns = self.arns.iter().all(|(class, arn)| {
            listed(&|name| match (name, class) {
                (Name::Arn(value), _) => value == arn,
                (Name::Id(id), Class::User) => id.starts_with("AIDA") && self.others.contains(&id.as_str()),
                (Name::Id(id), Class::Role) => id.starts_with("AROA") && self.others.contains(&id.as_str()),
                (_, _) => false,
            })
        });
        let accounts = self
            .accounts
            .iter()
            .all(|account| listed(&|name| matches!(name, Name::Account(listed) if listed == account)));
        let services = !self.arns.is_empty()
            || !self.accounts.is_empty()
            || self.others.iter().any(|other| listed(&|name| matches!(name, Name::Other(_, value) if value == other)));
        arns && accounts && services
    }
}
