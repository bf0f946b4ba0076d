//! The security policies of HTTPS and TLS listeners: which versions and
//! ciphers each one names, and which of those the data plane offers.
//!
//! The tables are ELB's own, so that DescribeSSLPolicies shows what clients
//! expect. The data plane speaks TLS 1.2 and 1.3 with authenticated
//! encryption and forward secrecy only: TLS 1.0 and 1.1, CBC ciphers and RSA
//! key exchange are described but never negotiated.

/// TLS 1.3's cipher suites, in ELB's order.
const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
/// Those of them that FIPS allows.
const TLS13_FIPS: [&str; 2] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"];
/// Forward secrecy and authenticated encryption.
const GCM: [&str; 4] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];
/// Forward secrecy without SHA-1.
const ECDHE: [&str; 8] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
];
/// Forward secrecy, also with SHA-1.
const ECDHE_SHA1: [&str; 12] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
];
/// RSA key exchange without SHA-1.
const RSA: [&str; 4] = ["AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"];
/// RSA key exchange, also with SHA-1.
const RSA_SHA1: [&str; 6] =
    ["AES128-GCM-SHA256", "AES128-SHA256", "AES128-SHA", "AES256-GCM-SHA384", "AES256-SHA256", "AES256-SHA"];
/// The oldest policy's last resort.
const TRIPLE_DES: [&str; 1] = ["DES-CBC3-SHA"];

const V1_0: &str = "TLSv1";
const V1_1: &str = "TLSv1.1";
const V1_2: &str = "TLSv1.2";
const V1_3: &str = "TLSv1.3";

/// The policy of listeners that were created without naming one.
pub const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";

/// One security policy as ELB describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityPolicy {
    /// Its name.
    pub name: &'static str,
    /// TLS versions, ascending.
    pub protocols: &'static [&'static str],
    /// Groups of OpenSSL cipher names, the preferred one first.
    ciphers: &'static [&'static [&'static str]],
}

/// What of a policy the data plane offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supported {
    /// TLS versions, ascending: a part of `TLSv1.2` and `TLSv1.3`.
    pub protocols: Vec<&'static str>,
    /// OpenSSL cipher names, the preferred one first.
    pub ciphers: Vec<&'static str>,
    /// Whether hybrid post-quantum key exchange is offered.
    pub post_quantum: bool,
}

impl Supported {
    /// Whether no client could ever connect: such a policy is refused.
    pub fn is_empty(&self) -> bool {
        self.protocols.is_empty() || self.ciphers.is_empty()
    }
}

impl SecurityPolicy {
    /// OpenSSL cipher names, the preferred one first: a cipher's priority is
    /// its place, counted from 1.
    pub fn ciphers(&self) -> impl Iterator<Item = &'static str> {
        self.ciphers.iter().flat_map(|group| group.iter().copied())
    }

    /// Whether clients may exchange keys with ML-KEM.
    pub fn is_post_quantum(&self) -> bool {
        self.name.contains("-PQ-")
    }

    /// What the data plane offers of it.
    pub fn supported(&self) -> Supported {
        let version = |name: &&str| matches!(*name, V1_2 | V1_3);
        let protocols: Vec<_> = self.protocols.iter().copied().filter(version).collect();
        let offered = |cipher: &&str| {
            TLS13.contains(cipher) && protocols.contains(&V1_3) || GCM.contains(cipher) && protocols.contains(&V1_2)
        };
        let ciphers = self.ciphers().filter(offered).collect();
        Supported { ciphers, post_quantum: self.is_post_quantum(), protocols }
    }
}

/// All policies, in the order in which DescribeSSLPolicies shows them.
pub fn security_policies() -> &'static [SecurityPolicy] {
    POLICIES
}

/// The policy of a name.
pub fn security_policy(name: &str) -> Option<&'static SecurityPolicy> {
    POLICIES.iter().find(|policy| policy.name == name)
}

macro_rules! policies {
    ($($name:literal: [$($version:expr),*] [$($ciphers:expr),*];)*) => {
        &[$(SecurityPolicy {
            name: concat!("ELBSecurityPolicy-", $name),
            protocols: &[$($version),*],
            ciphers: &[$(&$ciphers),*],
        }),*]
    };
}

const POLICIES: &[SecurityPolicy] = policies! {
    "2016-08": [V1_0, V1_1, V1_2] [ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-2-2021-06": [V1_2, V1_3] [TLS13, ECDHE];
    "TLS13-1-2-Res-2021-06": [V1_2, V1_3] [TLS13, GCM];
    "TLS13-1-2-Ext1-2021-06": [V1_2, V1_3] [TLS13, ECDHE, RSA];
    "TLS13-1-2-Ext2-2021-06": [V1_2, V1_3] [TLS13, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-1-2021-06": [V1_1, V1_2, V1_3] [TLS13, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-0-2021-06": [V1_0, V1_1, V1_2, V1_3] [TLS13, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-3-2021-06": [V1_3] [TLS13];
    "TLS-1-2-2017-01": [V1_2] [ECDHE, RSA];
    "TLS-1-1-2017-01": [V1_1, V1_2] [ECDHE_SHA1, RSA_SHA1];
    "TLS-1-2-Ext-2018-06": [V1_2] [ECDHE_SHA1, RSA_SHA1];
    "FS-2018-06": [V1_0, V1_1, V1_2] [ECDHE_SHA1];
    "2015-05": [V1_0, V1_1, V1_2] [ECDHE_SHA1, RSA_SHA1];
    "TLS-1-0-2015-04": [V1_0, V1_1, V1_2] [ECDHE_SHA1, RSA_SHA1, TRIPLE_DES];
    "FS-1-2-Res-2019-08": [V1_2] [ECDHE];
    "FS-1-1-2019-08": [V1_1, V1_2] [ECDHE_SHA1];
    "FS-1-2-2019-08": [V1_2] [ECDHE_SHA1];
    "FS-1-2-Res-2020-10": [V1_2] [GCM];
    "TLS13-1-3-FIPS-2023-04": [V1_3] [TLS13_FIPS];
    "TLS13-1-2-FIPS-2023-04": [V1_2, V1_3] [TLS13_FIPS, ECDHE];
    "TLS13-1-2-Res-FIPS-2023-04": [V1_2, V1_3] [TLS13_FIPS, GCM];
    "TLS13-1-2-Ext2-FIPS-2023-04": [V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-2-Ext1-FIPS-2023-04": [V1_2, V1_3] [TLS13_FIPS, ECDHE, RSA];
    "TLS13-1-2-Ext0-FIPS-2023-04": [V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1];
    "TLS13-1-1-FIPS-2023-04": [V1_1, V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-0-FIPS-2023-04": [V1_0, V1_1, V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-3-PQ-2025-09": [V1_3] [TLS13];
    "TLS13-1-2-PQ-2025-09": [V1_2, V1_3] [TLS13, ECDHE];
    "TLS13-1-2-Res-PQ-2025-09": [V1_2, V1_3] [TLS13, GCM];
    "TLS13-1-2-Ext1-PQ-2025-09": [V1_2, V1_3] [TLS13, ECDHE, RSA];
    "TLS13-1-2-Ext2-PQ-2025-09": [V1_2, V1_3] [TLS13, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-0-PQ-2025-09": [V1_0, V1_1, V1_2, V1_3] [TLS13, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-3-FIPS-PQ-2025-09": [V1_3] [TLS13_FIPS];
    "TLS13-1-2-FIPS-PQ-2025-09": [V1_2, V1_3] [TLS13_FIPS, ECDHE];
    "TLS13-1-2-Res-FIPS-PQ-2025-09": [V1_2, V1_3] [TLS13_FIPS, GCM];
    "TLS13-1-2-Ext0-FIPS-PQ-2025-09": [V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1];
    "TLS13-1-2-Ext1-FIPS-PQ-2025-09": [V1_2, V1_3] [TLS13_FIPS, ECDHE, RSA];
    "TLS13-1-2-Ext2-FIPS-PQ-2025-09": [V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1, RSA_SHA1];
    "TLS13-1-0-FIPS-PQ-2025-09": [V1_0, V1_1, V1_2, V1_3] [TLS13_FIPS, ECDHE_SHA1, RSA_SHA1];
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Names are distinct, no cipher comes twice, and every policy leaves
    /// something for the data plane to offer.
    #[test]
    fn policies_are_well_formed() {
        let names: BTreeSet<_> = security_policies().iter().map(|policy| policy.name).collect();
        assert_eq!(names.len(), security_policies().len());
        assert!(security_policy(DEFAULT_POLICY).is_some());
        assert_eq!(security_policy("ELBSecurityPolicy-none"), None);
        for policy in security_policies() {
            let ciphers: BTreeSet<_> = policy.ciphers().collect();
            assert_eq!(ciphers.len(), policy.ciphers().count(), "{}", policy.name);
            assert!(!policy.supported().is_empty(), "{}", policy.name);
        }
    }

    /// What is described, and what of it is offered.
    #[test]
    fn supported_table() {
        for (name, described, protocols, offered) in [
            ("ELBSecurityPolicy-2016-08", 18, vec![V1_2], 4),
            ("ELBSecurityPolicy-TLS13-1-2-2021-06", 11, vec![V1_2, V1_3], 7),
            ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", 7, vec![V1_2, V1_3], 7),
            ("ELBSecurityPolicy-TLS13-1-3-2021-06", 3, vec![V1_3], 3),
            ("ELBSecurityPolicy-TLS13-1-0-2021-06", 21, vec![V1_2, V1_3], 7),
            ("ELBSecurityPolicy-FS-1-2-Res-2020-10", 4, vec![V1_2], 4),
            ("ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04", 2, vec![V1_3], 2),
        ] {
            let policy = security_policy(name).unwrap();
            let supported = policy.supported();
            assert_eq!(policy.ciphers().count(), described, "{name}");
            assert_eq!((supported.protocols, supported.ciphers.len()), (protocols, offered), "{name}");
        }
        assert!(security_policy("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09").unwrap().supported().post_quantum);
    }
}
