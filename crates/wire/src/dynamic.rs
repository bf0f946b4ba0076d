//! Schemas and records built at run time from a service model's JSON, for the
//! protocol cases. Schemas are leaked, as tests may; recursive shapes are
//! unrolled a few times.

use crate::identify::Protocol;
use crate::schema::*;
use crate::value::{self, Place, Record, Timestamp, Value, View};
use serde_json::{Value as Json, json};

/// How often one shape may nest in itself.
const UNROLLED_MAX: usize = 5;

pub(crate) struct Builder<'a> {
    pub shapes: &'a Json,
    pub protocol: Protocol,
    path: Vec<String>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn text(value: &str) -> &'static str {
    leak(value.to_owned()).as_str()
}

impl<'a> Builder<'a> {
    pub fn new(shapes: &'a Json, protocol: Protocol) -> Self {
        Builder { shapes, protocol, path: Vec::new() }
    }

    /// The schema of a reference such as `{"shape": "Name", "locationName": "x"}`.
    pub fn shape(&mut self, reference: &Json) -> &'static Shape {
        let Some(name) = reference["shape"].as_str() else {
            return leak(Shape::Struct(Struct { name: "Empty", members: &[] }));
        };
        let shape = &self.shapes[name];
        let format = reference["timestampFormat"].as_str().or(shape["timestampFormat"].as_str());
        self.path.push(name.to_owned());
        let nested = self.path.iter().filter(|known| *known == name).count();
        let built = match shape["type"].as_str().unwrap_or_default() {
            "structure" if nested > UNROLLED_MAX => Shape::Struct(Struct { name: "Cut", members: &[] }),
            "structure" => self.structure(name, shape),
            "list" => {
                let flat = shape["flattened"] == true || reference["flattened"] == true;
                let item = shape["member"]["locationName"].as_str().map_or("member", text);
                let item = (!flat).then_some(item);
                let query_item = item.filter(|_| self.protocol != Protocol::Ec2);
                Shape::List(List {
                    member: self.shape(&shape["member"]),
                    query_item,
                    xml_item: item,
                    length: Length::ANY,
                })
            }
            "map" => Shape::Map(Map {
                value: self.shape(&shape["value"]),
                flattened: shape["flattened"] == true || reference["flattened"] == true,
                key_name: shape["key"]["locationName"].as_str().map_or("key", text),
                value_name: shape["value"]["locationName"].as_str().map_or("value", text),
                length: Length::ANY,
            }),
            "boolean" => Shape::Boolean,
            "integer" | "byte" | "short" => Shape::Integer(Range::ANY),
            "long" => Shape::Long(Range::ANY),
            "float" => Shape::Float(Range::ANY),
            "double" => Shape::Double(Range::ANY),
            "blob" => Shape::Blob(Length::ANY),
            "timestamp" => Shape::Timestamp(match format {
                Some("iso8601") => TimestampFormat::DateTime,
                Some("unixTimestamp") => TimestampFormat::EpochSeconds,
                Some("rfc822") => TimestampFormat::HttpDate,
                _ => TimestampFormat::ProtocolDefault,
            }),
            _ => Shape::String(Text::ANY),
        };
        self.path.pop();
        leak(built)
    }

    fn structure(&mut self, name: &str, shape: &Json) -> Shape {
        let mut members = Vec::new();
        for (member, target) in shape["members"].as_object().into_iter().flatten() {
            let location = target["locationName"].as_str();
            let plain = location.unwrap_or(member).to_owned();
            let target_shape = &self.shapes[target["shape"].as_str().unwrap_or_default()];
            let flat = target_shape["flattened"] == true;
            let entries = target_shape["member"]["locationName"].as_str().filter(|_| flat);
            let xml = entries.map_or(plain.clone(), str::to_owned);
            let query = match (self.protocol, target["queryName"].as_str()) {
                (Protocol::Ec2, Some(query)) => query.to_owned(),
                (Protocol::Ec2, None) => plain[..1].to_uppercase() + &plain[1..],
                _ => xml.clone(),
            };
            let json = matches!(self.protocol, Protocol::Json10 | Protocol::Json11);
            members.push(Member {
                name: text(if json { &plain } else { member }),
                query: text(&query),
                xml: text(&xml),
                required: false,
                shape: self.shape(target),
            });
        }
        Shape::Struct(Struct { name: text(name), members: leak(members) })
    }
}

/// A value of any shape.
#[derive(Debug)]
pub(crate) struct Any {
    shape: &'static Shape,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Absent,
    String(String),
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Blob(Vec<u8>),
    Timestamp(Timestamp),
    Record(Fields),
    List(Entries),
    Map(Pairs),
}

#[derive(Debug)]
pub(crate) struct Fields(Vec<Any>);
#[derive(Debug)]
struct Entries(&'static Shape, Vec<Any>);
#[derive(Debug)]
struct Pairs(&'static Shape, Vec<(String, Any)>);

impl Fields {
    pub fn new(shape: &'static Shape) -> Fields {
        Fields(shape.members().iter().map(|member| Any::new(member.shape)).collect())
    }

    /// As the cases write values. Member names are the schema's.
    pub fn to_json(&self, shape: &Shape) -> Json {
        let mut out = serde_json::Map::new();
        for (member, value) in shape.members().iter().zip(&self.0) {
            out.insert(member.name.to_owned(), value.to_json());
        }
        Json::Object(out)
    }
}

impl Any {
    pub fn new(shape: &'static Shape) -> Any {
        Any { shape, data: Data::Absent }
    }

    fn make(shape: &'static Shape) -> Data {
        match shape {
            Shape::Struct(_) => Data::Record(Fields::new(shape)),
            Shape::List(list) => Data::List(Entries(list.member, Vec::new())),
            Shape::Map(map) => Data::Map(Pairs(map.value, Vec::new())),
            Shape::String(_) => Data::String(String::new()),
            Shape::Boolean => Data::Boolean(false),
            Shape::Integer(_) => Data::Integer(0),
            Shape::Long(_) => Data::Long(0),
            Shape::Float(_) => Data::Float(0.0),
            Shape::Double(_) => Data::Double(0.0),
            Shape::Blob(_) => Data::Blob(Vec::new()),
            Shape::Timestamp(_) => Data::Timestamp(Timestamp(0)),
        }
    }

    fn to_json(&self) -> Json {
        let special = |number: f64| match number {
            _ if number.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            _ => json!(number),
        };
        match &self.data {
            Data::Absent => Json::Null,
            Data::String(text) => json!(text),
            Data::Boolean(yes) => json!(yes),
            Data::Integer(number) => json!(number),
            Data::Long(number) => json!(number),
            Data::Float(number) => special(f64::from(*number)),
            Data::Double(number) => special(*number),
            Data::Blob(bytes) => json!(String::from_utf8_lossy(bytes)),
            Data::Timestamp(at) => json!(at.0 as f64 / 1000.0),
            Data::Record(fields) => fields.to_json(self.shape),
            Data::List(entries) => entries.1.iter().map(Any::to_json).collect(),
            Data::Map(pairs) => pairs
                .1
                .iter()
                .map(|(key, value)| (key.clone(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

impl Value for Any {
    fn view(&self) -> View<'_> {
        match &self.data {
            Data::Absent => match self.shape {
                // As generated structs have it: lists and maps are never absent.
                Shape::List(_) => View::List(&NONE),
                Shape::Map(_) => View::Map(&NO_PAIRS),
                _ => View::Absent,
            },
            Data::String(text) => View::String(text),
            Data::Boolean(yes) => View::Boolean(*yes),
            Data::Integer(number) => View::Integer(*number),
            Data::Long(number) => View::Long(*number),
            Data::Float(number) => View::Float(*number),
            Data::Double(number) => View::Double(*number),
            Data::Blob(bytes) => View::Blob(bytes),
            Data::Timestamp(at) => View::Timestamp(*at),
            Data::Record(fields) => View::Record(fields),
            Data::List(entries) => View::List(entries),
            Data::Map(pairs) => View::Map(pairs),
        }
    }

    fn place(&mut self) -> Place<'_> {
        if matches!(self.data, Data::Absent) {
            self.data = Any::make(self.shape);
        }
        match &mut self.data {
            Data::Absent => unreachable!("made above"),
            Data::String(slot) => Place::String(slot),
            Data::Boolean(slot) => Place::Boolean(slot),
            Data::Integer(slot) => Place::Integer(slot),
            Data::Long(slot) => Place::Long(slot),
            Data::Float(slot) => Place::Float(slot),
            Data::Double(slot) => Place::Double(slot),
            Data::Blob(slot) => Place::Blob(slot),
            Data::Timestamp(slot) => Place::Timestamp(slot),
            Data::Record(fields) => Place::Record(fields),
            Data::List(entries) => Place::List(entries),
            Data::Map(pairs) => Place::Map(pairs),
        }
    }
}

static NONE: Entries = Entries(&ANY_STRING, Vec::new());
static NO_PAIRS: Pairs = Pairs(&ANY_STRING, Vec::new());

impl Record for Fields {
    fn field(&self, index: usize) -> &dyn Value {
        &self.0[index]
    }
    fn field_mut(&mut self, index: usize) -> &mut dyn Value {
        &mut self.0[index]
    }
}

impl value::List for Entries {
    fn count(&self) -> usize {
        self.1.len()
    }
    fn entry(&self, index: usize) -> View<'_> {
        self.1[index].view()
    }
    fn add(&mut self) -> Place<'_> {
        self.1.push(Any::new(self.0));
        self.1.last_mut().expect("just pushed").place()
    }
}

impl value::Map for Pairs {
    fn count(&self) -> usize {
        self.1.len()
    }
    fn each(&self, visit: &mut dyn FnMut(&str, View<'_>)) {
        for (key, value) in &self.1 {
            visit(key, value.view());
        }
    }
    fn add(&mut self, key: String) -> Place<'_> {
        self.1.retain(|(known, _)| *known != key);
        self.1.push((key, Any::new(self.0)));
        self.1.last_mut().expect("just pushed").1.place()
    }
}
