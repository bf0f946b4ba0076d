//! What RunInstances and groups' launches refuse.

use super::*;
use crate::launch::{Request, launch};

fn request(change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request { data: data(), count_min: 1, count_max: 1, ..Request::default() };
    change(&mut request);
    request
}

/// Each check with the code that EC2 gives.
#[test]
fn refusals() {
    let mut rig = Rig::new();
    let cases: Vec<(&str, Request)> = vec![
        ("", request(|_| {})),
        ("", request(|r| r.data.private_ip = Some([172, 31, 0, 9].into()))),
        ("InvalidIPAddress.InUse", request(|r| r.data.private_ip = Some([172, 31, 0, 9].into()))),
        ("InvalidParameterValue", request(|r| r.data.private_ip = Some([172, 31, 0, 1].into()))),
        ("InvalidParameterValue", request(|r| r.data.private_ip = Some([10, 0, 0, 9].into()))),
        (
            "InvalidParameterCombination",
            request(|r| {
                r.data.private_ip = Some([172, 31, 0, 10].into());
                r.count_max = 2;
            }),
        ),
        ("MissingParameter", request(|r| r.data.image = None)),
        ("InvalidAMIID.Malformed", request(|r| r.data.image = Some(ImageId::from("emi-1")))),
        ("InvalidAMIID.NotFound", request(|r| r.data.image = Some(ImageId::from("ami-00000000000000001")))),
        ("InvalidParameterValue", request(|r| r.data.instance_type = Some("t3.enormous".to_string()))),
        ("InvalidKeyPair.NotFound", request(|r| r.data.key_name = Some("nobody".to_string()))),
        ("InvalidUserData.Malformed", request(|r| r.data.user_data = Some("%".to_string()))),
        ("InvalidParameterValue", request(|r| r.data.user_data = Some("QUFB".repeat(5_462)))),
        ("InvalidSubnetID.NotFound", request(|r| r.data.subnet = Some(SubnetId::from("subnet-1")))),
        ("InvalidParameterValue", request(|r| r.data.placement.zone = Some(Zone::from("us-east-1x")))),
        ("InvalidGroup.NotFound", request(|r| r.data.security_group_names = vec!["nobody".to_string()])),
        ("InvalidParameterValue", request(|r| r.count_min = 0)),
        ("InvalidParameterValue", request(|r| r.count_min = 2)),
        ("InstanceLimitExceeded", request(|r| (r.count_min, r.count_max) = (501, 501))),
        ("", request(|r| r.count_max = 500)),
    ];
    for (code, request) in cases {
        let got = rig.tx(|tx| launch(tx, &request));
        let found = got.as_ref().err().map_or("", |refusal| refusal.code);
        assert_eq!(found, code, "{request:?} {:?}", got.err());
    }
}

/// No two instances get the same address, and a full subnet gives what it has.
#[test]
fn addresses_are_given_once() {
    let mut rig = Rig::new();
    let many = request(|r| r.count_max = 500);
    for _ in 0..9 {
        let _ = rig.tx(|tx| launch(tx, &many));
    }
    let addresses: BTreeSet<_> = rig.all::<Instance>().iter().map(|row| row.private_ip).collect();
    assert_eq!(addresses.len(), rig.all::<Instance>().len());
    assert_eq!(addresses.len(), 4_091, "a /20 without the five that AWS reserves");
    let refusal = rig.tx(|tx| launch(tx, &request(|_| {}))).expect_err("it is full");
    assert_eq!(refusal.code, "InsufficientFreeAddressesInSubnet");
}
