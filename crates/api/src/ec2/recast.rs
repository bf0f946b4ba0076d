//! Shapes by their members' names. RunInstances and launch templates say the
//! same in different shapes whose members have the same names, so that one
//! can be read as the other; and what a request sets besides what is
//! implemented can be found without naming every member of the model.

use super::errors;
use elastane_wire::ApiError;
use elastane_wire::schema::{Shape, Struct};
use elastane_wire::value::{Place, Record, View};

/// Values that ask for what happens anyway, by the name of their member.
const HARMLESS: &[(&str, &str)] = &[
    ("AutoRecovery", "default"),
    ("CapacityReservationPreference", "none"),
    ("CapacityReservationPreference", "open"),
    ("HostnameType", "ip-name"),
    ("HttpProtocolIpv6", "disabled"),
    ("InterfaceType", "interface"),
    ("Tenancy", "default"),
];

/// Copies every member of `from` that `to` has by the same name and type.
pub fn recast(from: (&Shape, &dyn Record), to: (&Shape, &mut dyn Record)) {
    recast_but(from, to, None);
}

/// Likewise, but for one.
pub fn recast_but(from: (&Shape, &dyn Record), to: (&Shape, &mut dyn Record), but: Option<&str>) {
    let (Shape::Struct(from_shape), Shape::Struct(to_shape)) = (from.0, to.0) else { return };
    for (index, member) in from_shape.members.iter().enumerate() {
        let view = from.1.field(index).view();
        if is_absent(&view) || but == Some(member.name) {
            continue;
        }
        let place = match std::ptr::eq(from_shape, to_shape) {
            true => Some(index),
            false => to_shape.members.iter().position(|other| other.name == member.name),
        };
        if let Some(at) = place {
            copy((member.shape, view), (to_shape.members[at].shape, to.1.field_mut(at).place()));
        }
    }
}

/// Gives `to` the members of `from`, a record of the same shape, that it does
/// not set itself.
pub fn fill(shape: &Shape, from: &dyn Record, to: &mut dyn Record) {
    for (index, member) in shape.members().iter().enumerate() {
        let given = from.field(index).view();
        if is_absent(&to.field(index).view()) && !is_absent(&given) {
            copy((member.shape, given), (member.shape, to.field_mut(index).place()));
        }
    }
}

/// Whether there is nothing to copy.
fn is_absent(view: &View<'_>) -> bool {
    match view {
        View::Absent => true,
        View::List(list) => list.count() == 0,
        _ => false,
    }
}

fn copy(from: (&Shape, View<'_>), to: (&Shape, Place<'_>)) {
    match (from.1, to.1) {
        (View::String(value), Place::String(place)) => *place = value.to_string(),
        (View::Boolean(value), Place::Boolean(place)) => *place = value,
        (View::Integer(value), Place::Integer(place)) => *place = value,
        (View::Long(value), Place::Long(place)) => *place = value,
        (View::Timestamp(value), Place::Timestamp(place)) => *place = value,
        (View::Record(value), Place::Record(place)) => recast((from.0, value), (to.0, place)),
        (View::List(list), Place::List(place)) => {
            let (Shape::List(from_list), Shape::List(to_list)) = (from.0, to.0) else { return };
            for index in 0..list.count() {
                copy((from_list.member, list.entry(index)), (to_list.member, place.add()));
            }
        }
        // EC2's requests have no other types, and none that differ by shape.
        _ => {}
    }
}

/// Refuses a record that sets a member besides those in `supported`: an
/// `UnsupportedOperation` that names it. False, zero, empty and values that
/// ask for what happens anyway count as not set.
pub fn only(shape: &Shape, record: &dyn Record, supported: &[&str]) -> Result<(), ApiError> {
    only_of(shape, record, &[supported])
}

/// Likewise, with several lists of members that are supported.
pub fn only_of(shape: &Shape, record: &dyn Record, supported: &[&[&str]]) -> Result<(), ApiError> {
    let Shape::Struct(Struct { members, .. }) = shape else { return Ok(()) };
    for (index, member) in members.iter().enumerate() {
        let view = record.field(index).view();
        // Most members are absent: that is found out sooner than their names.
        if !is_absent(&view)
            && !supported.iter().any(|list| list.contains(&member.name))
            && says_something(member.shape, member.name, view)
        {
            return Err(errors::unsupported(&format!("The parameter '{}'", member.query)));
        }
    }
    Ok(())
}

fn says_something(shape: &Shape, name: &str, view: View<'_>) -> bool {
    match view {
        View::Absent | View::Boolean(false) | View::Integer(0) | View::Long(0) => false,
        View::String(text) => !text.is_empty() && !HARMLESS.contains(&(name, text)),
        View::List(list) => list.count() > 0,
        View::Map(map) => map.count() > 0,
        View::Blob(bytes) => !bytes.is_empty(),
        View::Record(record) => {
            let Shape::Struct(Struct { members, .. }) = shape else { return true };
            members
                .iter()
                .enumerate()
                .any(|(index, member)| says_something(member.shape, member.name, record.field(index).view()))
        }
        View::Boolean(true)
        | View::Integer(_)
        | View::Long(_)
        | View::Float(_)
        | View::Double(_)
        | View::Timestamp(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elastane_wire::ec2 as wire;

    /// What only says what happens anyway passes; the first other member is named.
    #[test]
    fn unsupported_members_are_named() {
        let check = |input: &wire::RunInstancesRequest| only(&wire::RUN_INSTANCES_REQUEST, input, &["ImageId"]);
        let mut input = wire::RunInstancesRequest { image_id: Some("ami".into()), ..Default::default() };
        input.hibernation_options = Some(wire::HibernationOptionsRequest { configured: Some(false) });
        input.maintenance_options =
            Some(wire::InstanceMaintenanceOptionsRequest { auto_recovery: Some("default".into()) });
        assert_eq!(check(&input), Ok(()));
        input.enclave_options = Some(wire::EnclaveOptionsRequest { enabled: Some(true) });
        let err = check(&input).expect_err("not supported");
        assert_eq!((err.code.as_ref(), err.message.contains("EnclaveOptions")), ("UnsupportedOperation", true));
    }
}
