//! KMS through its operations: keys, aliases, sealing, rotation, deletion.

use crate::testing::{Lab, ask};
use elastane_engine::row::EncryptionKey;
use elastane_engine::{Config, Entropy};
use elastane_wire::kms as wire;

const DAY: i64 = 86_400;

fn lab() -> Lab {
    Lab::with(Config { entropy: Some(Entropy::new([7; 32])), ..Config::default() })
}

fn some(text: &str) -> Option<String> {
    Some(text.to_string())
}

fn key(lab: &mut Lab) -> String {
    let made = ask!(lab, KmsCreateKey, wire::CreateKeyRequest::default()).expect("made");
    made.key_metadata.and_then(|metadata| metadata.key_id).expect("it has an id")
}

fn sealed(lab: &mut Lab, key: &str, context: &[(&str, &str)]) -> Vec<u8> {
    let input = wire::EncryptRequest {
        key_id: some(key),
        plaintext: Some(b"secret".to_vec()),
        encryption_context: context.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..Default::default()
    };
    ask!(lab, KmsEncrypt, input).expect("sealed").ciphertext_blob.expect("a text")
}

fn opened(lab: &mut Lab, sealed: &[u8], key: Option<&str>, context: &[(&str, &str)]) -> Result<Vec<u8>, String> {
    let input = wire::DecryptRequest {
        ciphertext_blob: Some(sealed.to_vec()),
        key_id: key.map(str::to_string),
        encryption_context: context.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..Default::default()
    };
    ask!(lab, KmsDecrypt, input).map(|got| got.plaintext.expect("a text")).map_err(|err| err.code.to_string())
}

/// A key is named by its id, its ARN, an alias and the alias's ARN; what is not there is not found.
#[test]
fn names_of_keys() {
    let mut lab = lab();
    let id = key(&mut lab);
    let alias = wire::CreateAliasRequest { alias_name: some("alias/app"), target_key_id: some(&id) };
    ask!(lab, KmsCreateAlias, alias.clone()).expect("made");
    assert_eq!(ask!(lab, KmsCreateAlias, alias).expect_err("twice").code, "AlreadyExistsException");
    let arn = |rest: &str| format!("arn:aws:kms:us-east-1:000000000000:{rest}");
    for (name, there) in [
        (id.clone(), true),
        (arn(&format!("key/{id}")), true),
        ("alias/app".to_string(), true),
        (arn("alias/app"), true),
        ("alias/other".to_string(), false),
        (arn("key/alias/app"), false),
        (format!("arn:aws:kms:eu-west-1:000000000000:key/{id}"), false),
        ("app".to_string(), false),
    ] {
        let got =
            ask!(lab, KmsDescribeKey, wire::DescribeKeyRequest { key_id: Some(name.clone()), ..Default::default() });
        let got =
            got.map(|got| got.key_metadata.and_then(|metadata| metadata.key_id)).map_err(|err| err.code.to_string());
        let want = if there { Ok(Some(id.clone())) } else { Err("NotFoundException".to_string()) };
        assert_eq!(got, want, "{name}");
    }
    for (name, code) in [
        ("app", "InvalidAliasNameException"),
        ("alias/", "ValidationException"),
        ("alias/a b", "ValidationException"),
        ("alias/aws/ebs", "NotAuthorizedException"),
    ] {
        let input = wire::CreateAliasRequest { alias_name: some(name), target_key_id: some(&id) };
        assert_eq!(ask!(lab, KmsCreateAlias, input).expect_err("no alias").code, code, "{name}");
    }
}

/// What a key sealed opens with it, in its context, and with no other.
#[test]
fn sealing_and_opening() {
    let mut lab = lab();
    let (id, other) = (key(&mut lab), key(&mut lab));
    let context = [("purpose", "test")];
    let text = sealed(&mut lab, &id, &context);
    assert_eq!(opened(&mut lab, &text, None, &context), Ok(b"secret".to_vec()));
    assert_eq!(opened(&mut lab, &text, Some(&id), &context), Ok(b"secret".to_vec()));
    let refused = |code: &str| Err(code.to_string());
    assert_eq!(opened(&mut lab, &text, Some(&other), &context), refused("IncorrectKeyException"));
    assert_eq!(opened(&mut lab, &text, None, &[]), refused("InvalidCiphertextException"));
    assert_eq!(opened(&mut lab, b"no sealed text", None, &[]), refused("InvalidCiphertextException"));
    assert_ne!(text, sealed(&mut lab, &id, &context), "the same text never looks alike");
    let moved = wire::ReEncryptRequest {
        ciphertext_blob: Some(text),
        destination_key_id: some(&other),
        source_encryption_context: [("purpose".to_string(), "test".to_string())].into(),
        ..Default::default()
    };
    let moved = ask!(lab, KmsReEncrypt, moved).expect("sealed again").ciphertext_blob.expect("a text");
    assert_eq!(opened(&mut lab, &moved, Some(&other), &[]), Ok(b"secret".to_vec()));
    let data = wire::GenerateDataKeyRequest { key_id: some(&id), key_spec: some("AES_256"), ..Default::default() };
    let data = ask!(lab, KmsGenerateDataKey, data).expect("made");
    let (plain, blob) = (data.plaintext.expect("plain"), data.ciphertext_blob.expect("sealed"));
    assert_eq!((plain.len(), opened(&mut lab, &blob, None, &[])), (32, Ok(plain.clone())));
}

/// The row does not hold the key material itself, and a log of it nothing readable.
#[test]
fn material_is_sealed_by_the_world() {
    let mut lab = lab();
    key(&mut lab);
    let row = lab.rows::<EncryptionKey>().remove(0);
    assert_eq!(row.materials.len(), 1);
    assert!(row.materials[0].sealed.len() > 44, "sealed, not bare base64: {}", row.materials[0].sealed);
}

/// A disabled key seals and opens nothing; a deleted one comes back disabled within its window and goes after it.
#[test]
fn disabled_and_deleted() {
    let mut lab = lab();
    let id = key(&mut lab);
    let text = sealed(&mut lab, &id, &[]);
    ask!(lab, KmsDisableKey, wire::DisableKeyRequest { key_id: some(&id) }).expect("disabled");
    assert_eq!(opened(&mut lab, &text, None, &[]), Err("DisabledException".to_string()));
    ask!(lab, KmsEnableKey, wire::EnableKeyRequest { key_id: some(&id) }).expect("enabled");
    let delete = |days| wire::ScheduleKeyDeletionRequest { key_id: some(&id), pending_window_in_days: Some(days) };
    assert_eq!(ask!(lab, KmsScheduleKeyDeletion, delete(6)).expect_err("too soon").code, "ValidationException");
    ask!(lab, KmsScheduleKeyDeletion, delete(7)).expect("scheduled");
    assert_eq!(opened(&mut lab, &text, None, &[]), Err("KMSInvalidStateException".to_string()));
    ask!(lab, KmsCancelKeyDeletion, wire::CancelKeyDeletionRequest { key_id: some(&id) }).expect("cancelled");
    assert_eq!(opened(&mut lab, &text, None, &[]), Err("DisabledException".to_string()));
    ask!(lab, KmsScheduleKeyDeletion, delete(7)).expect("scheduled");
    lab.pass(7 * DAY - 1);
    assert_eq!(lab.rows::<EncryptionKey>().len(), 1);
    lab.pass(1);
    assert!(lab.rows::<EncryptionKey>().is_empty());
}

/// After a rotation new texts are sealed with new material, and old ones still open.
#[test]
fn rotation() {
    let mut lab = lab();
    let id = key(&mut lab);
    let status = |lab: &mut Lab| {
        let input = wire::GetKeyRotationStatusRequest { key_id: some(&id) };
        ask!(lab, KmsGetKeyRotationStatus, input).expect("known").key_rotation_enabled
    };
    assert_eq!(status(&mut lab), Some(false));
    let on = wire::EnableKeyRotationRequest { key_id: some(&id), rotation_period_in_days: Some(90) };
    ask!(lab, KmsEnableKeyRotation, on).expect("on");
    assert_eq!(status(&mut lab), Some(true));
    let old = sealed(&mut lab, &id, &[]);
    lab.pass(90 * DAY);
    let new = sealed(&mut lab, &id, &[]);
    assert_eq!(lab.rows::<EncryptionKey>()[0].materials.len(), 2);
    for text in [old, new] {
        assert_eq!(opened(&mut lab, &text, None, &[]), Ok(b"secret".to_vec()));
    }
}

/// Policies: the default, another, one that breaks the grammar; tags.
#[test]
fn policies_and_tags() {
    let mut lab = lab();
    let id = key(&mut lab);
    let get = |lab: &mut Lab| {
        let input = wire::GetKeyPolicyRequest { key_id: some(&id), ..Default::default() };
        ask!(lab, KmsGetKeyPolicy, input).expect("there").policy.expect("a policy")
    };
    assert!(get(&mut lab).contains("Enable IAM User Permissions"));
    let put =
        |policy: &str| wire::PutKeyPolicyRequest { key_id: some(&id), policy: some(policy), ..Default::default() };
    let malformed = ask!(lab, KmsPutKeyPolicy, put("{}")).expect_err("no statement");
    assert_eq!(malformed.code, "MalformedPolicyDocumentException");
    let policy =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#;
    ask!(lab, KmsPutKeyPolicy, put(policy)).expect("put");
    assert_eq!(get(&mut lab), policy);
    let tag = |name: &str| wire::Tag { tag_key: some(name), tag_value: some("v") };
    let tags = |names: &[&str]| wire::TagResourceRequest {
        key_id: some(&id),
        tags: names.iter().map(|name| tag(name)).collect(),
    };
    ask!(lab, KmsTagResource, tags(&["a", "b"])).expect("tagged");
    assert_eq!(ask!(lab, KmsTagResource, tags(&["aws:x"])).expect_err("reserved").code, "TagException");
    let list = wire::ListResourceTagsRequest { key_id: some(&id), limit: Some(1), ..Default::default() };
    let page = ask!(lab, KmsListResourceTags, list).expect("listed");
    assert_eq!((page.tags, page.truncated), (vec![tag("a")], Some(true)));
}

/// Only the account's own symmetric keys are made.
#[test]
fn refused_keys() {
    let mut lab = lab();
    for input in [
        wire::CreateKeyRequest { key_spec: some("RSA_2048"), ..Default::default() },
        wire::CreateKeyRequest { key_usage: some("SIGN_VERIFY"), ..Default::default() },
        wire::CreateKeyRequest { multi_region: Some(true), ..Default::default() },
        wire::CreateKeyRequest { origin: some("EXTERNAL"), ..Default::default() },
    ] {
        assert_eq!(ask!(lab, KmsCreateKey, input).expect_err("refused").code, "UnsupportedOperationException");
    }
}
