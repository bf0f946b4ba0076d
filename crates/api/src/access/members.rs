//! Members of requests by their names, whatever the operation: paths such as
//! `InstanceCreditSpecifications.InstanceId`, found once in the schema and
//! then read by position. Lists along the way are gone through.

use elastane_wire::Timestamp;
use elastane_wire::schema::Shape;
use elastane_wire::value::{Record, View};
use std::borrow::Cow;

/// The way to a member: positions within nested structures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<usize>);

impl Path {
    /// The path of dotted names; `None` when the schema has no such member.
    pub fn find(shape: &Shape, names: &str) -> Option<Path> {
        let mut at = shape;
        let mut steps = Vec::new();
        for name in names.split('.') {
            while let Shape::List(list) = at {
                at = list.member;
            }
            let Shape::Struct(shape) = at else { return None };
            let index = shape.members.iter().position(|member| member.name == name)?;
            steps.push(index);
            at = shape.members[index].shape;
        }
        Some(Path(steps))
    }

    /// Visits the texts that the member holds: one for each scalar, none for
    /// what is absent or empty, a structure or a map.
    pub fn texts<'a>(&self, record: &'a dyn Record, visit: &mut dyn FnMut(Cow<'a, str>)) {
        self.each(record, &mut |view| {
            if let Some(text) = text(view).filter(|text| !text.is_empty()) {
                visit(text);
            }
        });
    }

    /// Whether the member holds anything.
    pub fn any(&self, record: &dyn Record) -> bool {
        let mut found = false;
        self.each(record, &mut |view| {
            found |= match view {
                View::Absent => false,
                View::String(text) => !text.is_empty(),
                View::Map(map) => map.count() > 0,
                View::List(list) => list.count() > 0,
                View::Record(_)
                | View::Boolean(_)
                | View::Integer(_)
                | View::Long(_)
                | View::Float(_)
                | View::Double(_)
                | View::Blob(_)
                | View::Timestamp(_) => true,
            };
        });
        found
    }

    /// Visits what the member holds: each entry of a list by itself.
    fn each<'a>(&self, record: &'a dyn Record, visit: &mut dyn FnMut(View<'a>)) {
        walk(View::Record(record), &self.0, visit);
    }
}

fn walk<'a>(view: View<'a>, steps: &[usize], visit: &mut dyn FnMut(View<'a>)) {
    match (view, steps) {
        (View::List(list), _) => (0..list.count()).for_each(|index| walk(list.entry(index), steps, visit)),
        (view, []) => visit(view),
        (View::Record(record), [index, rest @ ..]) => walk(record.field(*index).view(), rest, visit),
        (_, _) => {}
    }
}

/// A scalar as condition keys have it.
fn text(view: View<'_>) -> Option<Cow<'_, str>> {
    match view {
        View::String(text) => Some(Cow::Borrowed(text)),
        View::Boolean(yes) => Some(Cow::Borrowed(if yes { "true" } else { "false" })),
        View::Integer(number) => Some(Cow::Owned(number.to_string())),
        View::Long(number) => Some(Cow::Owned(number.to_string())),
        View::Float(number) => Some(Cow::Owned(number.to_string())),
        View::Double(number) => Some(Cow::Owned(number.to_string())),
        View::Timestamp(Timestamp(millis)) => Some(Cow::Owned(elastane_domain::time::Time(millis).iso_seconds())),
        View::Absent | View::Blob(_) | View::Record(_) | View::List(_) | View::Map(_) => None,
    }
}

/// The member of a name, with its schema.
pub fn member<'a>(shape: &'static Shape, record: &'a dyn Record, name: &str) -> Option<(&'static Shape, View<'a>)> {
    let Shape::Struct(shape) = shape else { return None };
    let index = shape.members.iter().position(|member| member.name == name)?;
    Some((shape.members[index].shape, record.field(index).view()))
}

/// The text of a structure's member; `None` when it is absent or no text.
pub fn text_of<'a>(shape: &'static Shape, record: &'a dyn Record, name: &str) -> Option<&'a str> {
    match member(shape, record, name)?.1 {
        View::String(text) => Some(text),
        _ => None,
    }
}

/// The structures of a list, with their schema.
pub fn records<'a>(found: Option<(&'static Shape, View<'a>)>) -> Vec<(&'static Shape, &'a dyn Record)> {
    let Some((Shape::List(shape), View::List(list))) = found else { return Vec::new() };
    let record = |index| match list.entry(index) {
        View::Record(record) => Some((shape.member, record)),
        _ => None,
    };
    (0..list.count()).filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_wire::{Input, Operation, ec2};

    /// Names lead through structures and lists; a name that is not there is found out.
    #[test]
    fn paths() {
        let shape = Operation::Ec2RunInstances.info().input;
        let input: Input = Input::Ec2RunInstances(Box::new(ec2::RunInstancesRequest {
            max_count: Some(3),
            network_interfaces: vec![
                ec2::InstanceNetworkInterfaceSpecification {
                    groups: vec!["sg-1".to_string(), "sg-2".to_string()],
                    ..Default::default()
                },
                ec2::InstanceNetworkInterfaceSpecification { groups: vec!["sg-3".to_string()], ..Default::default() },
            ],
            ..Default::default()
        }));
        for (path, want) in [
            ("NetworkInterfaces.Groups", "sg-1 sg-2 sg-3"),
            ("NetworkInterfaces.SubnetId", ""),
            ("MaxCount", "3"),
            ("MinCount", ""),
        ] {
            let mut found = Vec::new();
            let path = Path::find(shape, path).unwrap();
            path.texts(input.record(), &mut |text| found.push(text.into_owned()));
            assert_eq!(found.join(" "), want, "{path:?}");
            assert_eq!(path.any(input.record()), !want.is_empty(), "{path:?}");
        }
        assert_eq!(Path::find(shape, "NetworkInterfaces.Nothing"), None);
        assert_eq!(Path::find(shape, "MaxCount.Nothing"), None);
    }
}
