//! What can have tags: rows with tags of their own, and rules and volumes,
//! which live in the rows they belong to.

use super::errors;
use elastane_engine::row::*;
use elastane_engine::{Tx, View};
use elastane_wire::ApiError;
use std::sync::Arc;

/// Something with tags.
pub(super) struct Tagged<'a> {
    /// Its id.
    pub id: &'a str,
    /// AWS's word for its kind.
    pub kind: &'static str,
    /// Its tags.
    pub tags: &'a Tags,
}

/// Changes the tags of the row of a name.
type Edit = fn(&mut Tx<'_>, &str, &mut dyn FnMut(&mut Tags));

/// A kind of row with tags of its own.
struct Kind {
    prefix: &'static str,
    /// The code for an unknown one.
    not_found: &'static str,
    /// The row's name, if it is there.
    find: fn(&View<'_>, &str) -> Option<String>,
    edit: Edit,
}

macro_rules! kinds {
    ($($row:ident ($field:ident) $prefix:literal $word:literal $not_found:literal;)*) => {
        const KINDS: &[Kind] = &[$(Kind {
            prefix: $prefix,
            not_found: $not_found,
            find: |view, id| {
                // Nearly all rows are named by their ids.
                let direct = view.get::<$row>(id);
                let row = direct.or_else(|| view.all::<$row>().find(|row| text(&row.$field) == id));
                row.filter(|row| visible(&AnyRow::$row(Arc::clone(row)))).map(|row| Row::id(row.as_ref()))
            },
            edit: |tx, name, change| tx.update(name, |row: &mut $row| change(&mut row.tags)),
        }),*];

        fn of_rows<'a>(view: &View<'a>) -> impl Iterator<Item = Tagged<'a>> + use<'a> {
            let mut found = Vec::new();
            $(found.extend(
                view.all::<$row>()
                    .filter(|row| visible(&AnyRow::$row(Arc::clone(row))))
                    .map(|row| Tagged { id: text(&row.$field), kind: $word, tags: &row.tags }),
            );)*
            found.into_iter()
        }
    };
}

kinds! {
    Vpc (id) "vpc-" "vpc" "InvalidVpcID.NotFound";
    Subnet (id) "subnet-" "subnet" "InvalidSubnetID.NotFound";
    SecurityGroup (id) "sg-" "security-group" "InvalidGroup.NotFound";
    KeyPair (id) "key-" "key-pair" "InvalidKeyPair.NotFound";
    Image (id) "ami-" "image" "InvalidAMIID.NotFound";
    Snapshot (id) "snap-" "snapshot" "InvalidSnapshot.NotFound";
    LaunchTemplate (id) "lt-" "launch-template" "InvalidLaunchTemplateId.NotFound";
    Instance (id) "i-" "instance" "InvalidInstanceID.NotFound";
    SpotRequest (id) "sir-" "spot-instances-request" "InvalidSpotInstanceRequestID.NotFound";
    NetworkInterface (id) "eni-" "network-interface" "InvalidNetworkInterfaceID.NotFound";
    InternetGateway (id) "igw-" "internet-gateway" "InvalidInternetGatewayID.NotFound";
    RouteTable (id) "rtb-" "route-table" "InvalidRouteTableID.NotFound";
    Address (id) "eipalloc-" "elastic-ip" "InvalidAllocationID.NotFound";
    NatGateway (id) "nat-" "natgateway" "NatGatewayNotFound";
    DhcpOptions (id) "dopt-" "dhcp-options" "InvalidDhcpOptionID.NotFound";
    PrefixList (id) "pl-" "prefix-list" "InvalidPrefixListID.NotFound";
    PlacementGroup (id) "pg-" "placement-group" "InvalidPlacementGroup.Unknown";
    FlowLog (id) "fl-" "vpc-flow-log" "InvalidFlowLogId.NotFound";
}

/// The text of an id, whatever its type.
fn text<T: std::borrow::Borrow<str>>(id: &T) -> &str {
    id.borrow()
}

/// Whether clients see the row at all.
fn visible(row: &AnyRow) -> bool {
    !matches!(row, AnyRow::Image(image) if !elastane_engine::images::shown(image))
}

/// Everything that can have tags, terminated instances included.
pub(super) fn all<'a>(view: &View<'a>) -> impl Iterator<Item = Tagged<'a>> + use<'a> {
    let rules = view.all::<SecurityGroup>().flat_map(|group| {
        group.rules.iter().map(|rule| Tagged { id: &rule.id, kind: "security-group-rule", tags: &rule.tags })
    });
    let volumes =
        view.all::<Instance>().map(|row| Tagged { id: &row.root_volume, kind: "volume", tags: &row.volume_tags });
    of_rows(view).chain(rules).chain(volumes)
}

/// Where a resource's tags are.
pub(super) enum Place {
    /// In a row of its own: the place of its kind, and the row's name.
    Row(usize, String),
    /// In the group that holds the rule.
    Rule(String),
    /// In the instance that the volume belongs to.
    Volume(String),
}

/// Finds a resource by its id.
pub(super) fn place(view: &View<'_>, id: &str) -> Result<Place, ApiError> {
    let prefix = id.find('-').map_or("", |dash| &id[..=dash]);
    let (code, found) = match prefix {
        "sgr-" => {
            let mut groups = view.all::<SecurityGroup>();
            let holder = groups.find(|group| group.rules.iter().any(|rule| rule.id == id));
            ("InvalidSecurityGroupRuleId.NotFound", holder.map(|group| Place::Rule(group.id.to_string())))
        }
        "vol-" => {
            let owner = view.all::<Instance>().find(|row| row.root_volume == id);
            ("InvalidVolume.NotFound", owner.map(|row| Place::Volume(row.id.to_string())))
        }
        prefix => {
            let Some(index) = KINDS.iter().position(|kind| kind.prefix == prefix) else {
                return Err(ApiError::new("InvalidID", format!("The ID '{id}' is not valid")));
            };
            let kind = &KINDS[index];
            (kind.not_found, (kind.find)(view, id).map(|name| Place::Row(index, name)))
        }
    };
    errors::check_id(prefix, "InvalidID", id)?;
    found.ok_or_else(|| ApiError::new(code, format!("The {} ID '{id}' does not exist", prefix.trim_end_matches('-'))))
}

/// Changes the tags of a resource.
pub(super) fn edit(tx: &mut Tx<'_>, id: &str, place: &Place, change: &mut dyn FnMut(&mut Tags)) {
    match place {
        Place::Row(index, name) => (KINDS[*index].edit)(tx, name, change),
        Place::Rule(group) => tx.update(group, |row: &mut SecurityGroup| {
            if let Some(rule) = row.rules.iter_mut().find(|rule| rule.id == id) {
                change(&mut rule.tags);
            }
        }),
        Place::Volume(instance) => tx.update(instance, |row: &mut Instance| change(&mut row.volume_tags)),
    }
}
