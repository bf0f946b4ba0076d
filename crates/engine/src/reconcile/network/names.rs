//! Names that a VPC's resolver answers besides those that follow from
//! addresses (Amazon VPC User Guide, "DNS attributes for your VPC").

use super::Index;
use crate::row::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

impl Index<'_> {
    /// Resource names of instances, their public names where the VPC has such,
    /// and load balancers: all lead to private addresses from inside.
    pub(super) fn names(&self, vpc: &Vpc) -> BTreeMap<String, Vec<Ipv4Addr>> {
        let domain = self.view.scope.private_domain();
        let mut names: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        let mut balancers: BTreeMap<&str, Vec<Ipv4Addr>> = BTreeMap::new();
        for row in self.of_vpc(&vpc.id) {
            if let Some(instance) = self.instance_of(row).filter(|instance| named(instance, row)) {
                names.insert(format!("{}.{domain}", instance.id), vec![row.primary()]);
            }
            if let InterfaceOwner::LoadBalancer(arn) = &row.owner {
                balancers.entry(arn.as_str()).or_default().push(row.primary());
            }
            if vpc.dns_hostnames {
                for private in &row.addresses {
                    if let Some(public) = self.public_ip(row, *private) {
                        names.insert(self.view.scope.public_name(public), vec![*private]);
                    }
                }
            }
        }
        for (arn, mut addresses) in balancers {
            if let Some(row) = self.tables().load_balancers.get(arn) {
                addresses.sort_unstable();
                names.insert(row.dns_name.to_ascii_lowercase(), addresses);
            }
        }
        names
    }

    fn instance_of(&self, row: &NetworkInterface) -> Option<&Instance> {
        let attachment = row.attachment.as_ref()?;
        self.tables().instances.get(attachment.instance.as_str()).map(AsRef::as_ref)
    }
}

/// Whether an instance's resource name leads to this interface: it is the
/// primary one, and the name is the instance's host name or was asked for.
fn named(instance: &Instance, row: &NetworkInterface) -> bool {
    let primary = row.attachment.as_ref().is_some_and(|attachment| attachment.device == 0);
    primary && (instance.private_dns.a_record || instance.private_dns.resource_name)
}
