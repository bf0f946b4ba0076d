//! The table of what each operation needs, read once and put into the form
//! that decisions are made from. What [`super::lines`] reads as words is looked
//! up here: members in the schemas of requests, condition keys and `@words`
//! among those that the program knows.

use super::finders::{self, Finder};
use super::keys::{self, Maker};
use super::lines;
use super::members::Path;
use elastane_domain::policy::Action;
use elastane_wire::Operation;
use elastane_wire::schema::Shape;
use std::sync::LazyLock;

/// The table's text.
const TEXT: &str = include_str!("table.txt");

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(TEXT).expect("the table follows its own rules"));

/// What all operations need.
pub struct Table {
    /// Services.
    pub services: Vec<Service>,
    /// What operations need, in their order; `None` for one that is not in the text.
    rules: Vec<Option<Vec<Check>>>,
}

/// A service.
pub struct Service {
    /// What stands before the colon of its actions.
    pub prefix: &'static str,
    /// Condition keys of all its actions.
    pub keys: Vec<Key>,
    /// Its types of resources.
    pub kinds: Vec<Kind>,
}

/// A type of resources.
pub struct Kind {
    /// Its service's prefix.
    pub service: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its ARN, with `{region}`, `{account}` and `{id}`.
    pub arn: &'static str,
    /// The same in pieces.
    pub pieces: Vec<Piece>,
    /// Condition keys that resources of the type bring.
    pub keys: Vec<Key>,
}

/// A piece of an ARN.
pub enum Piece {
    /// The same for all resources of the type.
    Text(&'static str),
    /// The region.
    Region,
    /// The account.
    Account,
    /// What stands for the resource.
    Id,
}

/// An action that must be allowed.
pub struct Check {
    /// `ec2:RunInstances`.
    pub action: String,
    /// The same, as policies are asked about it.
    pub asked: Action,
    /// Which of the services has the action.
    pub service: usize,
    /// Whether it is the operation's own and not a further one.
    pub own: bool,
    /// Members that make it necessary; always, without.
    pub when: Vec<Path>,
    /// The resources that it must be allowed on.
    pub resources: Vec<Resources>,
    /// The condition keys that it brings.
    pub keys: Vec<Key>,
}

/// Resources of a request.
pub struct Resources {
    /// Their type.
    pub kind: Which,
    /// Whether there may be none.
    pub optional: bool,
    /// Where their ids are: the first that gives any.
    pub sources: Vec<Source>,
}

/// The type of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// No resource: policies name it `*`.
    None,
    /// To be found out for each by itself.
    Any,
    /// One of its service's, by position.
    One(usize),
}

/// Where ids of resources are.
pub enum Source {
    /// In members of the request.
    Members(Path),
    /// In more than the request.
    Found(Finder),
}

/// A condition key.
pub struct Key {
    /// Its name in lower case, without the `*` of a part that varies.
    pub name: String,
    /// Whether a part follows that varies.
    pub open: bool,
    /// Where its values come from.
    pub from: Values,
}

/// Where the values of a condition key come from.
pub enum Values {
    /// Members of the request: the first that holds any.
    Members(Vec<Path>),
    /// Always the same.
    Value(&'static str),
    /// Made of request, caller and resource.
    Made(Maker),
}

impl Key {
    /// What varies in `name`, if it is this key in lower case.
    pub fn matches<'n>(&self, name: &'n str) -> Option<&'n str> {
        match self.open {
            true => name.strip_prefix(self.name.as_str()).filter(|rest| !rest.is_empty()),
            false => (self.name == name).then_some(""),
        }
    }
}

/// The table.
pub fn table() -> &'static Table {
    &TABLE
}

impl Table {
    fn read(text: &'static str) -> Result<Table, String> {
        let sections = lines::read(text)?;
        let mut services = Vec::new();
        for section in &sections {
            let kind = |kind: &lines::Type<'static>| -> Result<Kind, String> {
                let keys = compiled(&kind.keys, None)?;
                Ok(Kind { service: section.prefix, name: kind.name, arn: kind.arn, pieces: pieces(kind.arn)?, keys })
            };
            services.push(Service {
                prefix: section.prefix,
                keys: compiled(&section.keys, None)?,
                kinds: section.types.iter().map(kind).collect::<Result<_, String>>()?,
            });
        }
        let mut table = Table { services, rules: Operation::all().map(|_| None).collect() };
        for section in &sections {
            for needs in &section.operations {
                table.add(section, needs)?;
            }
        }
        Ok(table)
    }

    fn add(&mut self, section: &lines::Section<'static>, needs: &lines::Needs<'static>) -> Result<(), String> {
        let wrong = |why: &str| format!("{}: {}: {why}", section.module, needs.operation);
        let service = elastane_wire::Service::all().find(|service| module(*service) == section.module);
        let service = service.ok_or_else(|| wrong("an unknown service"))?;
        let operation = Operation::find(service, needs.operation).ok_or_else(|| wrong("an unknown operation"))?;
        let shape = operation.info().input;
        let checks = needs.checks.iter().map(|check| self.check(section.prefix, check, shape));
        let mut checks = checks.collect::<Result<Vec<Check>, String>>().map_err(|why| wrong(&why))?;
        if let Some(first) = checks.first_mut() {
            first.own = true;
        }
        match self.rules[operation as usize].replace(checks) {
            None => Ok(()),
            Some(_) => Err(wrong("listed twice")),
        }
    }

    fn check(&self, prefix: &str, check: &lines::Check<'static>, shape: &Shape) -> Result<Check, String> {
        let action = match check.action.contains(':') {
            true => check.action.to_string(),
            false => format!("{prefix}:{}", check.action),
        };
        let of = action.split(':').next().unwrap_or_default();
        let service = self.services.iter().position(|service| service.prefix == of);
        let service = service.ok_or_else(|| format!("no service has the action {action}"))?;
        let kinds = &self.services[service].kinds;
        let resources = |resources: &lines::Resources<'static>| -> Result<Resources, String> {
            let kind = match resources.kind {
                "*" => Which::None,
                "any" => Which::Any,
                name => {
                    let at = kinds.iter().position(|kind| kind.name == name);
                    Which::One(at.ok_or_else(|| format!("no type {name} of resources"))?)
                }
            };
            let sources = match resources.source {
                "*" => Vec::new(),
                words => words.split('|').map(|word| source(word, shape)).collect::<Result<_, String>>()?,
            };
            Ok(Resources { kind, optional: resources.optional, sources })
        };
        Ok(Check {
            service,
            own: false,
            when: paths(check.when, shape)?,
            resources: check.resources.iter().map(resources).collect::<Result<_, String>>()?,
            keys: compiled(&check.keys, Some(shape))?,
            asked: Action::read(&action),
            action,
        })
    }

    /// The actions that an operation needs, its own first; none when it needs no permission.
    pub fn checks(&self, operation: Operation) -> &[Check] {
        self.rules[operation as usize].as_deref().expect("a test holds the table against the operations")
    }

    /// Whether the text has the operation.
    #[cfg(test)]
    pub fn knows(&self, operation: Operation) -> bool {
        self.rules[operation as usize].is_some()
    }

    /// The type of a name.
    pub fn kind(&self, service: usize, name: &str) -> Option<&Kind> {
        self.services[service].kinds.iter().find(|kind| kind.name == name)
    }
}

/// The name of a service's module here and in the list of operations.
fn module(service: elastane_wire::Service) -> &'static str {
    use elastane_wire::Service::*;
    match service {
        Ec2 => "ec2",
        AutoScaling => "autoscaling",
        Elbv2 => "elbv2",
        CloudWatch => "cloudwatch",
        Sts => "sts",
        Ssm => "ssm",
        Iam => "iam",
        Acm => "acm",
        Kms => "kms",
        CloudTrail => "cloudtrail",
    }
}

fn pieces(arn: &'static str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = arn;
    while let Some((before, after)) = rest.split_once('{') {
        let (word, after) = after.split_once('}').ok_or_else(|| format!("no end of a word in {arn}"))?;
        pieces.push(Piece::Text(before));
        pieces.push(match word {
            "region" => Piece::Region,
            "account" => Piece::Account,
            "id" => Piece::Id,
            _ => return Err(format!("nothing stands for {word} in {arn}")),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn source(word: &str, shape: &Shape) -> Result<Source, String> {
    match word.strip_prefix('@') {
        Some(name) => finders::named(name).map(Source::Found).ok_or_else(|| format!("nothing finds @{name}")),
        None => path(word, shape).map(Source::Members),
    }
}

fn path(names: &str, shape: &Shape) -> Result<Path, String> {
    Path::find(shape, names).ok_or_else(|| format!("no member {names}"))
}

fn paths(words: Option<&str>, shape: &Shape) -> Result<Vec<Path>, String> {
    words.into_iter().flat_map(|words| words.split('|')).map(|names| path(names, shape)).collect()
}

fn compiled(found: &[lines::Key<'static>], shape: Option<&Shape>) -> Result<Vec<Key>, String> {
    let key = |key: &lines::Key<'static>| -> Result<Key, String> {
        let lower = key.name.to_ascii_lowercase();
        let (name, open) = match lower.strip_suffix('*') {
            Some(name) => (name.to_string(), true),
            None => (lower, false),
        };
        let from = match (key.source, shape) {
            (None, _) => Values::Made(keys::named(&name).ok_or_else(|| format!("nothing makes {}", key.name))?),
            (Some(text), _) if text.starts_with('\'') => Values::Value(text.trim_matches('\'')),
            (Some(words), Some(shape)) => Values::Members(paths(Some(words), shape)?),
            (Some(_), None) => return Err(format!("{} is not of an operation", key.name)),
        };
        Ok(Key { name, open, from })
    };
    found.iter().map(key).collect()
}
