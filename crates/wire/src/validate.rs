//! The model's rules for requests, in one place: required members, lengths,
//! ranges, enumerations. Patterns are not checked. Each service family words
//! the failure in its own way.

use crate::error::ApiError;
use crate::operation::Service;
use crate::schema::{Length, Member, Range, Shape};
use crate::value::{Record, View};

/// Violations that one error tells; AWS stops at ten as well.
const VIOLATIONS_MAX: usize = 10;

/// Values of the longest enumeration that is checked. Longer ones are
/// catalogues, such as EC2's instance types: they grow between two versions of
/// the model, and the operations refuse what they do not offer themselves, each
/// with its own code.
const ENUMERATION_MAX: usize = 200;

/// Characters of a value that an error repeats.
const VALUE_CHARS_MAX: usize = 256;

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    /// As the query protocols write it, `tags.1.member.key`.
    path: String,
    /// The name of the member as the query protocols' requests have it.
    name: String,
    /// `None` when it is missing.
    value: Option<String>,
    rule: String,
}

/// Checks a decoded request.
///
/// # Errors
/// `MissingParameter` and `InvalidParameterValue` for EC2 and CloudWatch,
/// `ValidationError` (query) or `ValidationException` (JSON) otherwise.
pub fn validate(service: Service, shape: &Shape, record: &dyn Record) -> Result<(), ApiError> {
    let mut check = Check { service, found: Vec::new(), path: String::new() };
    check.members(shape.members(), record);
    if check.found.is_empty() {
        return Ok(());
    }
    Err(error(service, &check.found))
}

fn error(service: Service, found: &[Violation]) -> ApiError {
    let code = match service {
        Service::Ec2 | Service::CloudWatch => return single(service, &found[0]),
        Service::AutoScaling | Service::Elbv2 | Service::Sts | Service::Iam => "ValidationError",
        Service::Acm | Service::CloudTrail | Service::Kms | Service::Ssm => "ValidationException",
    };
    let errors = if found.len() == 1 { "error" } else { "errors" };
    let listed: Vec<String> = found
        .iter()
        .map(|one| {
            let value = one.value.as_ref().map_or("null".to_owned(), |value| format!("'{value}'"));
            format!("Value {value} at '{}' failed to satisfy constraint: Member must {}", one.path, one.rule)
        })
        .collect();
    ApiError::new(code, format!("{} validation {errors} detected: {}", found.len(), listed.join("; ")))
}

fn single(service: Service, one: &Violation) -> ApiError {
    let Some(value) = &one.value else {
        let text = match service {
            Service::Ec2 => format!("The request must contain the parameter {}", one.name),
            _ => format!("The parameter {} is required.", one.name),
        };
        return ApiError::new("MissingParameter", text);
    };
    let text = match service {
        Service::Ec2 => format!("Value ({value}) for parameter {} is invalid. Parameter must {}.", one.name, one.rule),
        _ => format!("The value {value} for parameter {} is invalid. Parameter must {}.", one.name, one.rule),
    };
    ApiError::new("InvalidParameterValue", text)
}

struct Check {
    service: Service,
    found: Vec<Violation>,
    path: String,
}

impl Check {
    fn members(&mut self, members: &'static [Member], record: &dyn Record) {
        for (index, member) in members.iter().enumerate() {
            let view = record.field(index).view();
            let missing = match &view {
                View::Absent => true,
                View::List(list) => list.count() == 0,
                View::Map(map) => map.count() == 0,
                _ => false,
            };
            let before = self.path.len();
            self.enter(member);
            if !missing {
                self.value(member.shape, view);
            } else if member.required {
                self.report(None, "not be null".to_owned());
            }
            self.path.truncate(before);
        }
    }

    fn enter(&mut self, member: &Member) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        if matches!(self.service, Service::Ec2 | Service::CloudWatch) {
            self.path.push_str(if self.service == Service::Ec2 { member.query } else { member.name });
            return;
        }
        // AWS writes the paths of its validation texts in lower camel case.
        let mut chars = member.name.chars();
        self.path.extend(chars.next().map(|first| first.to_ascii_lowercase()));
        self.path.push_str(chars.as_str());
    }

    fn report(&mut self, value: Option<String>, rule: String) {
        if self.found.len() < VIOLATIONS_MAX {
            let path = self.path.clone();
            self.found.push(Violation { name: path.clone(), path, value, rule });
        }
    }

    fn value(&mut self, shape: &'static Shape, view: View<'_>) {
        match (shape, view) {
            (Shape::Struct(shape), View::Record(record)) => self.members(shape.members, record),
            (Shape::List(shape), View::List(list)) => {
                self.length(shape.length, list.count() as u64, || "[...]".to_owned());
                let before = self.path.len();
                for index in 0..list.count() {
                    let number = index + 1;
                    let step = match self.service {
                        Service::Ec2 => format!(".{number}"),
                        _ => format!(".{number}.member"),
                    };
                    self.path.push_str(&step);
                    self.value(shape.member, list.entry(index));
                    self.path.truncate(before);
                }
            }
            (Shape::Map(shape), View::Map(map)) => {
                self.length(shape.length, map.count() as u64, || "{...}".to_owned());
                let before = self.path.len();
                map.each(&mut |key, value| {
                    self.path.push('.');
                    self.path.extend(key.chars().take(VALUE_CHARS_MAX));
                    self.path.push_str(".member");
                    self.value(shape.value, value);
                    self.path.truncate(before);
                });
            }
            (Shape::String(shape), View::String(text)) => {
                let limited = shape.length.min.is_some() || shape.length.max.is_some();
                if limited {
                    self.length(shape.length, text.chars().count() as u64, || echo(text));
                }
                let checked = (1..=ENUMERATION_MAX).contains(&shape.allowed.len());
                if checked && !shape.allowed.contains(&text) {
                    let rule = format!("satisfy enum value set: [{}]", enumeration(shape.allowed));
                    self.report(Some(echo(text)), rule);
                }
            }
            (Shape::Blob(length), View::Blob(bytes)) => {
                self.length(*length, bytes.len() as u64, || "(bytes)".to_owned())
            }
            (Shape::Integer(range), View::Integer(number)) => {
                self.range(*range, f64::from(number), &number.to_string())
            }
            (Shape::Long(range), View::Long(number)) => self.range(*range, number as f64, &number.to_string()),
            (Shape::Float(range), View::Float(number)) => self.range(*range, f64::from(number), &number.to_string()),
            (Shape::Double(range), View::Double(number)) => self.range(*range, number, &number.to_string()),
            _ => {}
        }
    }

    fn length(&mut self, limits: Length, count: u64, value: impl Fn() -> String) {
        if let Some(max) = limits.max.filter(|&max| count > max) {
            self.report(Some(value()), format!("have length less than or equal to {max}"));
        }
        if let Some(min) = limits.min.filter(|&min| count < min) {
            self.report(Some(value()), format!("have length greater than or equal to {min}"));
        }
    }

    fn range(&mut self, limits: Range, number: f64, text: &str) {
        if let Some(max) = limits.max.filter(|&max| number > max) {
            self.report(Some(text.to_owned()), format!("have value less than or equal to {max}"));
        }
        if let Some(min) = limits.min.filter(|&min| number < min) {
            self.report(Some(text.to_owned()), format!("have value greater than or equal to {min}"));
        }
    }
}

fn echo(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).collect()
}

/// The allowed values; long sets, such as instance types, are cut.
fn enumeration(allowed: &[&str]) -> String {
    const SHOWN_MAX: usize = 60;
    let mut text = allowed[..allowed.len().min(SHOWN_MAX)].join(", ");
    if allowed.len() > SHOWN_MAX {
        text.push_str(", ...");
    }
    text
}
