//! The policies in force of users and roles: gathered when they are first
//! asked for, and kept until a row changes that they are made of. Each request
//! asks for those of its caller.

use super::{Identity, managed, tables};
use crate::row::{Permissions, PolicyText};
use crate::state::{Tables, View};
use elastane_domain::id::AccountId;
use elastane_domain::policy::{Document, Grammar};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The policies of an identity that are in force.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    identity: Vec<PolicyText>,
    boundary: Option<PolicyText>,
}

impl InForce {
    /// What nobody's policies are: one alone, without a boundary.
    pub fn only(policy: PolicyText) -> InForce {
        InForce { identity: vec![policy], boundary: None }
    }

    /// Inline, attached and, of a user, those of its groups.
    pub fn identity(&self) -> Vec<&Document> {
        self.identity.iter().map(|policy| policy.document(Grammar::Identity)).collect()
    }

    /// What bounds them.
    pub fn boundary(&self) -> Option<&Document> {
        self.boundary.as_ref().map(|policy| policy.document(Grammar::Identity))
    }
}

/// What was gathered of an account's identities. No part of its rows: a copy
/// begins anew, and all are equal.
#[derive(Default)]
pub struct Gathered(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// How often the tables had changed that it is made of.
    changes: [u64; 4],
    users: BTreeMap<SmolStr, Arc<InForce>>,
    roles: BTreeMap<SmolStr, Arc<InForce>>,
}

impl Clone for Gathered {
    fn clone(&self) -> Gathered {
        Gathered::default()
    }
}

impl PartialEq for Gathered {
    fn eq(&self, _: &Gathered) -> bool {
        true
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

/// The policies of an identity. None for one that is not there.
pub fn policies_of(view: &View<'_>, of: Identity<'_>) -> Arc<InForce> {
    // Each request comes by here: the tables are looked up once.
    let Some(tables) = tables(view) else { return Arc::default() };
    let changes = [
        tables.users.changes(),
        tables.user_groups.changes(),
        tables.roles.changes(),
        tables.managed_policies.changes(),
    ];
    let mut known = tables.gathered.0.lock().unwrap_or_else(PoisonError::into_inner);
    if known.changes != changes {
        *known = Known { changes, ..Known::default() };
    }
    let (name, found) = match of {
        Identity::User(name) => (name, &mut known.users),
        Identity::Role(name) => (name, &mut known.roles),
    };
    if let Some(found) = found.get(name) {
        return found.clone();
    }
    // Only of those that are there is anything kept.
    let Some(made) = gather((tables, &view.scope.account), of) else { return Arc::default() };
    found.entry(SmolStr::from(name)).or_insert(Arc::new(made)).clone()
}

fn gather((tables, account): (&Tables, &AccountId), of: Identity<'_>) -> Option<InForce> {
    let mut found = InForce::default();
    let boundary = match of {
        Identity::User(name) => {
            let user = tables.users.get(name)?;
            add((tables, account), &user.permissions, &mut found.identity);
            for group in user.groups.iter().filter_map(|name| tables.user_groups.get(name)) {
                add((tables, account), &group.permissions, &mut found.identity);
            }
            &user.boundary
        }
        Identity::Role(name) => {
            let role = tables.roles.get(name)?;
            add((tables, account), &role.permissions, &mut found.identity);
            &role.boundary
        }
    };
    let bounding = |arn: &String| attached((tables, account), arn).unwrap_or_else(|| PolicyText::denying_all().clone());
    found.boundary = boundary.as_ref().map(bounding);
    Some(found)
}

/// Adds what an identity may do by its own policies.
fn add(of: (&Tables, &AccountId), permissions: &Permissions, policies: &mut Vec<PolicyText>) {
    policies.extend(permissions.inline.values().cloned());
    policies.extend(permissions.attached.iter().filter_map(|arn| attached(of, arn)));
}

/// What the managed policy of an ARN says now.
fn attached(of: (&Tables, &AccountId), arn: &str) -> Option<PolicyText> {
    managed::find(of, arn)?.in_force().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{IAM_REGION, ManagedPolicy, PolicyVersion, Tags, User};
    use crate::{Config, Engine, Scope, State};
    use elastane_domain::time::Time;

    const ARN: &str = "arn:aws:iam::000000000000:policy/p";

    fn count(view: &View<'_>) -> usize {
        policies_of(view, Identity::User("ann")).identity().len()
    }

    fn policy() -> ManagedPolicy {
        let document = PolicyText::new(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#);
        ManagedPolicy {
            name: "p".to_string(),
            id: "ANPA0".to_string(),
            path: "/".to_string(),
            description: None,
            versions: BTreeMap::from([(1, PolicyVersion { document, created_at: Time(0) })]),
            default_version: 1,
            next_version: 2,
            created_at: Time(0),
            updated_at: Time(0),
            tags: Tags::new(),
        }
    }

    /// What is kept is that of the rows as they are, within a transaction as
    /// well, after one that failed, and in a copy of the state.
    #[test]
    fn kept_while_it_is_so() {
        let mut engine = Engine::open(Config::default(), 7, Vec::new()).expect("opens");
        let scope = Scope::new("000000000000", IAM_REGION);
        let user = User {
            name: "ann".to_string(),
            id: "AIDA0".to_string(),
            path: "/".to_string(),
            created_at: Time(0),
            tags: Tags::new(),
            permissions: Permissions::default(),
            boundary: None,
            groups: Default::default(),
        };
        let attach = |row: &mut User| {
            row.permissions.attached.insert(ARN.to_string());
        };
        let begun: Result<(), ()> = engine.transact(&scope, Time(0), |tx| {
            assert_eq!(count(&tx.view()), 0, "there is no user");
            tx.put(user);
            tx.put(policy());
            assert_eq!(count(&tx.view()), 0);
            Ok(())
        });
        begun.expect("begun");
        let failed: Result<(), ()> = engine.transact(&scope, Time(0), |tx| {
            tx.update("ann", attach);
            assert_eq!(count(&tx.view()), 1);
            Err(())
        });
        failed.expect_err("it fails");
        let of = |state: &State| count(&View { state, tables: &state.scopes[&scope], scope: &scope, now: Time(0) });
        assert_eq!(of(engine.state()), 0);
        let copy = engine.state().clone();
        let attached: Result<(), ()> = engine.transact(&scope, Time(0), |tx| {
            tx.update("ann", attach);
            Ok(())
        });
        attached.expect("attached");
        assert_eq!((of(engine.state()), of(&copy)), (1, 0));
        let gone: Result<(), ()> = engine.transact(&scope, Time(0), |tx| {
            tx.delete::<ManagedPolicy>("p");
            Ok(())
        });
        gone.expect("gone");
        assert_eq!(of(engine.state()), 0);
    }
}
