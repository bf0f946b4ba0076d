//! What is asked: the request with the rows and the caller that it is judged
//! by, and what follows from them, found when it is first needed.

use super::launching::Launching;
use super::members;
use crate::{Caller, GLOBAL_REGION};
use elastane_engine::View;
use elastane_engine::row::{IAM_REGION, Tags};
use elastane_wire::schema::Shape;
use elastane_wire::value::{Record, View as Member};
use elastane_wire::{Input, Operation};
use std::cell::OnceCell;

/// A request that waits to be judged.
pub struct Asked<'a> {
    /// The rows of its scope.
    pub view: View<'a>,
    /// Who asks.
    pub caller: &'a Caller,
    /// What is asked.
    pub input: &'a Input,
    launching: OnceCell<Launching>,
}

impl<'a> Asked<'a> {
    /// This request.
    pub fn new(view: &View<'a>, caller: &'a Caller, input: &'a Input) -> Asked<'a> {
        Asked { view: *view, caller, input, launching: OnceCell::new() }
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

    /// The region that it is addressed to.
    pub fn region(&self) -> &'a str {
        match self.view.scope.region.as_str() {
            IAM_REGION => GLOBAL_REGION,
            region => region,
        }
    }

    /// The tags that it would give resources of a type. A launch's are those
    /// of its template as well.
    pub fn tags_for(&self, kind: &str) -> Tags {
        let mut found = Tags::new();
        if self.launches() {
            found.extend(self.launching().data.tags.get(kind).cloned().unwrap_or_default());
        }
        for (shape, record) in members::records(members::member(self.shape(), self.record(), "TagSpecifications")) {
            let of = members::text_of(shape, record, "ResourceType");
            if of.is_none_or(|of| of == kind) {
                add_tags(&mut found, members::member(shape, record, "Tags"));
            }
        }
        add_tags(&mut found, members::member(self.shape(), self.record(), "Tags"));
        found
    }

    /// The keys of tags that it names: those that it would give, and those
    /// that it would take away.
    pub fn tag_keys_for(&self, kind: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.tags_for(kind).into_keys().collect();
        if let Some((_, Member::List(list))) = members::member(self.shape(), self.record(), "TagKeys") {
            for index in 0..list.count() {
                if let Member::String(key) = list.entry(index) {
                    keys.push(key.to_string());
                }
            }
        }
        keys
    }

    /// Types of resources that it would tag when it makes them.
    pub fn tagged_kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = Vec::new();
        if self.launches() {
            kinds.extend(self.launching().data.tags.keys().cloned());
        }
        for (shape, record) in members::records(members::member(self.shape(), self.record(), "TagSpecifications")) {
            kinds.extend(members::text_of(shape, record, "ResourceType").map(str::to_string));
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Whether it launches instances itself.
    fn launches(&self) -> bool {
        matches!(self.operation(), Operation::Ec2RunInstances | Operation::Ec2RequestSpotInstances)
    }
}

/// Adds the tags of a member, which services write as lists of keys and values.
fn add_tags(tags: &mut Tags, found: Option<(&'static Shape, Member<'_>)>) {
    for (shape, record) in members::records(found) {
        let one = |names: [&str; 2]| names.iter().find_map(|name| members::text_of(shape, record, name));
        if let Some(key) = one(["Key", "TagKey"]) {
            tags.insert(key.to_string(), one(["Value", "TagValue"]).unwrap_or_default().to_string());
        }
    }
}
