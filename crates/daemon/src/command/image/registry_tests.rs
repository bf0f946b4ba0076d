use super::*;

/// A file that is not there is told from a registry's image by the host.
#[test]
fn references_name_their_host() {
    for text in ["127.0.0.1:5000/web:v1", "registry.example.com/team/web", "localhost/web"] {
        assert!(parse(text).is_ok(), "{text}");
    }
    for text in ["rootfs.tar", "./missing/root.tar", "/missing/root.tar", "web:v1", "team/web"] {
        let err = parse(text).expect_err(text).to_string();
        assert!(err.contains("HOST[:PORT]/NAME[:TAG]"), "{err}");
    }
    for (registry, loopback) in
        [("127.0.0.1:5000", true), ("localhost", true), ("[::1]:5000", true), ("registry.example.com:443", false)]
    {
        assert_eq!(is_loopback(registry), loopback, "{registry}");
    }
}

/// The host of a key counts, whatever is around it; other registries' secrets stay.
#[test]
fn credentials_of_the_users_configuration() {
    let path = std::env::temp_dir().join(format!("elastane-docker-config-{}", std::process::id()));
    let secret = base64::engine::general_purpose::STANDARD.encode("me:s3:cret");
    let text = format!("{{\"auths\":{{\"https://registry.example.com/v1/\":{{\"auth\":\"{secret}\"}}}}}}");
    std::fs::write(&path, text).expect("a temporary file");
    let of = |reference: &str| credentials(&path, &parse(reference).expect("a reference")).expect("readable");
    let found = (of("registry.example.com/web"), of("other.example.com/web"));
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(found.0, RegistryAuth::Basic("me".to_string(), "s3:cret".to_string()));
    assert_eq!(found.1, RegistryAuth::Anonymous);
}
