//! The kinds of rows. A row keeps *goal* (what was asked) and *phase* (what
//! the world was told, with its data in the variant); the last fact from the
//! world is kept in memory only, in [`crate::Seen`].

mod autoscaling;
mod certificates;
mod ec2;
mod identity;
mod keys;
mod load_balancing;
mod monitoring;
mod network;
mod systems;

pub use autoscaling::*;
pub use certificates::*;
pub use ec2::*;
pub use identity::*;
pub use keys::*;
pub use load_balancing::*;
pub use monitoring::*;
pub use network::*;
pub use systems::*;

use crate::state::Tables;
use crate::store::{self, RowError};
use crate::table::Table;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// A kind of row.
pub trait Row: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Which kind it is.
    const KIND: Kind;
    /// The version of its stored form; grows when old bytes no longer fit.
    const VERSION: u32 = 1;

    /// Its name within a scope.
    fn id(&self) -> String;

    /// The stored form of version `from` as one of version `from + 1`; `None`
    /// when there never was such a version.
    fn upgrade(_from: u32, _row: Value) -> Option<Value> {
        None
    }

    /// Its table.
    fn table(tables: &Tables) -> &Table<Self>;

    /// Its table, to change.
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;

    /// The row as one of any kind.
    fn any(row: Arc<Self>) -> AnyRow;
}

macro_rules! kinds {
    ($($kind:ident $table:ident $name:literal;)*) => {
        /// The kinds of rows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`")] $kind,)*
        }

        impl Kind {
            /// The name in the store's keys.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// The kind of a name.
            pub fn from_name(name: &str) -> Option<Kind> {
                match name { $($name => Some(Kind::$kind),)* _ => None }
            }
        }

        /// A row of any kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyRow {
            $(#[doc = concat!("`", $name, "`")] $kind(Arc<$kind>),)*
        }

        impl AnyRow {
            /// Its bytes in the store.
            pub fn encode(&self) -> Vec<u8> {
                match self { $(AnyRow::$kind(row) => store::encode(row.as_ref()),)* }
            }

            /// The row of a kind from its bytes.
            pub fn decode(kind: Kind, key: &str, bytes: &[u8]) -> Result<AnyRow, RowError> {
                match kind { $(Kind::$kind => store::decode(key, bytes).map(AnyRow::$kind),)* }
            }

            /// Puts it into its table.
            pub fn insert(self, id: String, tables: &mut Tables) {
                match self { $(AnyRow::$kind(row) => { tables.$table.insert(&id, row); })* }
            }
        }

        impl Tables {
            /// Kind and id of every row.
            pub(crate) fn keys(&self) -> Vec<(Kind, String)> {
                let mut keys = Vec::new();
                $(keys.extend(self.$table.keys().map(|id| (Kind::$kind, id.to_string())));)*
                keys
            }

            /// Takes a row of any kind out.
            pub fn remove(&mut self, kind: Kind, id: &str) {
                match kind { $(Kind::$kind => drop(self.$table.remove(id)),)* }
            }
        }

        $(impl $kind {
            pub(crate) const ROW_KIND: Kind = Kind::$kind;
            pub(crate) fn row_table(tables: &Tables) -> &Table<Self> { &tables.$table }
            pub(crate) fn row_table_mut(tables: &mut Tables) -> &mut Table<Self> { &mut tables.$table }
            pub(crate) fn row_any(row: Arc<Self>) -> AnyRow { AnyRow::$kind(row) }
        })*
    };
}

kinds! {
    Vpc vpcs "vpc";
    Subnet subnets "subnet";
    SecurityGroup security_groups "security-group";
    KeyPair key_pairs "key-pair";
    Image images "image";
    LaunchTemplate launch_templates "launch-template";
    Instance instances "instance";
    Group groups "group";
    Activity activities "activity";
    Policy policies "policy";
    Alarm alarms "alarm";
    LoadBalancer load_balancers "load-balancer";
    Listener listeners "listener";
    TargetGroup target_groups "target-group";
    Target targets "target";
    Command commands "command";
    Session sessions "session";
    InternetGateway internet_gateways "internet-gateway";
    RouteTable route_tables "route-table";
    NetworkInterface interfaces "network-interface";
    Address addresses "address";
    NatGateway nat_gateways "nat-gateway";
    DhcpOptions dhcp_options "dhcp-options";
    PrefixList prefix_lists "prefix-list";
    PlacementGroup placement_groups "placement-group";
    FlowLog flow_logs "flow-log";
    Outage outages "outage";
    SpotRequest spot_requests "spot-request";
    Snapshot snapshots "snapshot";
    Role roles "role";
    InstanceProfile instance_profiles "instance-profile";
    AccountSettings account_settings "account-settings";
    Rule rules "listener-rule";
    TrustStore trust_stores "trust-store";
    Certificate certificates "certificate";
    ServerCertificate server_certificates "server-certificate";
    CertificateSettings certificate_settings "certificate-settings";
    LaunchConfiguration launch_configurations "launch-configuration";
    LifecycleHook lifecycle_hooks "lifecycle-hook";
    ScheduledAction scheduled_actions "scheduled-action";
    InstanceRefresh instance_refreshes "instance-refresh";
    Notification notifications "notification";
    Forecast forecasts "forecast";
    User users "user";
    UserGroup user_groups "user-group";
    ManagedPolicy managed_policies "managed-policy";
    AccessKey access_keys "access-key";
    TemporaryKey temporary_keys "temporary-key";
    AccountAlias account_aliases "account-alias";
    EncryptionKey encryption_keys "encryption-key";
    KeyAlias key_aliases "key-alias";
    Parameter parameters "parameter";
    CommandOutput command_outputs "command-output";
    Document documents "document";
    DocumentVersion document_versions "document-version";
}

/// Ties a struct to its kind; `$id` is the expression of its name. A kind
/// whose stored form has changed names its version and what makes an older
/// form one version newer.
macro_rules! row {
    ($kind:ident, |$row:ident| $id:expr $(, version $version:literal from $upgrade:path)?) => {
        impl crate::row::Row for $kind {
            const KIND: crate::row::Kind = $kind::ROW_KIND;
            $(
                const VERSION: u32 = $version;
                fn upgrade(from: u32, row: serde_json::Value) -> Option<serde_json::Value> {
                    $upgrade(from, row)
                }
            )?
            fn id(&self) -> String {
                let $row = self;
                $id
            }
            fn table(tables: &crate::Tables) -> &crate::Table<Self> {
                $kind::row_table(tables)
            }
            fn table_mut(tables: &mut crate::Tables) -> &mut crate::Table<Self> {
                $kind::row_table_mut(tables)
            }
            fn any(row: std::sync::Arc<Self>) -> crate::row::AnyRow {
                $kind::row_any(row)
            }
        }
    };
}
pub(crate) use row;

/// Tags of a resource: key to value.
pub type Tags = BTreeMap<String, String>;
