//! The context that a request is judged in: of all condition keys those that
//! decide, each made when a policy first asks for it.

use super::asked::Asked;
use super::keys;
use super::resources::Resource;
use super::table::{Check, Key, Values, table};
use elastane_domain::policy::{Context, Keys};

/// The condition keys of a request for one resource of a check.
pub struct Facts<'q, 'a> {
    /// The request.
    pub asked: &'q Asked<'a>,
    /// What it is checked for.
    pub check: &'static Check,
    /// The resource.
    pub resource: &'q Resource<'q>,
}

impl Keys for Facts<'_, '_> {
    fn visit(&self, key: &str, each: &mut dyn FnMut(&str)) -> bool {
        let mut present = false;
        let mut add = |value: &str| {
            present = true;
            each(value);
        };
        if let Some(at) = keys::global(key) {
            self.asked.global(at).iter().for_each(|value| add(value));
        } else if let Some((maker, rest)) = keys::open(key) {
            maker(self.asked, rest, &mut add);
        } else {
            self.make(key, &mut add);
        }
        present
    }

    fn is_steady(&self, key: &str) -> bool {
        keys::global(key).is_some() || keys::open(key).is_some()
    }
}

impl Facts<'_, '_> {
    /// The values of keys as a whole: what a decision rests on.
    pub fn context<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Context {
        let mut context = Context::default();
        for key in keys {
            if context.values(key).is_none() {
                self.visit(key, &mut |value| context.add(key, value));
            }
        }
        context
    }

    /// Makes the values of a key that depends on the operation or the resource.
    fn make(&self, name: &str, add: &mut dyn FnMut(&str)) {
        let Facts { asked, check, resource } = *self;
        if let Some(maker) = keys::of_resources(name) {
            return maker(asked, resource, "", add);
        }
        let of_kind = resource.kind.map(|kind| kind.keys.as_slice()).unwrap_or_default();
        let all = check.keys.iter().chain(of_kind).chain(&table().services[check.service].keys);
        let mut found = all.filter_map(|key| key.matches(name).map(|rest| (key, rest)));
        if let Some((key, rest)) = found.next() {
            values(asked, key, resource, rest, add);
        }
    }
}

fn values(asked: &Asked<'_>, key: &Key, resource: &Resource<'_>, rest: &str, add: &mut dyn FnMut(&str)) {
    match &key.from {
        Values::Value(value) => add(value),
        Values::Made(maker) => maker(asked, resource, rest, add),
        Values::Members(paths) => {
            if let Some(path) = paths.iter().find(|path| path.any(asked.record())) {
                path.texts(asked.record(), &mut |value| add(&value));
            }
        }
    }
}
