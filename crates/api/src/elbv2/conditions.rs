//! Conditions of rules: from the API's forms, the short one (`Values`) and
//! the long one (`…Config`), and back. Both are shown, because clients read
//! either (terraform-calls.md 5). What values may look like, and how many
//! there may be, is said by [`elastane_domain::rules::check`].

use super::errors;
use elastane_domain::routing::{Cidr, Condition, Pattern, QueryPattern};
use elastane_domain::rules::check;
use elastane_wire::{ApiError, elbv2 as wire};

/// The fields of conditions, as the API lists them.
const FIELDS: &str = "host-header,path-pattern,http-header,http-request-method,query-string,source-ip";

/// The conditions of a rule, checked.
pub fn checked(given: &[wire::RuleCondition]) -> Result<Vec<Condition>, ApiError> {
    if given.is_empty() {
        return Err(errors::validation("A condition must be specified"));
    }
    let conditions = given.iter().map(condition).collect::<Result<Vec<_>, ApiError>>()?;
    check::check_conditions(&conditions).map_err(|err| errors::validation(err.to_string()))?;
    Ok(conditions)
}

fn condition(given: &wire::RuleCondition) -> Result<Condition, ApiError> {
    let field = given.field.as_deref().ok_or_else(|| errors::validation("A condition field must be specified"))?;
    refuse_foreign(given, field)?;
    Ok(match field {
        "host-header" => {
            let config = given.host_header_config.as_ref();
            let (values, regexes) = config.map_or((&[][..], &[][..]), |one| (&one.values, &one.regex_values));
            Condition::Host(patterns(given, values, regexes)?)
        }
        "path-pattern" => {
            let config = given.path_pattern_config.as_ref();
            let (values, regexes) = config.map_or((&[][..], &[][..]), |one| (&one.values, &one.regex_values));
            Condition::Path(patterns(given, values, regexes)?)
        }
        "http-header" => {
            let config = given.http_header_config.as_ref().ok_or_else(|| errors::missing("HttpHeaderConfig"))?;
            let name = config.http_header_name.clone().ok_or_else(|| errors::missing("HttpHeaderName"))?;
            Condition::Header { name, values: patterns(given, &config.values, &config.regex_values)? }
        }
        "http-request-method" => {
            let config = given.http_request_method_config.as_ref();
            let config = config.ok_or_else(|| errors::missing("HttpRequestMethodConfig"))?;
            Condition::Method(config.values.clone())
        }
        "query-string" => {
            let config = given.query_string_config.as_ref().ok_or_else(|| errors::missing("QueryStringConfig"))?;
            Condition::Query(config.values.iter().map(query).collect::<Result<_, ApiError>>()?)
        }
        "source-ip" => {
            let config = given.source_ip_config.as_ref().ok_or_else(|| errors::missing("SourceIpConfig"))?;
            if config.ip_address_type.is_some() {
                return Err(errors::unsupported("IpAddressType of a source-ip condition"));
            }
            Condition::SourceIp(config.values.iter().map(|text| range(text)).collect::<Result<_, ApiError>>()?)
        }
        other => return Err(errors::validation(format!("Condition field '{other}' must be one of '[{FIELDS}]'"))),
    })
}

/// A condition has the configuration of its own field only, and short values
/// only where the API has them: others would have no effect.
fn refuse_foreign(given: &wire::RuleCondition, field: &str) -> Result<(), ApiError> {
    let configured = [
        ("host-header", given.host_header_config.is_some()),
        ("path-pattern", given.path_pattern_config.is_some()),
        ("http-header", given.http_header_config.is_some()),
        ("http-request-method", given.http_request_method_config.is_some()),
        ("query-string", given.query_string_config.is_some()),
        ("source-ip", given.source_ip_config.is_some()),
    ];
    if let Some((other, _)) = configured.into_iter().find(|(name, there)| *there && *name != field) {
        let message = format!("A condition with the field '{field}' cannot have the configuration of '{other}'");
        return Err(errors::validation(message));
    }
    let short = !given.values.is_empty();
    let short_regexes = !given.regex_values.is_empty();
    let takes_short = matches!(field, "host-header" | "path-pattern");
    let takes_regexes = takes_short || field == "http-header";
    if short && !takes_short || short_regexes && !takes_regexes {
        let message = format!("A condition with the field '{field}' takes its values in its configuration");
        return Err(errors::validation(message));
    }
    Ok(())
}

/// The values of a condition, given either in the short or in the long form,
/// either as wildcard patterns or as regular expressions.
fn patterns(given: &wire::RuleCondition, values: &[String], regexes: &[String]) -> Result<Vec<Pattern>, ApiError> {
    let pick = |short: &[String], long: &[String]| match (short.is_empty(), long.is_empty()) {
        (false, false) if short != long => {
            Err(errors::validation("A condition cannot have different values in its two forms"))
        }
        (false, _) => Ok(short.to_vec()),
        (true, _) => Ok(long.to_vec()),
    };
    let (values, regexes) = (pick(&given.values, values)?, pick(&given.regex_values, regexes)?);
    match (values.is_empty(), regexes.is_empty()) {
        (false, false) => Err(errors::validation("A condition cannot have both values and regular expressions")),
        (true, true) => Err(errors::validation("A condition value must be specified")),
        (false, true) => Ok(values.into_iter().map(Pattern::Wildcard).collect()),
        (true, false) => Ok(regexes.into_iter().map(Pattern::Regex).collect()),
    }
}

fn query(given: &wire::QueryStringKeyValuePair) -> Result<QueryPattern, ApiError> {
    let value = given.value.clone().ok_or_else(|| errors::missing("QueryStringConfig.Values.member.N.Value"))?;
    let key = given.key.clone().filter(|key| !key.is_empty()).map(Pattern::Wildcard);
    Ok(QueryPattern { key, value: Pattern::Wildcard(value) })
}

/// A range of addresses; one with bits set after its prefix would be shown
/// otherwise than it was given, and is refused.
fn range(text: &str) -> Result<Cidr, ApiError> {
    let refused = |why: String| errors::validation(format!("The source-ip value '{text}' is not valid: {why}"));
    let range = check::parse_cidr(text).map_err(|err| refused(err.to_string()))?;
    let given = text.split_once('/').and_then(|(network, _)| network.parse().ok());
    if given != Some(range.network) {
        return Err(refused("the value is not the first address of its CIDR block".to_string()));
    }
    Ok(range)
}

/// A condition as it is shown, in both forms.
pub fn shown(condition: &Condition) -> wire::RuleCondition {
    let mut shown = wire::RuleCondition { field: Some(check::field(condition).to_string()), ..Default::default() };
    match condition {
        Condition::Host(patterns) => {
            let (values, regex_values) = texts(patterns);
            shown.values = values.clone();
            shown.host_header_config = Some(wire::HostHeaderConditionConfig { values, regex_values });
        }
        Condition::Path(patterns) => {
            let (values, regex_values) = texts(patterns);
            shown.values = values.clone();
            shown.path_pattern_config = Some(wire::PathPatternConditionConfig { values, regex_values });
        }
        Condition::Header { name, values } => {
            let (values, regex_values) = texts(values);
            let http_header_name = Some(name.clone());
            shown.http_header_config = Some(wire::HttpHeaderConditionConfig { http_header_name, values, regex_values });
        }
        Condition::Method(values) => {
            shown.http_request_method_config = Some(wire::HttpRequestMethodConditionConfig { values: values.clone() });
        }
        Condition::Query(values) => {
            let pair = |one: &QueryPattern| wire::QueryStringKeyValuePair {
                key: one.key.as_ref().map(text),
                value: Some(text(&one.value)),
            };
            shown.query_string_config =
                Some(wire::QueryStringConditionConfig { values: values.iter().map(pair).collect() });
        }
        Condition::SourceIp(ranges) => {
            let values = ranges.iter().map(|range| format!("{}/{}", range.network, range.prefix)).collect();
            shown.source_ip_config = Some(wire::SourceIpConditionConfig { ip_address_type: None, values });
        }
    }
    shown
}

/// Wildcard patterns and regular expressions, apart.
fn texts(patterns: &[Pattern]) -> (Vec<String>, Vec<String>) {
    let wild = patterns.iter().filter(|pattern| matches!(pattern, Pattern::Wildcard(_)));
    let regexes = patterns.iter().filter(|pattern| matches!(pattern, Pattern::Regex(_)));
    (wild.map(text).collect(), regexes.map(text).collect())
}

fn text(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Wildcard(text) | Pattern::Regex(text) => text.clone(),
    }
}
