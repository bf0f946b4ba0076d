//! Reading documents, and refusing those that break the grammar (IAM User
//! Guide, "Grammar of the IAM JSON policy language"), in AWS's words where
//! they are known.

use super::condition::{self, BadCondition};
use super::document::{Document, Effect, Grammar, Malformed, Position, Statement};
use super::index::Index;
use super::json::{self, Value};
use super::principal::{BadPrincipal, Principals};
use super::resource::{BadResource, Resources};

/// No parameter that carries a document may be longer (IAM API Reference, `PolicyDocument`).
const BYTES_MAX: usize = 131_072;

/// The version whose documents know variables.
const WITH_VARIABLES: &str = "2012-10-17";

/// The version of documents that name none.
const FIRST: &str = "2008-10-17";

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";

/// The members of a statement.
const MEMBERS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

fn refuse<T>(text: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(text.into()))
}

/// See [`Document::parse`].
pub(super) fn parse(text: &str, grammar: Grammar) -> Result<Document, Malformed> {
    if text.len() > BYTES_MAX {
        return refuse(format!("The policy is longer than {BYTES_MAX} bytes."));
    }
    let unreadable = || {
        Malformed(match grammar {
            Grammar::Trust => "This policy contains invalid Json".to_owned(),
            Grammar::Identity | Grammar::Resource => SYNTAX.to_owned(),
        })
    };
    let outer = json::outer(text).ok_or_else(unreadable)?;
    let variables = version(&outer.members)? == WITH_VARIABLES;
    let Some(texts) = outer.statements.filter(|statements| !statements.is_empty()) else {
        return refuse(missing(grammar, "Statement", SYNTAX));
    };
    let mut places = Places { text, byte: 0, at: Position { line: 1, column: 1 } };
    let (statements, index) = (Vec::with_capacity(texts.len()), Index::default());
    let mut document = Document { grammar, statements, index };
    for raw in texts {
        let members = json::object(raw).ok_or_else(|| Malformed(SYNTAX.to_owned()))?;
        let source = Source { members: &members, grammar, variables };
        let mut statement = source.statement()?;
        let start = raw.as_ptr().addr() - text.as_ptr().addr();
        (statement.start, statement.end) = (places.reach(start), places.reach(start + raw.len()));
        if statement.sid.is_some() && document.statements.iter().any(|other| other.sid == statement.sid) {
            return refuse("Statement IDs (SID) in a single policy must be unique.");
        }
        source.actions(document.statements.len(), &mut document.index)?;
        document.statements.push(statement);
    }
    Ok(document)
}

/// The document's version; members other than Version and Id are refused.
fn version(members: &[(String, Value)]) -> Result<&str, Malformed> {
    let mut version = FIRST;
    for (key, value) in members {
        match (key.as_str(), value.text()) {
            ("Version", Some(text)) if [FIRST, WITH_VARIABLES].contains(&text) => version = text,
            ("Id", Some(_)) => {}
            (_, _) => return refuse(SYNTAX),
        }
    }
    Ok(version)
}

/// What a trust document's text says of a missing member; others have `otherwise`.
fn missing(grammar: Grammar, member: &str, otherwise: &str) -> String {
    match grammar {
        Grammar::Trust => format!("Missing required field {member}"),
        Grammar::Identity | Grammar::Resource => otherwise.to_owned(),
    }
}

/// A statement as it is written.
struct Source<'a> {
    members: &'a [(String, Value)],
    grammar: Grammar,
    variables: bool,
}

impl Source<'_> {
    fn member(&self, wanted: &str) -> Option<&Value> {
        self.members.iter().find(|(key, _)| key == wanted).map(|(_, value)| value)
    }

    /// A member or its negation, of which there may be one; whether it is the negation.
    fn either(&self, member: &str, negation: &str) -> Result<Option<(&Value, bool)>, Malformed> {
        match (self.member(member), self.member(negation)) {
            (Some(_), Some(_)) => refuse(SYNTAX),
            (Some(value), None) => Ok(Some((value, false))),
            (None, Some(value)) => Ok(Some((value, true))),
            (None, None) => Ok(None),
        }
    }

    fn statement(&self) -> Result<Statement, Malformed> {
        if self.members.iter().any(|(key, _)| !MEMBERS.contains(&key.as_str())) {
            return refuse(SYNTAX);
        }
        let nowhere = Position { line: 1, column: 1 };
        Ok(Statement {
            effect: self.effect()?,
            sid: self.sid()?,
            principals: self.principals()?,
            resources: self.resources()?,
            conditions: self.conditions()?,
            start: nowhere,
            end: nowhere,
        })
    }

    fn effect(&self) -> Result<Effect, Malformed> {
        match self.member("Effect") {
            None => refuse(missing(self.grammar, "Effect", SYNTAX)),
            Some(Value::Text(text)) => match text.as_str() {
                "Allow" => Ok(Effect::Allow),
                "Deny" => Ok(Effect::Deny),
                other if ["allow", "deny"].contains(&other.to_ascii_lowercase().as_str()) => refuse(LEGACY),
                _ => refuse(SYNTAX),
            },
            Some(Value::Null | Value::Bare(_) | Value::List(_) | Value::Object(_)) => refuse(SYNTAX),
        }
    }

    /// The Sid; an empty one is none.
    fn sid(&self) -> Result<Option<String>, Malformed> {
        let Some(value) = self.member("Sid") else { return Ok(None) };
        let Some(text) = value.text() else { return refuse(SYNTAX) };
        if self.grammar != Grammar::Resource && !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return refuse(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression \
                 [0-9A-Za-z]*",
            );
        }
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    fn principals(&self) -> Result<Option<Principals>, Malformed> {
        let found = self.either("Principal", "NotPrincipal")?;
        match (self.grammar, found) {
            (Grammar::Identity, None) => Ok(None),
            (Grammar::Identity, Some(_)) => refuse("Policy document should not specify a principal."),
            (Grammar::Trust | Grammar::Resource, None) => refuse("Missing required field Principal"),
            (Grammar::Trust | Grammar::Resource, Some((value, not))) => {
                Principals::read(value, not).map(Some).map_err(|bad| match bad {
                    BadPrincipal::Syntax => Malformed(SYNTAX.to_owned()),
                    BadPrincipal::Empty => Malformed("Missing required field Principal cannot be empty!".to_owned()),
                    BadPrincipal::Invalid(kind, value) => {
                        Malformed(format!("Invalid principal in policy: \"{kind}\":\"{value}\""))
                    }
                })
            }
        }
    }

    fn resources(&self) -> Result<Option<Resources>, Malformed> {
        let found = self.either("Resource", "NotResource")?;
        match (self.grammar, found) {
            (Grammar::Trust, None) => Ok(None),
            (Grammar::Trust, Some(_)) => refuse("Has prohibited field Resource"),
            (Grammar::Identity | Grammar::Resource, None) => refuse("Policy statement must contain resources."),
            (Grammar::Identity | Grammar::Resource, Some((value, not))) => {
                let Some(texts) = value.texts() else { return refuse(SYNTAX) };
                if texts.is_empty() {
                    return refuse("Policy statement must contain resources.");
                }
                Resources::read(&texts, not, self.variables).map(Some).map_err(|bad| match bad {
                    BadResource::Legacy => Malformed(LEGACY.to_owned()),
                    BadResource::Text(text) => Malformed(text),
                })
            }
        }
    }

    fn conditions(&self) -> Result<Vec<condition::Condition>, Malformed> {
        let Some(element) = self.member("Condition") else { return Ok(Vec::new()) };
        condition::read(element, self.variables).map_err(|bad| match bad {
            BadCondition::Syntax => Malformed(SYNTAX.to_owned()),
            BadCondition::Vendor => Malformed(NO_VENDOR.to_owned()),
            BadCondition::Value => Malformed(LEGACY.to_owned()),
        })
    }

    /// Checks the actions and enters them into the document's index.
    fn actions(&self, statement: usize, index: &mut Index) -> Result<(), Malformed> {
        let none = "Policy statement must contain actions.";
        let Some((value, not)) = self.either("Action", "NotAction")? else {
            return refuse(missing(self.grammar, "Action", none));
        };
        let Some(actions) = value.texts() else { return refuse(SYNTAX) };
        if actions.is_empty() {
            return refuse(none);
        }
        for action in &actions {
            check_action(action)?;
            if self.grammar == Grammar::Trust && !action.to_ascii_lowercase().starts_with("sts:") {
                return refuse("AssumeRole policy may only specify STS AssumeRole actions.");
            }
        }
        index.add(statement, &actions, not).map_err(|_| Malformed(LEGACY.to_owned()))
    }
}

const NO_VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";

fn check_action(action: &str) -> Result<(), Malformed> {
    if action == "*" {
        return Ok(());
    }
    let Some((vendor, name)) = action.split_once(':') else { return refuse(NO_VENDOR) };
    if name.contains(':') {
        return refuse("Actions/Condition can contain only one colon.");
    }
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if vendor != "*" && (vendor.is_empty() || !vendor.bytes().all(valid)) {
        return refuse(format!("Vendor {vendor} is not valid"));
    }
    Ok(())
}

/// Lines and columns of a text, walked through once.
struct Places<'a> {
    text: &'a str,
    /// What has been walked.
    byte: usize,
    at: Position,
}

impl Places<'_> {
    /// The place of a byte that begins a character, or of the end; never
    /// before the last one asked for.
    fn reach(&mut self, byte: usize) -> Position {
        for c in self.text[self.byte..byte].chars() {
            self.at = match c {
                '\n' => Position { line: self.at.line + 1, column: 1 },
                _ => Position { column: self.at.column + 1, ..self.at },
            };
        }
        self.byte = byte;
        self.at
    }
}
