//! What an authorisation costs: `decide` with twenty attached policies such
//! as teams write them (access_policies.json), in this process. Parsing is
//! shown too; the daemon parses a document once.

use crate::Options;
use crate::stats::Series;
use elastane_domain::policy::{Context, Decision, Document, Grammar, Policies, Request, decide};
use serde_json::Value;
use std::hint::black_box;
use std::time::Instant;

const POLICIES: &str = include_str!("access_policies.json");

const ROUNDS: usize = 301;

/// Decisions of a round: enough for the clock not to matter, few enough for
/// most rounds to pass without another process in between.
const DECISIONS: u32 = 500;

/// A name, an action, a resource, and what is decided.
const REQUESTS: [(&str, &str, &str, bool); 4] = [
    ("described, allowed", "ec2:DescribeInstances", "*", true),
    ("launched, allowed by the last", "ec2:RunInstances", "arn:aws:ec2:us-east-1:111122223333:instance/*", true),
    ("an object, not allowed", "s3:GetObject", "arn:aws:s3:::team-red-data/secret", false),
    ("production stopped, denied", "ec2:StopInstances", "arn:aws:ec2:us-east-1:111122223333:instance/i-1", false),
];

/// Prints nanoseconds of a decision for each request, alone and with boundary and session policies.
pub fn run(options: &Options) -> Result<(), String> {
    let texts: Vec<Value> = serde_json::from_str(POLICIES).map_err(|err| err.to_string())?;
    let texts: Vec<String> = texts.iter().map(Value::to_string).collect();
    let parse = |text: &String| Document::parse(text, Grammar::Identity).map_err(|bad| format!("{}: {text}", bad.0));
    let documents = texts.iter().map(parse).collect::<Result<Vec<Document>, String>>()?;
    let attached: Vec<&Document> = documents.iter().collect();
    let rounds = options.rounds.unwrap_or(ROUNDS);
    println!("{} policies, {} bytes", attached.len(), texts.iter().map(String::len).sum::<usize>());
    let all = parse(&r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#.to_owned())?;
    let alone = Policies { identity: &attached, ..Policies::default() };
    let limited = Policies { boundary: Some(&all), session: &[&all], ..alone };
    let principal = ["arn:aws:iam::111122223333:user/Ann", "AIDAANN", "111122223333"].map(str::to_owned);
    let context = context();
    for (name, action, resource, allowed) in REQUESTS {
        let request = Request { action, resource, principal: &principal, context: &context };
        for (policies, with) in [(&alone, ""), (&limited, ", with boundary and session")] {
            if (decide(policies, &request) == Decision::Allowed) != allowed {
                return Err(format!("{name}: {:?}", decide(policies, &request)));
            }
            let series = measure(rounds, DECISIONS, || {
                black_box(decide(black_box(policies), black_box(&request)));
            });
            println!("{:<60} ns {series}", format!("{name}{with}"));
        }
    }
    let series = measure(rounds, 1, || texts.iter().for_each(|text| drop(black_box(parse(text)))));
    println!("{:<60} ns {series}", "all twenty parsed");
    Ok(())
}

/// Nanoseconds of one call, as the mean of many, round by round.
fn measure(rounds: usize, calls: u32, mut call: impl FnMut()) -> Series {
    let mut series = Series::default();
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        series.add(start.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    series
}

/// As many keys as a request of a user has.
fn context() -> Context {
    let mut context = Context::default();
    for (key, value) in [
        ("aws:CurrentTime", "2026-01-01T00:00:00Z"),
        ("aws:EpochTime", "1767225600"),
        ("aws:MultiFactorAuthPresent", "true"),
        ("aws:PrincipalAccount", "111122223333"),
        ("aws:PrincipalArn", "arn:aws:iam::111122223333:user/Ann"),
        ("aws:PrincipalTag/team", "blue"),
        ("aws:PrincipalType", "User"),
        ("aws:RequestedRegion", "us-east-1"),
        ("aws:RequestTag/stage", "production"),
        ("aws:RequestTag/team", "blue"),
        ("aws:ResourceAccount", "111122223333"),
        ("aws:ResourceTag/stage", "production"),
        ("aws:ResourceTag/team", "blue"),
        ("aws:SecureTransport", "true"),
        ("aws:SourceIp", "10.1.2.3"),
        ("aws:TagKeys", "stage"),
        ("aws:TagKeys", "team"),
        ("aws:UserAgent", "aws-cli/2.15"),
        ("aws:userid", "AIDAANN"),
        ("aws:username", "Ann"),
        ("aws:ViaAWSService", "false"),
        ("ec2:InstanceType", "t3.micro"),
        ("ec2:Region", "us-east-1"),
    ] {
        context.add(key, value);
    }
    context
}
