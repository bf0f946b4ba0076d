//! The context that a request is judged in: of all condition keys, those that
//! the policies in force ask for.

use super::asked::Asked;
use super::keys;
use super::resources::Resource;
use super::table::{Check, Key, Values, table};
use elastane_domain::policy::{Context, Document};
use std::collections::BTreeSet;

/// The keys that documents ask for, in lower case.
pub fn wanted<'d>(documents: impl Iterator<Item = &'d Document>) -> BTreeSet<&'d str> {
    documents.flat_map(Document::keys).map(String::as_str).collect()
}

/// The values of the keys that are wanted, for one resource of a check.
pub fn of(asked: &Asked<'_>, check: &Check, resource: &Resource, wanted: &BTreeSet<&str>) -> Context {
    let mut context = Context::default();
    for name in wanted {
        fill(asked, check, resource, name, &mut context);
    }
    context
}

/// The values of one key, if the request has it.
fn fill(asked: &Asked<'_>, check: &Check, resource: &Resource, name: &str, context: &mut Context) {
    let mut add = |value: &str| context.add(name, value);
    if let Some((maker, rest)) = keys::global(name) {
        maker(asked, resource, rest, &mut add);
        return;
    }
    let of_kind = resource.kind.map(|kind| kind.keys.as_slice()).unwrap_or_default();
    let all = check.keys.iter().chain(of_kind).chain(&table().services[check.service].keys);
    let mut found = all.filter_map(|key| key.matches(name).map(|rest| (key, rest)));
    if let Some((key, rest)) = found.next() {
        values(asked, key, resource, rest, &mut add);
    }
}

fn values(asked: &Asked<'_>, key: &Key, resource: &Resource, rest: &str, add: &mut dyn FnMut(&str)) {
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
