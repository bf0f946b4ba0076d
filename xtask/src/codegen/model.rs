//! One service model, reduced to the shapes that the listed operations need.

use super::list::Section;
use super::names;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A service with its model.
pub struct Service {
    /// Its part of the list.
    pub section: Section,
    /// `metadata` of the model.
    pub metadata: Value,
    /// Shapes that the listed operations reach.
    pub shapes: BTreeMap<String, Value>,
    /// The listed operations.
    pub operations: Vec<Operation>,
    /// All operations of the model.
    pub known: Vec<String>,
    /// Errors: (shape, wire code, status).
    pub errors: Vec<(String, String, u64)>,
}

/// A listed operation.
pub struct Operation {
    /// Its name.
    pub name: String,
    /// Whether it is answered from memory.
    pub read: bool,
    /// Shape of its input, maybe an invented empty one.
    pub input: String,
    /// Shape of its output, likewise.
    pub output: String,
    /// Whether the model has no output for it.
    pub void: bool,
    /// Element around the output in the query protocol.
    pub result_wrapper: Option<String>,
}

impl Service {
    /// Reads the model's JSON.
    pub fn load(section: Section, text: &str) -> Result<Service, String> {
        let model: Value =
            serde_json::from_str(text).map_err(|err| format!("model {} is not JSON: {err}", section.model))?;
        let all = model["shapes"].as_object().ok_or("a model has shapes")?;
        let mut shapes = BTreeMap::new();
        let mut operations = Vec::new();
        for listed in &section.operations {
            let found = &model["operations"][&listed.name];
            if found.is_null() {
                return Err(format!("{} has no operation {}", section.model, listed.name));
            }
            let mut end = |key: &str, ending: &str| match found[key]["shape"].as_str() {
                Some(shape) => shape.to_owned(),
                None => {
                    let name = format!("{}{ending}", listed.name);
                    let empty = serde_json::json!({"type": "structure", "members": {}});
                    shapes.insert(name.clone(), empty);
                    name
                }
            };
            operations.push(Operation {
                name: listed.name.clone(),
                read: listed.read,
                input: end("input", "Request"),
                output: end("output", "Output"),
                void: found["output"].is_null(),
                result_wrapper: found["output"]["resultWrapper"].as_str().map(str::to_owned),
            });
        }
        let mut wanted: Vec<String> =
            operations.iter().flat_map(|operation| [operation.input.clone(), operation.output.clone()]).collect();
        while let Some(name) = wanted.pop() {
            if shapes.contains_key(&name) && !all.contains_key(&name) {
                continue;
            }
            let shape = all.get(&name).ok_or_else(|| format!("no shape {name}"))?;
            if shapes.insert(name, shape.clone()).is_none() {
                wanted.extend(references(shape));
            }
        }
        let known = model["operations"].as_object().into_iter().flatten();
        let known = known.map(|(name, _)| name.clone()).collect();
        let errors = errors(all);
        Ok(Service { metadata: model["metadata"].clone(), section, shapes, operations, known, errors })
    }

    /// Whether the ec2 protocol's naming rules apply.
    pub fn is_ec2(&self) -> bool {
        self.metadata["protocol"] == "ec2"
    }

    /// A text of the metadata.
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.metadata[key].as_str()
    }

    /// Whether a value of shape `to` sits inside one of shape `from` through
    /// structures only: such a member must be boxed.
    pub fn contains_itself(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut wanted = vec![to.to_owned()];
        while let Some(name) = wanted.pop() {
            if name == from {
                return true;
            }
            let shape = &self.shapes[&name];
            if shape["type"] == "structure" && seen.insert(name) {
                wanted.extend(references(shape));
            }
        }
        false
    }
}

fn references(shape: &Value) -> Vec<String> {
    let members = shape["members"].as_object().into_iter().flatten().map(|(_, member)| member);
    let parts = ["member", "key", "value"].map(|key| &shape[key]);
    members.chain(parts).filter_map(|target| target["shape"].as_str().map(str::to_owned)).collect()
}

fn errors(all: &serde_json::Map<String, Value>) -> Vec<(String, String, u64)> {
    all.iter()
        .filter(|(_, shape)| shape["exception"] == true)
        .map(|(name, shape)| {
            let code = shape["error"]["code"].as_str().unwrap_or(name);
            let fallback = if shape["fault"] == true { 500 } else { 400 };
            let status = shape["error"]["httpStatusCode"].as_u64().unwrap_or(fallback);
            (name.clone(), code.to_owned(), status)
        })
        .collect()
}

/// A member's parameter name in requests.
pub fn query_name(service: &Service, name: &str, member: &Value) -> String {
    let location = member["locationName"].as_str();
    if service.is_ec2() {
        return match (member["queryName"].as_str(), location) {
            (Some(query), _) => query.to_owned(),
            (None, Some(location)) => names::capitalized(location),
            (None, None) => names::capitalized(name),
        };
    }
    xml_name(service, name, member)
}

/// A member's element name in XML. A flat list takes the name of its entries.
pub fn xml_name(service: &Service, name: &str, member: &Value) -> String {
    let target = member["shape"].as_str().map(|shape| &service.shapes[shape]);
    let entries = target
        .filter(|target| target["flattened"] == true)
        .and_then(|target| target["member"]["locationName"].as_str());
    entries.or_else(|| member["locationName"].as_str()).unwrap_or(name).to_owned()
}
