//! The policies that a simulation is about, and where each comes from.

use super::errors;
use elastane_domain::policy::{Document, Grammar};
use elastane_engine::View;
use elastane_engine::identity::{self, Bearer, Managed};
use elastane_engine::row::{PolicyText, Role, User, UserGroup};
use elastane_wire::{ApiError, iam as wire};

/// Policies by where they come from.
#[derive(Default)]
pub(super) struct Sources<'a> {
    policies: Vec<Named<'a>>,
    /// The boundary, the identity's own or the request's.
    pub boundary: Option<&'a Document>,
}

/// A policy and what it is called.
struct Named<'a> {
    place: Place,
    document: &'a Document,
}

/// Where a policy comes from.
enum Place {
    /// The number in PolicyInputList.
    Given(usize),
    /// An inline policy of a kind of identity, of one of a name.
    Inline { noun: &'static str, bearer: String, name: String },
    /// A managed policy, AWS's or the account's.
    Managed { arn: String, aws: bool },
}

/// Reads PolicyInputList.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn given(texts: &[String]) -> Result<Vec<Document>, ApiError> {
    texts.iter().map(|text| Document::parse(text, Grammar::Identity).map_err(|err| errors::input(err.0))).collect()
}

/// The policies of the user, group or role of an ARN; a user's with those of
/// its groups.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub(super) fn of_principal<'a>(view: &View<'a>, arn: &str) -> Result<Sources<'a>, ApiError> {
    let mut sources = Sources::default();
    match found(view, arn)? {
        Found::User(user) => {
            sources.gather(view, user);
            for group in user.groups.iter().filter_map(|name| view.get::<UserGroup>(name)) {
                sources.gather(view, &**group);
            }
            sources.bound(view, &user.boundary);
        }
        Found::Group(group) => sources.gather(view, group),
        Found::Role(role) => {
            sources.gather(view, role);
            sources.bound(view, &role.boundary);
        }
    }
    Ok(sources)
}

enum Found<'a> {
    User(&'a User),
    Group(&'a UserGroup),
    Role(&'a Role),
}

/// The identity of an ARN.
fn found<'a>(view: &View<'a>, arn: &str) -> Result<Found<'a>, ApiError> {
    let account = &view.scope.account;
    let resource = arn.strip_prefix(&format!("arn:aws:iam::{account}:"));
    let resource = resource.ok_or_else(|| {
        errors::input(format!("Invalid Entity Arn: {arn} does not clearly define entity type and name."))
    })?;
    let name = resource.rsplit('/').next().unwrap_or_default();
    let gone = |noun: &str| errors::no_such(&format!("The {noun} with name"), name);
    match resource.split('/').next() {
        Some("user") => {
            let row = view.get::<User>(name).filter(|row| identity::user_arn(account, row) == arn);
            row.map(|row| Found::User(row)).ok_or_else(|| gone("user"))
        }
        Some("group") => {
            let row = view.get::<UserGroup>(name).filter(|row| identity::group_arn(account, row) == arn);
            row.map(|row| Found::Group(row)).ok_or_else(|| gone("group"))
        }
        Some("role") => {
            let row = view.get::<Role>(name).filter(|row| identity::role_arn(account, row) == arn);
            row.map(|row| Found::Role(row)).ok_or_else(|| gone("role"))
        }
        _ => Err(errors::input(format!("Invalid Entity Arn: {arn} does not clearly define entity type and name."))),
    }
}

/// Condition keys that follow from who is simulated.
pub(super) fn principal_keys(view: &View<'_>, arn: &str) -> Vec<(&'static str, String)> {
    let account = view.scope.account.to_string();
    let mut keys = vec![("aws:PrincipalArn", arn.to_string()), ("aws:PrincipalAccount", account)];
    match found(view, arn) {
        Ok(Found::User(user)) => keys.extend([
            ("aws:username", user.name.clone()),
            ("aws:userid", user.id.clone()),
            ("aws:PrincipalType", "User".to_string()),
        ]),
        Ok(Found::Role(_)) => keys.push(("aws:PrincipalType", "AssumedRole".to_string())),
        Ok(Found::Group(_)) | Err(_) => {}
    }
    keys
}

impl<'a> Sources<'a> {
    /// None but a boundary.
    pub(super) fn bounded_by(boundary: Option<&'a Document>) -> Sources<'a> {
        Sources { policies: Vec::new(), boundary }
    }

    /// Adds the inline and attached policies of an identity.
    fn gather<B: Bearer>(&mut self, view: &View<'a>, bearer: &'a B) {
        for (name, policy) in &bearer.permissions().inline {
            let place = Place::Inline { noun: B::NOUN, bearer: bearer.name().to_string(), name: name.to_string() };
            self.policies.push(Named { place, document: policy.document(Grammar::Identity) });
        }
        for arn in &bearer.permissions().attached {
            let Some(policy) = identity::managed(view, arn) else { continue };
            let Some(text) = policy.in_force() else { continue };
            let place = Place::Managed { arn: arn.clone(), aws: matches!(policy, Managed::Aws(_)) };
            self.policies.push(Named { place, document: text.document(Grammar::Identity) });
        }
    }

    /// Sets the boundary by its ARN.
    fn bound(&mut self, view: &View<'a>, arn: &Option<String>) {
        let Some(arn) = arn else { return };
        let text = identity::managed(view, arn).and_then(|policy| policy.in_force());
        self.boundary = Some(text.unwrap_or(PolicyText::denying_all()).document(Grammar::Identity));
    }

    /// Adds the policies of the request.
    pub(super) fn add(&mut self, given: &'a [Document]) {
        let named = given.iter().enumerate().map(|(at, document)| Named { place: Place::Given(at + 1), document });
        self.policies.extend(named);
    }

    /// Leaves out the identity's policies that the request names.
    pub(super) fn exclude(&mut self, excluded: &[wire::PolicyIdentifier]) {
        self.policies.retain(|policy| !excluded.iter().any(|one| policy.place.is(one)));
    }

    /// The documents, in order.
    pub(super) fn documents(&self) -> Vec<&'a Document> {
        self.policies.iter().map(|policy| policy.document).collect()
    }

    /// What the document of a place in the list is called, and its kind.
    pub(super) fn name(&self, at: usize) -> (String, &'static str) {
        match self.policies.get(at).map(|policy| &policy.place) {
            Some(Place::Given(number)) => (format!("PolicyInputList.{number}"), "none"),
            Some(Place::Inline { noun, bearer, name }) => (format!("{noun}_{bearer}_{name}"), noun),
            Some(Place::Managed { arn, aws }) => {
                let name = arn.rsplit('/').next().unwrap_or_default().to_string();
                (name, if *aws { "aws-managed" } else { "user-managed" })
            }
            None => (String::new(), "none"),
        }
    }
}

impl Place {
    /// Whether an identifier of the request names it.
    fn is(&self, identifier: &wire::PolicyIdentifier) -> bool {
        match self {
            Place::Given(_) => false,
            Place::Managed { arn, .. } => identifier.policy_arn.as_ref() == Some(arn),
            Place::Inline { noun, bearer, name } => {
                identifier.inline_policy_identifier.as_ref().is_some_and(|inline| {
                    inline.policy_name.as_ref() == Some(name)
                        && inline.attachment_name.as_ref() == Some(bearer)
                        && inline.attachment_type.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case(noun))
                })
            }
        }
    }
}
