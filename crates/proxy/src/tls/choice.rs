//! Which of a listener's certificates a client gets: by the name that it asks
//! for, then by the kind of key that it can verify.

use rustls::SignatureScheme;
use std::collections::HashMap;

/// What a certificate's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// RSA.
    Rsa,
    /// An elliptic curve.
    Elliptic,
}

/// Certificates by the names that they are for. Their places are those of the
/// list it was made of; the first one is the default.
#[derive(Debug, Default)]
pub(crate) struct ByName {
    kinds: Vec<KeyKind>,
    exact: HashMap<String, Vec<usize>>,
    /// What follows the first label of a wildcard name.
    wildcard: HashMap<String, Vec<usize>>,
}

impl ByName {
    /// From the certificates' lower-case names and keys.
    pub(crate) fn new<'a>(certificates: impl IntoIterator<Item = (&'a [String], KeyKind)>) -> ByName {
        let mut by_name = ByName::default();
        for (index, (names, kind)) in certificates.into_iter().enumerate() {
            by_name.kinds.push(kind);
            for name in names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut by_name.wildcard, rest),
                    None => (&mut by_name.exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_default().push(index);
            }
        }
        by_name
    }

    /// The place of the certificate for a client; `None` when there are none.
    pub(crate) fn choose(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> Option<usize> {
        let default = (!self.kinds.is_empty()).then_some(0);
        let Some(name) = server_name else {
            return default;
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
        match self.exact.get(&name).or_else(wildcard) {
            Some(places) => self.best(places, schemes),
            None => default,
        }
    }

    /// Elliptic curves are cheaper for both sides, so they come first for
    /// clients that can verify them.
    fn best(&self, places: &[usize], schemes: &[SignatureScheme]) -> Option<usize> {
        let kind = if schemes.iter().copied().any(is_elliptic) { KeyKind::Elliptic } else { KeyKind::Rsa };
        places.iter().copied().find(|&place| self.kinds[place] == kind).or_else(|| places.first().copied())
    }
}

fn is_elliptic(scheme: SignatureScheme) -> bool {
    use SignatureScheme as S;
    matches!(scheme, S::ECDSA_NISTP256_SHA256 | S::ECDSA_NISTP384_SHA384 | S::ECDSA_NISTP521_SHA512 | S::ED25519)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact names win over wildcards, wildcards over the default; a wildcard
    /// stands for one label; the key follows the client.
    #[test]
    fn choice_table() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let certificates = [
            (names(&["default.test"]), KeyKind::Rsa),
            (names(&["*.example.test"]), KeyKind::Rsa),
            (names(&["a.example.test"]), KeyKind::Rsa),
            (names(&["a.example.test", "*.other.test"]), KeyKind::Elliptic),
        ];
        let by_name = ByName::new(certificates.iter().map(|(names, kind)| (names.as_slice(), *kind)));
        let (rsa, both) = (
            [SignatureScheme::RSA_PSS_SHA256].as_slice(),
            [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256].as_slice(),
        );
        for (name, schemes, want) in [
            (None, both, 0),
            (Some("unknown.test"), both, 0),
            (Some("b.example.test"), both, 1),
            (Some("A.Example.Test."), both, 3),
            (Some("a.example.test"), rsa, 2),
            (Some("x.y.example.test"), both, 0),
            (Some("example.test"), both, 0),
            (Some("x.other.test"), rsa, 3),
        ] {
            assert_eq!(by_name.choose(name, schemes), Some(want), "{name:?}");
        }
        assert_eq!(ByName::new([]).choose(Some("a"), both), None);
    }
}
