//! Metadata options of instances and the account's defaults for them
//! (ec2-imds.md 1).

use super::instances::one;
use super::instances_shape as shape;
use super::launch_data::{choice, hop_limit, text};
use super::{errors, recast};
use crate::{Call, Change};
use elastane_engine::launch;
use elastane_engine::row::*;
use elastane_wire::{ApiError, ec2 as wire};

const ENDPOINT: (&str, &str) = ("enabled", "disabled");
const TOKENS: (&str, &str) = ("required", "optional");

/// The word, and the hop limit, with which a default is taken back.
const NO_PREFERENCE: &str = "no-preference";
const NO_HOP_LIMIT: i32 = -1;

/// ModifyInstanceMetadataOptions: members that are left out stay as they are.
/// They hold from the commit on, also for a stopped instance's next boot.
///
/// # Errors
/// `InvalidInstanceID.*`, `InvalidParameterValue`, `IncorrectInstanceState`
/// for one that is going or gone, `UnsupportedOperation` for IPv6 and for
/// optional tokens where the account enforces them.
pub fn modify_instance_metadata_options(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstanceMetadataOptionsRequest,
) -> Result<wire::ModifyInstanceMetadataOptionsResult, ApiError> {
    const NAMES: &[&str] =
        &["DryRun", "HttpEndpoint", "HttpPutResponseHopLimit", "HttpTokens", "InstanceId", "InstanceMetadataTags"];
    recast::only(&wire::MODIFY_INSTANCE_METADATA_OPTIONS_REQUEST, input, NAMES)?;
    let row = one(&change.view(), input.instance_id.as_ref())?.clone();
    let endpoint = choice(&input.http_endpoint, ENDPOINT, "HttpEndpoint")?;
    let tokens_required = choice(&input.http_tokens, TOKENS, "HttpTokens")?;
    let hops = hop_limit(input.http_put_response_hop_limit)?;
    let tags = choice(&input.instance_metadata_tags, ENDPOINT, "InstanceMetadataTags")?;
    if matches!(row.phase, Phase::ShuttingDown | Phase::Terminated { .. }) {
        return Err(errors::incorrect_state(row.id.as_str(), "modified"));
    }
    let enforced = settings(&change.view()).tokens_enforced == Some(true);
    if enforced && tokens_required == Some(false) {
        return Err(ApiError::new(
            "UnsupportedOperation",
            "HttpTokens cannot be set to 'optional': the account enforces tokens (HttpTokensEnforced).",
        ));
    }
    if tags == Some(true) {
        launch::check_tag_keys(&row.tags).map_err(errors::refused)?;
    }
    let metadata = MetadataOptions {
        endpoint: endpoint.unwrap_or(row.metadata.endpoint),
        tokens_required: tokens_required.unwrap_or(row.metadata.tokens_required),
        hop_limit: hops.unwrap_or(row.metadata.hop_limit),
        tags: tags.unwrap_or(row.metadata.tags),
    };
    change.update(row.id.as_str(), |row: &mut Instance| row.metadata = metadata);
    errors::dry_run(input.dry_run)?;
    // The instance learns of it after the commit, and so after this answer.
    let shown = wire::InstanceMetadataOptionsResponse {
        state: Some("pending".to_string()),
        ..shape::metadata_options(&metadata)
    };
    Ok(wire::ModifyInstanceMetadataOptionsResult {
        instance_id: Some(row.id.to_string()),
        instance_metadata_options: Some(shown),
    })
}

fn settings(view: &elastane_engine::View<'_>) -> AccountSettings {
    view.get::<AccountSettings>(AccountSettings::ID).map(|row| AccountSettings::clone(row)).unwrap_or_default()
}

/// A default that a call sets, takes back (`Some(None)`) or leaves alone.
fn preference(value: &Option<String>, words: (&str, &str), member: &str) -> Result<Option<Option<bool>>, ApiError> {
    match text(value).as_deref() {
        None => Ok(None),
        Some(NO_PREFERENCE) => Ok(Some(None)),
        Some(_) => choice(value, words, member).map(Some),
    }
}

/// ModifyInstanceMetadataDefaults, for launches from now on.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn modify_instance_metadata_defaults(
    change: &mut Change<'_, '_>,
    input: &wire::ModifyInstanceMetadataDefaultsRequest,
) -> Result<wire::ModifyInstanceMetadataDefaultsResult, ApiError> {
    let mut row = settings(&change.view());
    let endpoint = preference(&input.http_endpoint, ENDPOINT, "HttpEndpoint")?;
    let tokens = preference(&input.http_tokens, TOKENS, "HttpTokens")?;
    let tags = preference(&input.instance_metadata_tags, ENDPOINT, "InstanceMetadataTags")?;
    let enforced = preference(&input.http_tokens_enforced, ENDPOINT, "HttpTokensEnforced")?;
    let hops = match input.http_put_response_hop_limit {
        None => None,
        Some(NO_HOP_LIMIT) => Some(None),
        hops => Some(hop_limit(hops)?),
    };
    row.metadata = MetadataChoice {
        endpoint: endpoint.unwrap_or(row.metadata.endpoint),
        tokens_required: tokens.unwrap_or(row.metadata.tokens_required),
        hop_limit: hops.unwrap_or(row.metadata.hop_limit),
        tags: tags.unwrap_or(row.metadata.tags),
    };
    row.tokens_enforced = enforced.unwrap_or(row.tokens_enforced);
    errors::dry_run(input.dry_run)?;
    change.put(row);
    Ok(wire::ModifyInstanceMetadataDefaultsResult { r#return: Some(true) })
}

/// GetInstanceMetadataDefaults: those that were set.
///
/// # Errors
/// None but `DryRunOperation`.
pub fn get_instance_metadata_defaults(
    call: &Call<'_>,
    input: &wire::GetInstanceMetadataDefaultsRequest,
) -> Result<wire::GetInstanceMetadataDefaultsResult, ApiError> {
    errors::dry_run(input.dry_run)?;
    let row = settings(&call.view);
    let word = |choice: Option<bool>, (yes, no): (&str, &str)| choice.map(|on| if on { yes } else { no }.to_string());
    let account_level = wire::InstanceMetadataDefaultsResponse {
        http_endpoint: word(row.metadata.endpoint, ENDPOINT),
        http_put_response_hop_limit: row.metadata.hop_limit.map(i32::from),
        http_tokens: word(row.metadata.tokens_required, TOKENS),
        http_tokens_enforced: word(row.tokens_enforced, ENDPOINT),
        instance_metadata_tags: word(row.metadata.tags, ENDPOINT),
        managed_by: Some("account".to_string()),
        ..Default::default()
    };
    Ok(wire::GetInstanceMetadataDefaultsResult { account_level: Some(account_level) })
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, run, tag};
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_string())
    }

    fn set_defaults(scene: &mut Scene, input: wire::ModifyInstanceMetadataDefaultsRequest) {
        scene.write(|change| modify_instance_metadata_defaults(change, &input)).expect("set");
    }

    /// Each member for itself: the call's, the account's, then EC2's; `no-preference` takes back.
    #[test]
    fn ec2_1_members_are_resolved_one_by_one() {
        let mut scene = Scene::new();
        set_defaults(
            &mut scene,
            wire::ModifyInstanceMetadataDefaultsRequest {
                http_tokens: text("required"),
                http_put_response_hop_limit: Some(3),
                ..Default::default()
            },
        );
        let mut input = run(1);
        input.metadata_options =
            Some(wire::InstanceMetadataOptionsRequest { http_put_response_hop_limit: Some(5), ..Default::default() });
        let launched = scene.write(|change| super::super::run_instances(change, &input)).expect("a launch");
        let options = launched.instances[0].metadata_options.clone().expect("shown");
        assert_eq!((options.http_tokens.as_deref(), options.http_put_response_hop_limit), (Some("required"), Some(5)));
        let defaults = scene.read(|call| get_instance_metadata_defaults(call, &Default::default())).expect("read");
        let defaults = defaults.account_level.expect("a level");
        assert_eq!((defaults.http_endpoint, defaults.http_put_response_hop_limit), (None, Some(3)));
        set_defaults(
            &mut scene,
            wire::ModifyInstanceMetadataDefaultsRequest {
                http_tokens: text(NO_PREFERENCE),
                http_put_response_hop_limit: Some(NO_HOP_LIMIT),
                ..Default::default()
            },
        );
        let id = scene.launch(1).remove(0);
        let options = scene.row::<Instance>(&id).metadata;
        assert_eq!((options.tokens_required, options.hop_limit), (false, 1));
    }

    /// Enforced tokens refuse launches and changes without them.
    #[test]
    fn ec2_1_enforced_tokens() {
        let mut scene = Scene::new();
        let id = scene.launch(1).remove(0);
        let enforced =
            wire::ModifyInstanceMetadataDefaultsRequest { http_tokens_enforced: text("enabled"), ..Default::default() };
        set_defaults(&mut scene, enforced);
        let err = scene.write(|change| super::super::run_instances(change, &run(1))).expect_err("optional tokens");
        assert_eq!(err.code, "UnsupportedOperation");
        let modify = |scene: &mut Scene, tokens: &str| {
            let input = wire::ModifyInstanceMetadataOptionsRequest {
                instance_id: Some(id.clone()),
                http_tokens: text(tokens),
                ..Default::default()
            };
            scene.write(|change| modify_instance_metadata_options(change, &input))
        };
        assert_eq!(modify(&mut scene, "optional").expect_err("enforced").code, "UnsupportedOperation");
        let shown = modify(&mut scene, "required").expect("allowed").instance_metadata_options.expect("shown");
        assert_eq!((shown.http_tokens.as_deref(), shown.state.as_deref()), (Some("required"), Some("pending")));
        assert!(scene.row::<Instance>(&id).metadata.tokens_required);
    }

    /// What a change of options is refused for.
    #[test]
    fn refused_options() {
        let mut scene = Scene::new();
        let mut input = run(1);
        input.tag_specifications =
            vec![wire::TagSpecification { resource_type: text("instance"), tags: vec![tag("a/b", "c")] }];
        let launched = scene.write(|change| super::super::run_instances(change, &input)).expect("a launch");
        let id = launched.instances[0].instance_id.clone();
        type Request = wire::ModifyInstanceMetadataOptionsRequest;
        let of = || Request { instance_id: id.clone(), ..Default::default() };
        for (code, input) in [
            ("InvalidInstanceID.NotFound", Request { instance_id: text("i-0123456789abcdef0"), ..of() }),
            ("InvalidParameterValue", Request { http_tokens: text("maybe"), ..of() }),
            ("InvalidParameterValue", Request { http_put_response_hop_limit: Some(65), ..of() }),
            ("UnsupportedOperation", Request { http_protocol_ipv6: text("enabled"), ..of() }),
            ("InvalidParameterValue", Request { instance_metadata_tags: text("enabled"), ..of() }),
            ("DryRunOperation", Request { http_tokens: text("required"), dry_run: Some(true), ..of() }),
        ] {
            let err = scene.write(|change| modify_instance_metadata_options(change, &input)).expect_err(code);
            assert_eq!(err.code, code, "{input:?}");
        }
    }
}
