//! Simulations: the decisions of made-up requests.

use super::rig::*;
use crate::testing::ask;
use elastane_wire::iam as wire;

fn entry(key: &str, value: &str) -> wire::ContextEntry {
    wire::ContextEntry {
        context_key_name: some(key),
        context_key_type: some("string"),
        context_key_values: vec![value.to_string()],
    }
}

/// The policies of the request decide; statements, missing keys and pages are told.
#[test]
fn custom_policies() {
    let mut lab = lab();
    let conditional = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"ec2:RunInstances","Resource":"*",
         "Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}},
        {"Effect":"Deny","Action":"ec2:TerminateInstances","Resource":"*"}]}"#;
    let ask_with = |entries: Vec<wire::ContextEntry>, boundary: Vec<String>| wire::SimulateCustomPolicyRequest {
        policy_input_list: vec![conditional.to_string()],
        action_names: ["ec2:RunInstances", "ec2:TerminateInstances", "s3:GetObject"].map(str::to_string).to_vec(),
        context_entries: entries,
        permissions_boundary_policy_input_list: boundary,
        ..Default::default()
    };
    let region = || vec![entry("aws:RequestedRegion", "eu-west-1")];
    let only_s3 = vec![policy("Allow", "s3:*", "*")];
    for (input, want) in [
        (ask_with(Vec::new(), Vec::new()), ["implicitDeny", "explicitDeny", "implicitDeny"]),
        (ask_with(region(), Vec::new()), ["allowed", "explicitDeny", "implicitDeny"]),
        (ask_with(region(), only_s3), ["implicitDeny", "explicitDeny", "implicitDeny"]),
    ] {
        let results = ask!(lab, IamSimulateCustomPolicy, input).expect("decided").evaluation_results;
        let decisions: Vec<&str> = results.iter().filter_map(|one| one.eval_decision.as_deref()).collect();
        assert_eq!(decisions, want);
    }
    let blind = ask!(lab, IamSimulateCustomPolicy, ask_with(Vec::new(), Vec::new())).expect("decided");
    assert_eq!(blind.evaluation_results[0].missing_context_values, ["aws:RequestedRegion"]);
    let denied = &blind.evaluation_results[1].matched_statements;
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].source_policy_id.as_deref(), Some("PolicyInputList.1"));
    assert_eq!(denied[0].start_position.as_ref().and_then(|at| at.line), Some(4));
    let page = wire::SimulateCustomPolicyRequest { max_items: Some(2), ..ask_with(Vec::new(), Vec::new()) };
    let first = ask!(lab, IamSimulateCustomPolicy, page.clone()).expect("a page");
    assert_eq!((first.evaluation_results.len(), first.is_truncated), (2, Some(true)));
    let rest = wire::SimulateCustomPolicyRequest { marker: first.marker, ..page };
    let rest = ask!(lab, IamSimulateCustomPolicy, rest).expect("the rest").evaluation_results;
    assert_eq!(rest.iter().map(|one| one.eval_action_name.as_deref()).collect::<Vec<_>>(), [Some("s3:GetObject")]);
    let keys = wire::GetContextKeysForCustomPolicyRequest { policy_input_list: vec![conditional.to_string()] };
    let keys = ask!(lab, IamGetContextKeysForCustomPolicy, keys).expect("read").context_key_names;
    assert_eq!(keys, ["aws:RequestedRegion"]);
    let bad = wire::SimulateCustomPolicyRequest {
        policy_input_list: vec!["{".to_string()],
        ..ask_with(Vec::new(), Vec::new())
    };
    assert_eq!(code(ask!(lab, IamSimulateCustomPolicy, bad)).0, "InvalidInput");
}

/// An identity's own policies decide, with those of the request, and without
/// those that are left out.
#[test]
fn principals() {
    let mut lab = lab();
    user(&mut lab, "ann").expect("made");
    inline(&mut lab, "ann", "own", &policy("Allow", "s3:*", "arn:aws:s3:::${aws:username}/*")).expect("set");
    let arn = managed(&mut lab, "deny", &policy("Deny", "s3:DeleteObject", "*"));
    let attach = wire::AttachUserPolicyRequest { policy_arn: some(&arn), user_name: some("ann") };
    ask!(lab, IamAttachUserPolicy, attach).expect("attached");
    let simulate = |actions: &[&str]| wire::SimulatePrincipalPolicyRequest {
        policy_source_arn: some("arn:aws:iam::000000000000:user/ann"),
        action_names: actions.iter().map(|action| (*action).to_string()).collect(),
        resource_arns: vec!["arn:aws:s3:::ann/a".to_string(), "arn:aws:s3:::bob/a".to_string()],
        ..Default::default()
    };
    let decisions = |results: Vec<wire::EvaluationResult>| -> Vec<String> {
        results.into_iter().filter_map(|one| one.eval_decision).collect()
    };
    let own = ask!(lab, IamSimulatePrincipalPolicy, simulate(&["s3:GetObject", "s3:DeleteObject"])).expect("decided");
    let kinds: Vec<Option<String>> =
        own.evaluation_results[2].matched_statements.iter().map(|one| one.source_policy_type.clone()).collect();
    assert_eq!(kinds, [some("user-managed")]);
    assert_eq!(decisions(own.evaluation_results), ["allowed", "implicitDeny", "explicitDeny", "explicitDeny"]);
    let without = wire::SimulatePrincipalPolicyRequest {
        policy_exclusion_list: vec![wire::PolicyIdentifier { policy_arn: some(&arn), ..Default::default() }],
        policy_input_list: vec![policy("Allow", "s3:DeleteObject", "*")],
        ..simulate(&["s3:DeleteObject"])
    };
    let without = ask!(lab, IamSimulatePrincipalPolicy, without).expect("decided");
    assert_eq!(decisions(without.evaluation_results), ["allowed", "allowed"]);
    for (arn, want) in [
        ("arn:aws:iam::000000000000:user/none", "NoSuchEntity"),
        ("arn:aws:iam::000000000000:policy/deny", "InvalidInput"),
    ] {
        let input =
            wire::SimulatePrincipalPolicyRequest { policy_source_arn: some(arn), ..simulate(&["s3:GetObject"]) };
        assert_eq!(code(ask!(lab, IamSimulatePrincipalPolicy, input)).0, want, "{arn}");
    }
    let keys = wire::GetContextKeysForPrincipalPolicyRequest {
        policy_source_arn: some("arn:aws:iam::000000000000:user/ann"),
        policy_input_list: Vec::new(),
    };
    let keys = ask!(lab, IamGetContextKeysForPrincipalPolicy, keys).expect("read").context_key_names;
    assert_eq!(keys, ["aws:username"]);
}
