//! CloudTrail: what happened, looked up in the trail that the daemon keeps
//! (API Reference, LookupEvents). The trail is no row: it lies outside the
//! store, and this module only asks the [`crate::World`] for it.

use crate::Call;
use elastane_domain::time::Time;
use elastane_wire::{ApiError, cloudtrail as wire};
use std::sync::Arc;

/// Events of a page when the client names no MaxResults, and at most.
const PAGE_MAX: usize = 50;

/// What events are looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `EventId`.
    EventId,
    /// `EventName`.
    EventName,
    /// `ReadOnly`: `true` or `false`.
    ReadOnly,
    /// `Username`.
    Username,
    /// `ResourceType`.
    ResourceType,
    /// `ResourceName`.
    ResourceName,
    /// `EventSource`.
    EventSource,
    /// `AccessKeyId`.
    AccessKeyId,
}

impl Attribute {
    fn from_name(name: &str) -> Option<Attribute> {
        Some(match name {
            "EventId" => Attribute::EventId,
            "EventName" => Attribute::EventName,
            "ReadOnly" => Attribute::ReadOnly,
            "Username" => Attribute::Username,
            "ResourceType" => Attribute::ResourceType,
            "ResourceName" => Attribute::ResourceName,
            "EventSource" => Attribute::EventSource,
            "AccessKeyId" => Attribute::AccessKeyId,
            _ => return None,
        })
    }
}

/// A question to the trail.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// Account and region whose events are asked for, as `account/region`.
    pub place: String,
    /// The attribute and the value that it must have.
    pub by: Option<(Attribute, String)>,
    /// Not before this.
    pub from: Option<Time>,
    /// Not after this.
    pub until: Option<Time>,
    /// Only events with a smaller number.
    pub before: Option<u64>,
    /// At most so many events.
    pub max: usize,
}

/// What answers a lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Events, the newest first: at most as many as were asked for.
    pub events: Vec<Arc<Recorded>>,
    /// The trail was not searched to its beginning: there may be more before this number.
    pub next: Option<u64>,
}

/// An event as the trail keeps it in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the trail, which grows from each event to the next and outlives restarts.
    pub number: u64,
    /// Account and region, as `account/region`.
    pub place: String,
    /// `eventID`.
    pub id: String,
    /// `eventName`.
    pub name: String,
    /// `eventSource`.
    pub source: String,
    /// When it happened.
    pub at: Time,
    /// Whether it changed nothing.
    pub read_only: bool,
    /// Who called, by name.
    pub user: String,
    /// The access key that signed.
    pub access_key: String,
    /// Types and names of what it was about.
    pub resources: Vec<(String, String)>,
    /// The whole event as JSON.
    pub event: String,
}

impl Recorded {
    /// Whether a lookup asks for it.
    pub fn answers(&self, lookup: &Lookup) -> bool {
        let in_time =
            lookup.from.is_none_or(|from| self.at >= from) && lookup.until.is_none_or(|until| self.at <= until);
        let earlier = lookup.before.is_none_or(|before| self.number < before);
        let matches = lookup.by.as_ref().is_none_or(|(attribute, value)| match attribute {
            Attribute::EventId => self.id == *value,
            Attribute::EventName => self.name == *value,
            Attribute::ReadOnly => self.read_only.to_string() == *value,
            Attribute::Username => self.user == *value,
            Attribute::ResourceType => self.resources.iter().any(|(kind, _)| kind == value),
            Attribute::ResourceName => self.resources.iter().any(|(_, name)| name == value),
            Attribute::EventSource => self.source == *value,
            Attribute::AccessKeyId => self.access_key == *value,
        });
        self.place == lookup.place && in_time && earlier && matches
    }
}

/// LookupEvents: the newest first; by one attribute, as on AWS. A page may have
/// fewer events than were asked for, or none, and still be followed by another:
/// the search for old events goes on with it.
///
/// # Errors
/// `InvalidLookupAttributesException`, `InvalidTimeRangeException`,
/// `InvalidMaxResultsException`, `InvalidNextTokenException`, and
/// `InvalidEventCategoryException` for insights, which there are none of.
pub fn lookup_events(
    call: &Call<'_>,
    input: &wire::LookupEventsRequest,
) -> Result<wire::LookupEventsResponse, ApiError> {
    let lookup = lookup(call, input)?;
    // One more tells whether there is another page.
    let Found { mut events, next } = call.world.trail(&Lookup { max: lookup.max + 1, ..lookup.clone() });
    let more = events.len() > lookup.max;
    events.truncate(lookup.max);
    let next = events.last().filter(|_| more).map(|last| last.number).or(next);
    Ok(wire::LookupEventsResponse {
        events: events.iter().map(event).collect(),
        next_token: next.map(|number| number.to_string()),
    })
}

fn lookup(call: &Call<'_>, input: &wire::LookupEventsRequest) -> Result<Lookup, ApiError> {
    let refuse = |code: &'static str, text: &str| Err(ApiError::new(code, text.to_string()));
    if input.event_category.is_some() {
        return refuse("InvalidEventCategoryException", "Insights events are not recorded by Elastane.");
    }
    let by = match input.lookup_attributes.as_slice() {
        [] => None,
        [one] => {
            let attribute = one.attribute_key.as_deref().and_then(Attribute::from_name);
            match (attribute, &one.attribute_value) {
                (Some(attribute), Some(value)) => Some((attribute, value.clone())),
                _ => return refuse("InvalidLookupAttributesException", "The lookup attribute is not valid."),
            }
        }
        _ => return refuse("InvalidLookupAttributesException", "Only one lookup attribute can be specified."),
    };
    let time = |given: Option<elastane_wire::Timestamp>| given.map(|at| Time(at.millis()));
    let (from, until) = (time(input.start_time), time(input.end_time));
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        return refuse("InvalidTimeRangeException", "The start time must not be after the end time.");
    }
    let max = match input.max_results {
        None => PAGE_MAX,
        Some(given) => match usize::try_from(given) {
            Ok(given) if (1..=PAGE_MAX).contains(&given) => given,
            _ => return refuse("InvalidMaxResultsException", "MaxResults must be between 1 and 50."),
        },
    };
    let before = match input.next_token.as_deref().map(str::parse) {
        None => None,
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => return refuse("InvalidNextTokenException", "The next token is not valid."),
    };
    Ok(Lookup { place: call.scope.to_string(), by, from, until, before, max })
}

fn event(recorded: &Arc<Recorded>) -> wire::Event {
    let some = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
    let resource =
        |(kind, name): &(String, String)| wire::Resource { resource_type: some(kind), resource_name: some(name) };
    wire::Event {
        access_key_id: some(&recorded.access_key),
        cloud_trail_event: some(&recorded.event),
        event_id: some(&recorded.id),
        event_name: some(&recorded.name),
        event_source: some(&recorded.source),
        event_time: Some(recorded.at.0.into()),
        read_only: Some(recorded.read_only.to_string()),
        resources: recorded.resources.iter().map(resource).collect(),
        username: some(&recorded.user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Lab, ask};

    fn recorded() -> Recorded {
        Recorded {
            number: 7,
            place: "000000000000/us-east-1".to_string(),
            id: "e-1".to_string(),
            name: "RunInstances".to_string(),
            source: "ec2.amazonaws.com".to_string(),
            at: Time(5_000),
            read_only: false,
            user: "alice".to_string(),
            access_key: "AKIA1".to_string(),
            resources: vec![("AWS::EC2::Instance".to_string(), "i-1".to_string())],
            event: "{}".to_string(),
        }
    }

    /// LookupEvents: each attribute, the range of times, the page before.
    #[test]
    fn what_answers_a_lookup() {
        let base = Lookup { place: recorded().place, ..Lookup::default() };
        let by = |attribute, value: &str| Lookup { by: Some((attribute, value.to_string())), ..base.clone() };
        for (lookup, want) in [
            (base.clone(), true),
            (Lookup { place: "000000000000/eu-west-1".to_string(), ..base.clone() }, false),
            (by(Attribute::EventId, "e-1"), true),
            (by(Attribute::EventName, "runinstances"), false),
            (by(Attribute::EventName, "RunInstances"), true),
            (by(Attribute::ReadOnly, "false"), true),
            (by(Attribute::ReadOnly, "true"), false),
            (by(Attribute::Username, "alice"), true),
            (by(Attribute::ResourceType, "AWS::EC2::Instance"), true),
            (by(Attribute::ResourceName, "i-1"), true),
            (by(Attribute::ResourceName, "i-2"), false),
            (by(Attribute::EventSource, "ec2.amazonaws.com"), true),
            (by(Attribute::AccessKeyId, "AKIA2"), false),
            (Lookup { from: Some(Time(5_000)), until: Some(Time(5_000)), ..base.clone() }, true),
            (Lookup { from: Some(Time(5_001)), ..base.clone() }, false),
            (Lookup { until: Some(Time(4_999)), ..base.clone() }, false),
            (Lookup { before: Some(7), ..base.clone() }, false),
            (Lookup { before: Some(8), ..base.clone() }, true),
        ] {
            assert_eq!(recorded().answers(&lookup), want, "{lookup:?}");
        }
    }

    /// What LookupEvents refuses.
    #[test]
    fn refused_lookups() {
        let mut lab = Lab::new();
        let attribute = |key: &str| wire::LookupAttribute {
            attribute_key: Some(key.to_string()),
            attribute_value: Some("x".to_string()),
        };
        let input = wire::LookupEventsRequest::default;
        for (input, code) in [
            (
                wire::LookupEventsRequest {
                    lookup_attributes: vec![attribute("EventName"), attribute("EventId")],
                    ..input()
                },
                "InvalidLookupAttributesException",
            ),
            (
                wire::LookupEventsRequest { start_time: Some(2.into()), end_time: Some(1.into()), ..input() },
                "InvalidTimeRangeException",
            ),
            (wire::LookupEventsRequest { next_token: Some("x".to_string()), ..input() }, "InvalidNextTokenException"),
            (
                wire::LookupEventsRequest { event_category: Some("insight".to_string()), ..input() },
                "InvalidEventCategoryException",
            ),
        ] {
            let refused = ask!(lab, CloudTrailLookupEvents, input).expect_err("it is refused");
            assert_eq!(refused.code, code);
        }
    }
}
