//! What is asked: the request with the rows and the caller that it is judged
//! by, and what follows from them, found when it is first needed.

use super::keys;
use super::launching::Launching;
use super::members;
use crate::{Caller, GLOBAL_REGION};
use elastane_domain::id::Region;
use elastane_engine::View;
use elastane_engine::row::IAM_REGION;
use elastane_wire::schema::Shape;
use elastane_wire::value::{Record, View as Member};
use elastane_wire::{Input, Operation, Service};
use std::cell::OnceCell;
use std::collections::BTreeSet;

/// A request that waits to be judged.
pub struct Asked<'a> {
    /// The rows of its scope.
    pub view: View<'a>,
    /// Who asks.
    pub caller: &'a Caller,
    /// What is asked.
    pub input: &'a Input,
    launching: OnceCell<Launching>,
    tags: OnceCell<Tags<'a>>,
    /// The values of each of [`keys::GLOBAL`].
    global: [OnceCell<Vec<String>>; keys::GLOBAL.len()],
}

/// What the request's members say of tags.
struct Tags<'a> {
    /// Those that it gives.
    given: Vec<Tag<'a>>,
    /// Keys of those that it takes away.
    taken: Vec<&'a str>,
}

/// A tag that the request gives.
struct Tag<'a> {
    /// The type of resources that get it; any without.
    kind: Option<&'a str>,
    key: &'a str,
    value: &'a str,
}

impl<'a> Asked<'a> {
    /// This request.
    pub fn new(view: &View<'a>, caller: &'a Caller, input: &'a Input) -> Asked<'a> {
        let global = [const { OnceCell::new() }; keys::GLOBAL.len()];
        Asked { view: *view, caller, input, launching: OnceCell::new(), tags: OnceCell::new(), global }
    }

    /// The values of a key of [`keys::GLOBAL`] by its place there: none when the request has not got it.
    pub fn global(&self, at: usize) -> &[String] {
        self.global[at].get_or_init(|| {
            let (_, maker) = keys::GLOBAL[at];
            keys::collected(|add| maker(self, "", add))
        })
    }

    /// The operation.
    pub fn operation(&self) -> Operation {
        self.input.operation()
    }

    /// The request's members.
    pub fn record(&self) -> &'a dyn Record {
        self.input.record()
    }

    /// Their schema.
    pub fn shape(&self) -> &'static Shape {
        self.operation().info().input
    }

    /// The text of one of its members; `None` when it is absent or empty.
    pub fn text(&self, member: &str) -> Option<&'a str> {
        members::text_of(self.shape(), self.record(), member).filter(|text| !text.is_empty())
    }

    /// What it would launch.
    pub fn launching(&self) -> &Launching {
        self.launching.get_or_init(|| Launching::read(&self.view, self.input))
    }

    /// The region that it is addressed to: IAM has one for all, and STS an
    /// endpoint in each, whatever scope its rows are in (IAM User Guide,
    /// "aws:RequestedRegion").
    pub fn region(&self) -> &'a str {
        let signed = || self.caller.origin.region.as_ref().map_or(GLOBAL_REGION, Region::as_str);
        match (self.view.scope.region.as_str(), self.operation().service()) {
            (IAM_REGION, Service::Sts) => signed(),
            (IAM_REGION, _) => GLOBAL_REGION,
            (region, _) => region,
        }
    }

    /// Visits the tags that it would give resources of a type, a key's last
    /// value being the one that counts. A launch's are those of its template
    /// as well.
    fn each_tag<'s>(&'s self, kind: &str, mut visit: impl FnMut(&'s str, &'s str)) {
        if self.launches() {
            let tags = self.launching().data.tags.get(kind);
            tags.into_iter().flatten().for_each(|(key, value)| visit(key, value));
        }
        let of_kind = self.tags().given.iter().filter(|tag| tag.kind.is_none_or(|of| of == kind));
        of_kind.for_each(|tag| visit(tag.key, tag.value));
    }

    /// The value of a tag that it would give resources of a type; of names
    /// that differ in case alone, the first in order.
    pub fn tag_for(&self, kind: &str, name: &str) -> Option<&str> {
        let mut found: Option<(&str, &str)> = None;
        self.each_tag(kind, |key, value| {
            if key.eq_ignore_ascii_case(name) && found.is_none_or(|(known, _)| key <= known) {
                found = Some((key, value));
            }
        });
        found.map(|(_, value)| value)
    }

    /// The keys of tags that it names: those that it would give, and those
    /// that it would take away.
    pub fn tag_keys_for(&self, kind: &str, visit: &mut dyn FnMut(&str)) {
        let mut keys: Vec<&str> = Vec::new();
        self.each_tag(kind, |key, _| {
            if !keys.contains(&key) {
                keys.push(key);
                visit(key);
            }
        });
        self.tags().taken.iter().for_each(|key| visit(key));
    }

    /// Types of resources that it would tag when it makes them.
    pub fn tagged_kinds(&self) -> BTreeSet<&str> {
        let mut kinds: BTreeSet<&str> = BTreeSet::new();
        if self.launches() {
            kinds.extend(self.launching().data.tags.keys().map(String::as_str));
        }
        for (shape, record) in members::records(members::member(self.shape(), self.record(), "TagSpecifications")) {
            kinds.extend(members::text_of(shape, record, "ResourceType"));
        }
        kinds
    }

    /// The tags in its members.
    fn tags(&self) -> &Tags<'a> {
        self.tags.get_or_init(|| {
            let (shape, record) = (self.shape(), self.record());
            let mut given = Vec::new();
            for (shape, record) in members::records(members::member(shape, record, "TagSpecifications")) {
                let kind = members::text_of(shape, record, "ResourceType");
                add_tags(&mut given, kind, members::member(shape, record, "Tags"));
            }
            add_tags(&mut given, None, members::member(shape, record, "Tags"));
            let mut taken = Vec::new();
            if let Some((_, Member::List(list))) = members::member(shape, record, "TagKeys") {
                taken.extend((0..list.count()).filter_map(|index| match list.entry(index) {
                    Member::String(key) => Some(key),
                    _ => None,
                }));
            }
            Tags { given, taken }
        })
    }

    /// Whether it launches instances itself.
    fn launches(&self) -> bool {
        matches!(self.operation(), Operation::Ec2RunInstances | Operation::Ec2RequestSpotInstances)
    }
}

/// Adds the tags of a member, which services write as lists of keys and values.
fn add_tags<'a>(tags: &mut Vec<Tag<'a>>, kind: Option<&'a str>, found: Option<(&'static Shape, Member<'a>)>) {
    for (shape, record) in members::records(found) {
        let one = |names: [&str; 2]| names.iter().find_map(|name| members::text_of(shape, record, name));
        if let Some(key) = one(["Key", "TagKey"]) {
            tags.push(Tag { kind, key, value: one(["Value", "TagValue"]).unwrap_or_default() });
        }
    }
}
