//! Transforms of rules, from and to the API's forms (alb.md 2, point 5).

use super::errors;
use elastane_domain::routing::{Rewrite, Transform};
use elastane_domain::rules::check;
use elastane_wire::{ApiError, elbv2 as wire};

/// The transforms of a rule, checked.
pub fn checked(given: &[wire::RuleTransform]) -> Result<Vec<Transform>, ApiError> {
    let transforms = given.iter().map(transform).collect::<Result<Vec<_>, ApiError>>()?;
    check::check_transforms(&transforms).map_err(|err| errors::validation(err.to_string()))?;
    Ok(transforms)
}

fn transform(given: &wire::RuleTransform) -> Result<Transform, ApiError> {
    let host = given.host_header_rewrite_config.as_ref().map(|config| &config.rewrites);
    let url = given.url_rewrite_config.as_ref().map(|config| &config.rewrites);
    match given.r#type.as_deref() {
        Some("host-header-rewrite") if url.is_none() => Ok(Transform::Host(rewrite("HostHeaderRewriteConfig", host)?)),
        Some("url-rewrite") if host.is_none() => Ok(Transform::Url(rewrite("UrlRewriteConfig", url)?)),
        Some(kind @ ("host-header-rewrite" | "url-rewrite")) => {
            Err(errors::validation(format!("A transform of the type '{kind}' has the configuration of another type")))
        }
        Some(other) => {
            let message = format!("Transform type '{other}' must be one of '[host-header-rewrite,url-rewrite]'");
            Err(errors::validation(message))
        }
        None => Err(errors::missing("Transforms.member.N.Type")),
    }
}

/// The one rewrite of a transform.
fn rewrite(config: &str, rewrites: Option<&Vec<wire::RewriteConfig>>) -> Result<Rewrite, ApiError> {
    let [rewrite] = rewrites.ok_or_else(|| errors::missing(config))?.as_slice() else {
        return Err(errors::validation("A transform must have exactly one rewrite"));
    };
    Ok(Rewrite {
        regex: rewrite.regex.clone().ok_or_else(|| errors::missing("Regex"))?,
        replace: rewrite.replace.clone().unwrap_or_default(),
    })
}

/// A transform as it is shown.
pub fn shown(transform: &Transform) -> wire::RuleTransform {
    let rewrites = |one: &Rewrite| {
        vec![wire::RewriteConfig { regex: Some(one.regex.clone()), replace: Some(one.replace.clone()) }]
    };
    match transform {
        Transform::Host(one) => wire::RuleTransform {
            r#type: Some("host-header-rewrite".to_string()),
            host_header_rewrite_config: Some(wire::HostHeaderRewriteConfig { rewrites: rewrites(one) }),
            url_rewrite_config: None,
        },
        Transform::Url(one) => wire::RuleTransform {
            r#type: Some("url-rewrite".to_string()),
            host_header_rewrite_config: None,
            url_rewrite_config: Some(wire::UrlRewriteConfig { rewrites: rewrites(one) }),
        },
    }
}
