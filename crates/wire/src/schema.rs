//! Schema tables: what the service models say of each shape, as constants.
//!
//! Codegen writes one [`Shape`] for each shape of the models; the codecs and
//! the validation walk them together with a [`crate::value::Record`]. Member
//! names are already resolved for every protocol, so that no codec knows a
//! naming rule.

/// What values of one shape look like, on the wire and in range.
#[derive(Debug)]
pub enum Shape {
    /// A structure.
    Struct(Struct),
    /// A list.
    List(List),
    /// A map with text keys.
    Map(Map),
    /// Text, possibly one of an enumeration.
    String(Text),
    /// `true` or `false`.
    Boolean,
    /// 32-bit integer.
    Integer(Range),
    /// 64-bit integer.
    Long(Range),
    /// Single precision.
    Float(Range),
    /// Double precision.
    Double(Range),
    /// Bytes; base64 in text protocols.
    Blob(Length),
    /// A point in time.
    Timestamp(TimestampFormat),
}

/// A structure's members in model order; the position is the index that
/// [`crate::value::Record`] takes.
#[derive(Debug)]
pub struct Struct {
    /// The shape's name.
    pub name: &'static str,
    /// Its members.
    pub members: &'static [Member],
}

/// One member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Name in the model: the JSON and CBOR key.
    pub name: &'static str,
    /// Name of the request parameter in the query and ec2 protocols.
    pub query: &'static str,
    /// Element name in XML answers.
    pub xml: &'static str,
    /// Whether a request without it is refused.
    pub required: bool,
    /// The shape of its value.
    pub shape: &'static Shape,
}

/// A list.
#[derive(Debug)]
pub struct List {
    /// The shape of the entries.
    pub member: &'static Shape,
    /// Path element between the list's name and the number in query requests
    /// (`member`); `None` for flat lists (`Name.1`).
    pub query_item: Option<&'static str>,
    /// Element around each entry in XML; `None` for flat lists, which repeat
    /// the list's own element.
    pub xml_item: Option<&'static str>,
    /// Number of entries.
    pub length: Length,
}

/// A map with text keys.
#[derive(Debug)]
pub struct Map {
    /// The shape of the values.
    pub value: &'static Shape,
    /// Whether entries repeat the map's own element, without `entry` around them.
    pub flattened: bool,
    /// Element and parameter name of a key.
    pub key_name: &'static str,
    /// Element and parameter name of a value.
    pub value_name: &'static str,
    /// Number of entries.
    pub length: Length,
}

/// Limits of a text.
#[derive(Debug)]
pub struct Text {
    /// Number of characters.
    pub length: Length,
    /// The values of an enumeration; empty when any text is allowed.
    pub allowed: &'static [&'static str],
}

/// Inclusive limits of a length.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// At least.
    pub min: Option<u64>,
    /// At most.
    pub max: Option<u64>,
}

/// Inclusive limits of a number.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// At least.
    pub min: Option<f64>,
    /// At most.
    pub max: Option<f64>,
}

/// How a timestamp is written where the protocol leaves a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// ISO 8601 in query and XML, epoch seconds in JSON.
    ProtocolDefault,
    /// `2026-01-01T10:00:00Z`.
    DateTime,
    /// Seconds since the epoch, with a fraction if there is one.
    EpochSeconds,
    /// `Thu, 01 Jan 2026 10:00:00 GMT`.
    HttpDate,
}

impl Length {
    /// No limit.
    pub const ANY: Length = Length { min: None, max: None };
}

impl Range {
    /// No limit.
    pub const ANY: Range = Range { min: None, max: None };
}

impl Text {
    /// Any text.
    pub const ANY: Text = Text { length: Length::ANY, allowed: &[] };
}

impl Shape {
    /// The structure, for shapes of operations' inputs and outputs.
    ///
    /// # Panics
    /// When the shape is not a structure, which is an error in the generator.
    pub fn members(&self) -> &'static [Member] {
        match self {
            Shape::Struct(shape) => shape.members,
            _ => unreachable!("inputs and outputs are structures"),
        }
    }
}

/// Text without rules.
pub static ANY_STRING: Shape = Shape::String(Text::ANY);
/// A boolean.
pub static ANY_BOOLEAN: Shape = Shape::Boolean;
/// A 32-bit integer without rules.
pub static ANY_INTEGER: Shape = Shape::Integer(Range::ANY);
/// A 64-bit integer without rules.
pub static ANY_LONG: Shape = Shape::Long(Range::ANY);
/// A number of single precision without rules.
pub static ANY_FLOAT: Shape = Shape::Float(Range::ANY);
/// A number of double precision without rules.
pub static ANY_DOUBLE: Shape = Shape::Double(Range::ANY);
/// Bytes without rules.
pub static ANY_BLOB: Shape = Shape::Blob(Length::ANY);
/// A timestamp in the protocol's own form.
pub static ANY_TIMESTAMP: Shape = Shape::Timestamp(TimestampFormat::ProtocolDefault);
