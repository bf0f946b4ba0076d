//! Key pairs against figures of OpenSSL and OpenSSH for the same keys.

use super::rig::{Rig, code, filter};
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_engine::Config;
use elastane_wire::ec2 as wire;
use sha1::{Digest, Sha1};

/// The blob of an RSA key of 2048 bits, made by ssh-keygen for this test.
const RSA_BLOB: &str = "AAAAB3NzaC1yc2EAAAADAQABAAABAQCpweMGDIKOXYPGDPfG3GSqqLH+rEQhSZ+ohj3z7JhROBGc1iRQgSqi1xasbIM4C3gydIBh\
    TRDvScfHUhFrFyOFTC1ngkppstSAhx1pv65ihuNUrEI6DWcU1degzjfqVizCQZZ9f+XkhLLsZJc4qhteTlehTwHb37MqoBAs4x6y\
    BhBLo+GHdbLgnFeNQkEdMjeuoYxktL8j38jInNrVDFl2XyCPlLjwmd4s7NcpU8F42AOtM84lRqGoNKicLfUGybhpfsMrmCdKx7gX\
    idpzwXEAxvdm75vEvA/a0WF5ZKfmoqrENk3Izxe8TlPM/EvRkuqr3GLUVdkQ5EXMjzzX4IB3";

/// The same key as OpenSSL's SubjectPublicKeyInfo.
const RSA_SPKI: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqcHjBgyCjl2Dxgz3xtxkqqix/qxEIUmfqIY98+yYUTgRnNYkUIEqotcW\
    rGyDOAt4MnSAYU0Q70nHx1IRaxcjhUwtZ4JKabLUgIcdab+uYobjVKxCOg1nFNXXoM436lYswkGWfX/l5ISy7GSXOKobXk5XoU8B\
    29+zKqAQLOMesgYQS6Phh3Wy4JxXjUJBHTI3rqGMZLS/I9/IyJza1QxZdl8gj5S48JneLOzXKVPBeNgDrTPOJUahqDSonC31Bsm4\
    aX7DK5gnSse4F4nac8FxAMb3Zu+bxLwP2tFheWSn5qKqxDZNyM8XvE5TzPxL0ZLqq9xi1FXZEORFzI881+CAdwIDAQAB";

/// `openssl rsa -pubout -outform DER | openssl md5 -c` of it.
const RSA_MD5: &str = "df:15:cc:bf:77:47:a8:e1:79:75:cb:d8:36:67:c8:f4";

const ED25519_BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIPjhUi59NKKX+gOpZkyT9Q8dC0RwZlmmD95o3S2UFO/y";

/// `ssh-keygen -l` of it, padded.
const ED25519_SHA256: &str = "7XSFRginksjZaD+vgGLIFD594BgnaWZCgeIasiUPQZA=";

const ECDSA_BLOB: &str = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBMFk9XXFfvcvrw1ooaf0Tih6P2sPVUUNBbe+ksqueMBpIMYU\
    Axifij5PmmihyG3TKF7K+snXg2TgRr3BiCiy3a4=";

fn import(rig: &mut Rig, name: &str, material: &[u8]) -> Result<wire::ImportKeyPairResult, elastane_wire::ApiError> {
    let input = wire::ImportKeyPairRequest {
        key_name: Some(name.to_string()),
        public_key_material: Some(material.to_vec()),
        ..Default::default()
    };
    rig.write(import_key_pair, input)
}

fn create(rig: &mut Rig, name: &str, kind: Option<&str>) -> Result<wire::KeyPair, elastane_wire::ApiError> {
    let input = wire::CreateKeyPairRequest {
        key_name: Some(name.to_string()),
        key_type: kind.map(str::to_string),
        ..Default::default()
    };
    rig.write(create_key_pair, input)
}

/// Every form that EC2 takes gives the fingerprint that OpenSSL or OpenSSH gives.
#[test]
fn imported_keys_have_their_fingerprints() {
    let ssh2 = format!(
        "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"2048-bit RSA, \\\ncontinued\"\n{}\n{}\n---- END SSH2 PUBLIC KEY ----\n",
        &RSA_BLOB[..70],
        &RSA_BLOB[70..]
    );
    let line = format!("ssh-rsa {RSA_BLOB} me@host\n");
    let forms: [(&str, Vec<u8>, &str); 8] = [
        ("openssh", line.clone().into(), RSA_MD5),
        ("openssh without comment", format!("ssh-rsa {RSA_BLOB}").into(), RSA_MD5),
        ("encoded twice", STANDARD.encode(&line).into(), RSA_MD5),
        ("rfc 4716", ssh2.into(), RSA_MD5),
        ("base64 der", RSA_SPKI.into(), RSA_MD5),
        ("der", STANDARD.decode(RSA_SPKI).expect("base64"), RSA_MD5),
        ("pem", format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines(RSA_SPKI)).into(), RSA_MD5),
        ("ed25519", format!("ssh-ed25519 {ED25519_BLOB} me").into(), ED25519_SHA256),
    ];
    let mut rig = Rig::new();
    for (name, material, fingerprint) in forms {
        let made = import(&mut rig, name, &material).expect(name);
        assert_eq!(made.key_fingerprint.as_deref(), Some(fingerprint), "{name}");
    }
    let input = wire::DescribeKeyPairsRequest {
        key_names: vec!["rfc 4716".to_string()],
        include_public_key: Some(true),
        ..Default::default()
    };
    let shown = rig.read(describe_key_pairs, input).expect("it is there").key_pairs;
    assert_eq!(shown[0].public_key, Some(format!("ssh-rsa {RSA_BLOB} rfc 4716")));
    assert_eq!(shown[0].key_type.as_deref(), Some("rsa"));
}

fn lines(text: &str) -> String {
    let chunks: Vec<&str> =
        text.as_bytes().chunks(64).map(|chunk| std::str::from_utf8(chunk).expect("ASCII")).collect();
    chunks.join("\n")
}

/// What is no key that EC2 takes is refused, and leaves nothing behind.
#[test]
fn other_keys_are_refused() {
    let mut rig = Rig::new();
    let ecdsa = format!("ecdsa-sha2-nistp256 {ECDSA_BLOB} me");
    let cut = format!("ssh-rsa {}", &RSA_BLOB[..100]);
    let twice = format!("ssh-rsa {RSA_BLOB}\nssh-rsa {RSA_BLOB}");
    let huge = vec![b'A'; 1 << 20];
    for material in
        [b"x".as_slice(), b"ssh-rsa", b"\xff\xfe", ecdsa.as_bytes(), cut.as_bytes(), twice.as_bytes(), &huge]
    {
        assert_eq!(code(import(&mut rig, "k", material)), "InvalidKey.Format");
    }
    assert_eq!(code(import(&mut rig, "k", b"")), "MissingParameter");
    for name in ["", " k", "k\u{e9}", &"k".repeat(256)] {
        let expected = if name.is_empty() { "MissingParameter" } else { "InvalidParameterValue" };
        assert_eq!(code(import(&mut rig, name, RSA_SPKI.as_bytes())), expected, "{name}");
    }
    assert_eq!(rig.read(describe_key_pairs, Default::default()).expect("all").key_pairs, []);
}

/// A created RSA key is a whole one: its PEM reads back, is shown only once,
/// and the fingerprint is the SHA-1 of its PKCS#8 form.
#[test]
fn created_rsa_keys_work() {
    use rsa::pkcs1::DecodeRsaPrivateKey;
    use rsa::pkcs8::EncodePrivateKey;
    let mut rig = Rig::new();
    let made = create(&mut rig, "web", None).expect("made");
    let pem = made.key_material.expect("the private key");
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "{pem}");
    let key = rsa::RsaPrivateKey::from_pkcs1_pem(&pem).expect("a key");
    key.validate().expect("a good key");
    let digest = Sha1::digest(key.to_pkcs8_der().expect("DER").as_bytes());
    let expected: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(made.key_fingerprint, Some(expected.join(":")));
    let shown = rig.read(describe_key_pairs, Default::default()).expect("all").key_pairs.remove(0);
    assert_eq!((shown.key_type.as_deref(), shown.public_key), (Some("rsa"), None));
    assert_eq!(code(create(&mut rig, "web", Some("ed25519"))), "InvalidKeyPair.Duplicate");
}

/// A created Ed25519 key is in OpenSSH's form, and each one is another.
#[test]
fn created_ed25519_keys_work() {
    let mut rig = Rig::new();
    let one = create(&mut rig, "one", Some("ed25519")).expect("made");
    let two = create(&mut rig, "two", Some("ed25519")).expect("made");
    assert_ne!(one.key_fingerprint, two.key_fingerprint);
    let key = ssh_key::PrivateKey::from_openssh(one.key_material.expect("the private key")).expect("a key");
    let again = import(&mut rig, "three", key.public_key().to_openssh().expect("a line").as_bytes()).expect("imported");
    assert_eq!(again.key_fingerprint, one.key_fingerprint);
}

/// Without entropy from outside no key is made, rather than one that can be guessed.
#[test]
fn keys_need_entropy() {
    let mut rig = Rig::with(Config::default(), "us-east-1");
    assert_eq!(code(create(&mut rig, "web", Some("ed25519"))), "UnsupportedOperation");
}

/// Names, ids and filters choose; what is not there is said; deleting it succeeds.
#[test]
fn key_pairs_are_described_and_deleted() {
    let mut rig = Rig::new();
    let material = format!("ssh-ed25519 {ED25519_BLOB}");
    let id = import(&mut rig, "web", material.as_bytes()).expect("imported").key_pair_id.expect("an id");
    import(&mut rig, "db", material.as_bytes()).expect("imported");
    let cases = [
        (wire::DescribeKeyPairsRequest::default(), vec!["db", "web"]),
        (wire::DescribeKeyPairsRequest { key_pair_ids: vec![id.clone()], ..Default::default() }, vec!["web"]),
        (wire::DescribeKeyPairsRequest { filters: vec![filter("key-name", "d*")], ..Default::default() }, vec!["db"]),
    ];
    for (input, names) in cases {
        let shown = rig.read(describe_key_pairs, input).expect("described").key_pairs;
        let found: Vec<String> = shown.into_iter().filter_map(|pair| pair.key_name).collect();
        assert_eq!(found, names);
    }
    let unknown = wire::DescribeKeyPairsRequest { key_names: vec!["x".to_string()], ..Default::default() };
    assert_eq!(code(rig.read(describe_key_pairs, unknown)), "InvalidKeyPair.NotFound");
    let dry =
        wire::DeleteKeyPairRequest { key_name: Some("web".to_string()), dry_run: Some(true), ..Default::default() };
    assert_eq!(code(rig.write(delete_key_pair, dry)), "DryRunOperation");
    let by_id = wire::DeleteKeyPairRequest { key_pair_id: Some(id.clone()), ..Default::default() };
    assert_eq!(rig.write(delete_key_pair, by_id.clone()).expect("deleted").key_pair_id, Some(id));
    assert_eq!(rig.write(delete_key_pair, by_id).expect("gone already").key_pair_id, None);
}
