//! SimulatePrincipalPolicy and SimulateCustomPolicy: the evaluator that
//! decides real requests, asked about made-up ones.

use super::sources::{self, Sources};
use super::{errors, names};
use crate::Call;
use elastane_domain::policy::{
    self, Context, Decision, Document, Grammar, Matched, Policies, Position, Request, Source,
};
use elastane_wire::{ApiError, iam as wire};

/// Combinations of action and resource in one call: each is a decision, and
/// all are made for every page.
const PAIRS_MAX: usize = 1_000;

/// What both operations ask, besides whose policies it is about.
struct Question<'a> {
    actions: &'a [String],
    resources: &'a [String],
    context: Context,
    /// Who asks, when a resource's policy is to be weighed.
    caller: Vec<String>,
    resource_policy: Option<Document>,
    page: (Option<&'a str>, Option<i32>),
}

/// Reads a document of a request.
///
/// # Errors
/// `InvalidInput`.
fn read(text: &str, grammar: Grammar) -> Result<Document, ApiError> {
    Document::parse(text, grammar).map_err(|err| errors::input(err.0))
}

/// Condition keys as a request gives them.
fn entries(given: &[wire::ContextEntry]) -> Context {
    let mut context = Context::default();
    for entry in given {
        let key = entry.context_key_name.as_deref().unwrap_or_default();
        context.declare(key);
        for value in &entry.context_key_values {
            context.add(key, value.as_str());
        }
    }
    context
}

/// Refuses what has no effect here.
fn refuse_unknown(owner: &Option<String>, handling: &Option<String>) -> Result<(), ApiError> {
    if owner.is_some() {
        return Err(errors::unsupported("ResourceOwner"));
    }
    if handling.is_some() {
        return Err(errors::unsupported("ResourceHandlingOption"));
    }
    Ok(())
}

/// The one boundary that a request may give.
fn boundary(texts: &[String]) -> Result<Option<Document>, ApiError> {
    if texts.len() > 1 {
        return Err(errors::input("Only one permissions boundary can be simulated.".to_string()));
    }
    texts.first().map(|text| read(text, Grammar::Identity)).transpose()
}

/// Checks that actions are actions and that there are not too many.
fn check(question: &Question<'_>) -> Result<(), ApiError> {
    let good =
        |action: &String| action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    if let Some(bad) = question.actions.iter().find(|action| !good(action)) {
        return Err(errors::input(format!("Invalid Entity Action: {bad}")));
    }
    if question.actions.len() * question.resources.len().max(1) > PAIRS_MAX {
        let message =
            format!("More than {PAIRS_MAX} combinations of actions and resources cannot be simulated at once.");
        return Err(errors::input(message));
    }
    Ok(())
}

/// SimulatePrincipalPolicy: what a user, group or role may do, by its policies
/// and those of the request together.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`, `ValidationError`.
pub fn simulate_principal_policy(
    call: &Call<'_>,
    input: &wire::SimulatePrincipalPolicyRequest,
) -> Result<wire::SimulatePolicyResponse, ApiError> {
    refuse_unknown(&input.resource_owner, &input.resource_handling_option)?;
    let arn = input.policy_source_arn.as_deref().unwrap_or_default();
    let given = sources::given(&input.policy_input_list)?;
    let mut sources = sources::of_principal(&call.view, arn)?;
    sources.exclude(&input.policy_exclusion_list);
    sources.add(&given);
    let boundary = boundary(&input.permissions_boundary_policy_input_list)?;
    sources.boundary = boundary.as_ref().or(sources.boundary);
    let mut context = entries(&input.context_entries);
    for (key, value) in sources::principal_keys(&call.view, arn) {
        if context.values(key).is_none() {
            context.add(key, value);
        }
    }
    let question = Question {
        actions: &input.action_names,
        resources: &input.resource_arns,
        context,
        caller: callers(call, input.caller_arn.as_deref().unwrap_or(arn)),
        resource_policy: input.resource_policy.as_deref().map(|text| read(text, Grammar::Resource)).transpose()?,
        page: (input.marker.as_deref(), input.max_items),
    };
    answer(&sources, &question)
}

/// SimulateCustomPolicy: what the policies of the request allow.
///
/// # Errors
/// `InvalidInput`, `ValidationError`.
pub fn simulate_custom_policy(
    call: &Call<'_>,
    input: &wire::SimulateCustomPolicyRequest,
) -> Result<wire::SimulatePolicyResponse, ApiError> {
    refuse_unknown(&input.resource_owner, &input.resource_handling_option)?;
    if !input.ordered_organization_policy_input_list.is_empty() {
        return Err(errors::unsupported("OrderedOrganizationPolicyInputList"));
    }
    let given = sources::given(&input.policy_input_list)?;
    let boundary = boundary(&input.permissions_boundary_policy_input_list)?;
    let mut sources = Sources::bounded_by(boundary.as_ref());
    sources.add(&given);
    let question = Question {
        actions: &input.action_names,
        resources: &input.resource_arns,
        context: entries(&input.context_entries),
        caller: input.caller_arn.as_deref().map(|arn| callers(call, arn)).unwrap_or_default(),
        resource_policy: input.resource_policy.as_deref().map(|text| read(text, Grammar::Resource)).transpose()?,
        page: (input.marker.as_deref(), input.max_items),
    };
    answer(&sources, &question)
}

/// Whom a Principal element may name for a caller by its ARN.
fn callers(call: &Call<'_>, arn: &str) -> Vec<String> {
    vec![arn.to_string(), call.scope.account.to_string()]
}

/// The results of all combinations, in the order of the request, page by page.
fn answer(sources: &Sources<'_>, question: &Question<'_>) -> Result<wire::SimulatePolicyResponse, ApiError> {
    check(question)?;
    let everything = ["*".to_string()];
    let resources = if question.resources.is_empty() { &everything[..] } else { question.resources };
    let pairs = question.actions.iter().flat_map(|action| resources.iter().map(move |resource| (action, resource)));
    let numbered: Vec<(usize, (&String, &String))> = pairs.enumerate().collect();
    let (page, marker) = names::cut(numbered, question.page, |(number, _)| format!("{number:06}"))?;
    let evaluation_results =
        page.into_iter().map(|(_, (action, resource))| result(sources, question, action, resource)).collect();
    Ok(wire::SimulatePolicyResponse { evaluation_results, is_truncated: Some(marker.is_some()), marker })
}

fn result(sources: &Sources<'_>, question: &Question<'_>, action: &str, resource: &str) -> wire::EvaluationResult {
    let documents = sources.documents();
    let policies = Policies {
        identity: &documents,
        boundary: sources.boundary,
        resource: question.resource_policy.as_ref(),
        ..Policies::default()
    };
    let request = Request { action, resource, principal: &question.caller, context: &question.context };
    let explained = policy::explain(&policies, &request);
    let bounds = sources.boundary.map(|boundary| {
        let alone = Policies { identity: &[boundary], ..Policies::default() };
        policy::decide(&alone, &request) == Decision::Allowed
    });
    wire::EvaluationResult {
        eval_action_name: Some(action.to_string()),
        eval_decision: Some(word(explained.decision).to_string()),
        eval_resource_name: Some(resource.to_string()),
        matched_statements: explained.matched.iter().map(|matched| statement(sources, matched)).collect(),
        missing_context_values: explained.missing,
        permissions_boundary_decision_detail: bounds
            .map(|allowed| wire::PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(allowed) }),
        ..Default::default()
    }
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allowed => "allowed",
        Decision::ExplicitDeny(_) => "explicitDeny",
        Decision::ImplicitDeny(_) => "implicitDeny",
    }
}

fn statement(sources: &Sources<'_>, matched: &Matched) -> wire::Statement {
    let (id, kind) = match matched.source {
        Source::Identity => sources.name(matched.document),
        Source::Boundary => ("PermissionsBoundaryPolicyInputList.1".to_string(), "none"),
        Source::Resource => ("ResourcePolicy".to_string(), "resource"),
        Source::Session => (String::new(), "none"),
    };
    wire::Statement {
        end_position: Some(position(matched.end)),
        source_policy_id: Some(id),
        source_policy_type: Some(kind.to_string()),
        start_position: Some(position(matched.start)),
    }
}

fn position(at: Position) -> wire::Position {
    let number = |one: u32| Some(i32::try_from(one).unwrap_or(i32::MAX));
    wire::Position { column: number(at.column), line: number(at.line) }
}

/// The condition keys of several documents, each once.
fn keys<'a>(documents: impl Iterator<Item = &'a Document>) -> wire::GetContextKeysForPolicyResponse {
    let mut found: Vec<String> = Vec::new();
    for key in documents.flat_map(Document::context_keys) {
        if !found.iter().any(|other| other.eq_ignore_ascii_case(&key)) {
            found.push(key);
        }
    }
    wire::GetContextKeysForPolicyResponse { context_key_names: found }
}

/// GetContextKeysForCustomPolicy: the keys that the policies of the request use.
///
/// # Errors
/// `InvalidInput`.
pub fn get_context_keys_for_custom_policy(
    _call: &Call<'_>,
    input: &wire::GetContextKeysForCustomPolicyRequest,
) -> Result<wire::GetContextKeysForPolicyResponse, ApiError> {
    Ok(keys(sources::given(&input.policy_input_list)?.iter()))
}

/// GetContextKeysForPrincipalPolicy: those of an identity's policies and of
/// the request's.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput`.
pub fn get_context_keys_for_principal_policy(
    call: &Call<'_>,
    input: &wire::GetContextKeysForPrincipalPolicyRequest,
) -> Result<wire::GetContextKeysForPolicyResponse, ApiError> {
    let given = sources::given(&input.policy_input_list)?;
    let arn = input.policy_source_arn.as_deref().unwrap_or_default();
    let mut sources = sources::of_principal(&call.view, arn)?;
    sources.add(&given);
    Ok(keys(sources.documents().into_iter()))
}
