//! Every operation, filled at random by its schema: a client's request decodes
//! to the same input, a server's answer to the same output.

use crate::random::{Random, fill};
use elastane_wire::{
    ClientRequest, HttpRequest, Input, Operation, Output, Protocol, Service, decode, decode_response, encode_request,
    encode_response, identify,
};

const ROUNDS: u64 = 30;

fn protocols(service: Service) -> &'static [Protocol] {
    match service {
        Service::Ec2 => &[Protocol::Ec2],
        Service::CloudWatch => &[Protocol::Query, Protocol::Json10, Protocol::Cbor],
        Service::Acm | Service::CloudTrail | Service::Kms | Service::Ssm => &[Protocol::Json11],
        Service::AutoScaling | Service::Elbv2 | Service::Sts | Service::Iam => &[Protocol::Query],
    }
}

pub fn received(request: &ClientRequest) -> HttpRequest<'_> {
    HttpRequest { method: request.method, target: &request.target, headers: &request.headers, body: &request.body }
}

/// Requests of all operations in all their protocols arrive as they were sent.
#[test]
fn requests_arrive_as_sent() {
    for operation in Operation::all() {
        for &protocol in protocols(operation.service()) {
            for seed in 0..ROUNDS {
                let mut input = Input::empty(operation);
                fill(&mut Random(seed), operation.info().input.members(), input.record_mut());
                let request = encode_request(protocol, &input);
                let http = received(&request);
                let identified = identify(&http).expect("is identified");
                assert_eq!((identified.operation, identified.protocol), (operation, protocol));
                let got = decode(&identified, &http).unwrap_or_else(|err| {
                    panic!(
                        "{operation:?} {protocol:?} seed {seed}: {err:?}\n{}",
                        String::from_utf8_lossy(&request.body)
                    )
                });
                assert_eq!(
                    got,
                    input,
                    "{operation:?} {protocol:?} seed {seed}\n{}",
                    String::from_utf8_lossy(&request.body)
                );
            }
        }
    }
}

/// Answers of all operations in all their protocols arrive as they were sent.
#[test]
fn answers_arrive_as_sent() {
    for operation in Operation::all() {
        for &protocol in protocols(operation.service()) {
            for seed in 0..ROUNDS {
                let mut output = Output::empty(operation);
                fill(&mut Random(seed), operation.info().output.members(), output.record_mut());
                let response = encode_response(protocol, &output, "request-1");
                assert_eq!(response.status, 200);
                assert_eq!(response.header("x-amzn-requestid"), Some("request-1"));
                let got = decode_response(protocol, operation, 200, None, &response.body)
                    .unwrap_or_else(|err| panic!("{operation:?} {protocol:?} seed {seed}: {err:?}"));
                assert_eq!(
                    got,
                    output,
                    "{operation:?} {protocol:?} seed {seed}\n{}",
                    String::from_utf8_lossy(&response.body)
                );
            }
        }
    }
}
