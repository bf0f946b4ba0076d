//! The network interfaces of a launch: which are made, which exist, and the
//! addresses of each instance.

use super::{LAUNCH_MAX, Refusal, placement};
use crate::network::{self, PublicAddresses};
use crate::row::*;
use crate::state::{Tx, View};
use elastane_domain::id::*;
use elastane_domain::network::Cidr;
use elastane_domain::types::InstanceType;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// One interface of every instance of a launch, checked.
#[derive(Clone, Debug)]
pub(super) struct Card {
    device: u16,
    /// The interface that is attached, with its primary address; `None` for a new one.
    existing: Option<(String, Ipv4Addr)>,
    vpc: VpcId,
    pub subnet: SubnetId,
    pub cidr: Cidr,
    pub zone: Zone,
    groups: Vec<SecurityGroupId>,
    description: String,
    primary: Option<Ipv4Addr>,
    secondary: Vec<Ipv4Addr>,
    secondary_count: u16,
    public: bool,
    delete_on_termination: bool,
    tags: Tags,
}

/// The interfaces that `data` asks for, the primary one first.
pub(super) fn resolve(
    view: &View<'_>,
    data: &LaunchData,
    (kind, zone): (&InstanceType, Option<&Zone>),
) -> Result<Vec<Card>, Refusal> {
    if data.interfaces.is_empty() {
        let choice = InterfaceChoice {
            subnet: data.subnet.clone(),
            groups: data.security_groups.clone(),
            primary: data.private_ip,
            ..InterfaceChoice::default()
        };
        return Ok(vec![new_card(view, data, &choice, zone)?]);
    }
    let mut choices: Vec<&InterfaceChoice> = data.interfaces.iter().collect();
    choices.sort_by_key(|choice| choice.device);
    check_devices(&choices, kind)?;
    let mut cards = Vec::new();
    for choice in choices {
        cards.push(match &choice.existing {
            Some(id) => existing_card(view, id, choice)?,
            None => new_card(view, data, choice, zone)?,
        });
    }
    if let Some(other) = cards.iter().find(|card| card.zone != cards[0].zone || card.vpc != cards[0].vpc) {
        let message = format!(
            "Interfaces of one instance are in one availability zone and VPC: '{}' and '{}' are not.",
            cards[0].subnet, other.subnet
        );
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    Ok(cards)
}

fn check_devices(choices: &[&InterfaceChoice], kind: &InstanceType) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new("InvalidParameterValue", message));
    let (interfaces_max, addresses_max) = kind.interface_limits();
    if choices.len() > usize::from(interfaces_max) {
        let message = format!("Interface count {} exceeds the limit for {}", choices.len(), kind.name);
        return Err(Refusal::new("AttachmentLimitExceeded", message));
    }
    let addresses = |choice: &InterfaceChoice| 1 + choice.secondary.len() + usize::from(choice.secondary_count);
    if choices.iter().any(|choice| addresses(choice) > usize::from(addresses_max)) {
        let message = format!("An interface of {} has at most {addresses_max} private IP addresses.", kind.name);
        return Err(Refusal::new("PrivateIpAddressLimitExceeded", message));
    }
    if choices[0].device != 0 {
        return invalid("When specifying network interfaces, you must include a device at index 0.");
    }
    if choices.windows(2).any(|pair| pair[0].device == pair[1].device) {
        return invalid("Each network interface requires a unique device index.");
    }
    if choices.len() > 1 && choices.iter().any(|choice| choice.public == Some(true)) {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
        ));
    }
    Ok(())
}

fn new_card(
    view: &View<'_>,
    data: &LaunchData,
    choice: &InterfaceChoice,
    zone: Option<&Zone>,
) -> Result<Card, Refusal> {
    // A group's subnet takes the place of the one in its template's interfaces.
    let subnet = match data.subnet.as_ref().or(choice.subnet.as_ref()) {
        Some(id) => placement::subnet(view, id)?,
        None => placement::default_subnet(view, zone)?,
    };
    if let Some(zone) = zone
        && subnet.zone != *zone
    {
        let message =
            format!("The subnet '{}' is in the availability zone '{}', not in '{zone}'", subnet.id, subnet.zone);
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    let groups = security_groups(view, data, &choice.groups, subnet)?;
    let alone = data.interfaces.len() <= 1;
    Ok(Card {
        device: choice.device,
        existing: None,
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        cidr: subnet.cidr,
        zone: subnet.zone.clone(),
        groups,
        description: choice.description.clone(),
        primary: choice.primary,
        secondary: choice.secondary.clone(),
        secondary_count: choice.secondary_count,
        public: alone && choice.public.unwrap_or(subnet.public_on_launch),
        delete_on_termination: choice.delete_on_termination.unwrap_or(true),
        tags: data.tags.get("network-interface").cloned().unwrap_or_default(),
    })
}

fn existing_card(view: &View<'_>, id: &str, choice: &InterfaceChoice) -> Result<Card, Refusal> {
    let not_found =
        || Refusal::new("InvalidNetworkInterfaceID.NotFound", format!("The networkInterface ID '{id}' does not exist"));
    let row = view.get::<NetworkInterface>(id).filter(|row| row.owner == InterfaceOwner::User).ok_or_else(not_found)?;
    if row.attachment.is_some() {
        let message = format!("Interface: [{id}] in use.");
        return Err(Refusal::new("InvalidNetworkInterface.InUse", message));
    }
    let of_its_own = choice.subnet.is_some()
        || !choice.groups.is_empty()
        || choice.primary.is_some()
        || !choice.secondary.is_empty()
        || choice.secondary_count > 0
        || choice.public.is_some()
        || !choice.description.is_empty();
    if of_its_own {
        let message = "A network interface may not specify both a network interface ID and a subnet, security groups, \
                       private IP addresses, a public IP address or a description";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    let subnet = placement::subnet(view, &row.subnet)?;
    Ok(Card {
        device: choice.device,
        existing: Some((id.to_string(), row.primary())),
        vpc: row.vpc.clone(),
        subnet: row.subnet.clone(),
        cidr: subnet.cidr,
        zone: row.zone.clone(),
        groups: row.groups.clone(),
        description: row.description.clone(),
        primary: None,
        secondary: Vec::new(),
        secondary_count: 0,
        public: false,
        delete_on_termination: choice.delete_on_termination.unwrap_or(false),
        tags: row.tags.clone(),
    })
}

/// Groups by id and, for an instance's only interface, by name; the VPC's
/// default group when there are none.
fn security_groups(
    view: &View<'_>,
    data: &LaunchData,
    ids: &[SecurityGroupId],
    subnet: &Subnet,
) -> Result<Vec<SecurityGroupId>, Refusal> {
    let vpc = &subnet.vpc;
    let unknown = |named: &str| {
        let message = format!("The security group '{named}' does not exist in VPC '{vpc}'");
        Refusal::new("InvalidGroup.NotFound", message)
    };
    let mut found = BTreeSet::new();
    for id in ids {
        let group = view.get::<SecurityGroup>(id.as_str()).ok_or_else(|| unknown(id.as_str()))?;
        check_network(group, vpc, &subnet.id)?;
        found.insert(group.id.clone());
    }
    for name in data.security_group_names.iter().filter(|_| data.interfaces.is_empty()) {
        let group = view.all::<SecurityGroup>().find(|group| group.vpc == *vpc && group.name == *name);
        found.insert(group.ok_or_else(|| unknown(name))?.id.clone());
    }
    if found.is_empty() {
        found.extend(network::default_security_group(view, vpc).map(|group| group.id.clone()));
    }
    Ok(found.into_iter().collect())
}

/// Whether a security group can guard interfaces of a subnet of this VPC.
///
/// # Errors
/// `InvalidParameter`, as EC2 says of a group that is there but elsewhere.
pub fn check_network(group: &SecurityGroup, vpc: &VpcId, subnet: &SubnetId) -> Result<(), Refusal> {
    if group.vpc == *vpc {
        return Ok(());
    }
    let message = format!("Security group {} and subnet {subnet} belong to different networks.", group.id);
    Err(Refusal::new("InvalidParameter", message))
}

/// A launch that names an address or an existing interface is one of a single instance.
pub(super) fn check_single(cards: &[Card], count_max: u32) -> Result<(), Refusal> {
    let named = |card: &Card| card.primary.is_some() || !card.secondary.is_empty() || card.existing.is_some();
    if count_max > 1 && cards.iter().any(named) {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "Only one instance can be launched when a private IP address or a network interface ID is specified.",
        ));
    }
    Ok(())
}

/// The addresses of each card of each instance: of as many instances as fit.
pub(super) type Addresses = Vec<Vec<Vec<Ipv4Addr>>>;

/// Addresses for at most `count_max` instances, and for at least `count_min`.
pub(super) fn addresses(
    view: &View<'_>,
    cards: &[Card],
    (count_min, count_max): (u32, u32),
) -> Result<Addresses, Refusal> {
    let mut free = Free::default();
    let mut found = Addresses::new();
    while found.len() < count_max.min(LAUNCH_MAX) as usize {
        let mut of_instance = Vec::new();
        for card in cards {
            match free.take(view, card)? {
                Some(addresses) => of_instance.push(addresses),
                None if found.len() < count_min as usize => {
                    let message = format!(
                        "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                        card.subnet
                    );
                    return Err(Refusal::new("InsufficientFreeAddressesInSubnet", message));
                }
                None => return Ok(found),
            }
        }
        found.push(of_instance);
    }
    Ok(found)
}

/// Addresses that are taken by now, and the last that was given, by subnet.
#[derive(Default)]
struct Free(BTreeMap<SubnetId, (BTreeSet<Ipv4Addr>, Option<Ipv4Addr>)>);

impl Free {
    /// Addresses of one interface; `None` when the subnet is full.
    fn take(&mut self, view: &View<'_>, card: &Card) -> Result<Option<Vec<Ipv4Addr>>, Refusal> {
        if let Some((_, primary)) = &card.existing {
            return Ok(Some(vec![*primary]));
        }
        let (taken, last) =
            self.0.entry(card.subnet.clone()).or_insert_with(|| (network::taken(view, &card.subnet), None));
        for address in card.primary.iter().chain(&card.secondary) {
            if !card.cidr.contains(*address) || card.cidr.reserves(*address) {
                let message = format!("Address {address} does not fall within the subnet's address range");
                return Err(Refusal::new("InvalidParameterValue", message));
            }
            if !taken.insert(*address) {
                return Err(Refusal::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
            }
        }
        let mut next = || {
            let address = card.cidr.next_free_after(*last, taken)?;
            taken.insert(address);
            *last = Some(address);
            Some(address)
        };
        let Some(primary) = card.primary.or_else(&mut next) else { return Ok(None) };
        let mut found = vec![primary];
        found.extend(&card.secondary);
        for _ in 0..card.secondary_count {
            let Some(address) = next() else { return Ok(None) };
            found.push(address);
        }
        Ok(Some(found))
    }
}

/// Makes or attaches one interface of an instance; its id. `public` are the
/// public addresses of the launch, from the first one that is asked for.
pub(super) fn put(
    tx: &mut Tx<'_>,
    instance: &InstanceId,
    (card, addresses): (&Card, Vec<Ipv4Addr>),
    public: &mut Option<PublicAddresses>,
) -> String {
    let attachment = |tx: &mut Tx<'_>| Attachment {
        id: tx.rng.id("eni-attach-"),
        instance: instance.clone(),
        device: card.device,
        delete_on_termination: card.delete_on_termination,
        attached_at: tx.now,
    };
    if let Some((id, _)) = &card.existing {
        let attachment = attachment(tx);
        tx.update(id, |row: &mut NetworkInterface| row.attachment = Some(attachment));
        return id.clone();
    }
    let id = tx.rng.id("eni-");
    let attachment = attachment(tx);
    let public_ip = if card.public { public.get_or_insert_with(|| PublicAddresses::free(tx)).take() } else { None };
    let created_at = tx.now;
    tx.put(NetworkInterface {
        id: id.clone(),
        vpc: card.vpc.clone(),
        subnet: card.subnet.clone(),
        zone: card.zone.clone(),
        description: card.description.clone(),
        addresses,
        groups: card.groups.clone(),
        source_dest_check: true,
        owner: InterfaceOwner::User,
        attachment: Some(attachment),
        public_ip,
        created_at,
        client_token: None,
        tags: card.tags.clone(),
    });
    id
}

/// The VPC of the interfaces.
pub(super) fn vpc(cards: &[Card]) -> &VpcId {
    &cards[0].vpc
}
