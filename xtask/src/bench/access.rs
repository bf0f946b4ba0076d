//! What an authorisation costs: `decide` with twenty attached policies such
//! as teams write them (access_policies.json), and the whole of it as the
//! daemon does it for a request - rows, table, resources, context, decisions.
//! All in this process. Parsing is shown too; the daemon parses a document once.

use crate::Options;
use crate::stats::Series;
use elastane_api::{Caller, NoWorld, Origin, Principal, access};
use elastane_domain::policy::{Context, Decision, Document, Grammar, Policies, Request, decide};
use elastane_domain::time::Time;
use elastane_engine::row::IAM_REGION;
use elastane_engine::{Config, Engine, Scope};
use elastane_wire::{Input, Operation};
use serde_json::{Value, json};
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
    let chosen = |name: &str| options.only.as_ref().is_none_or(|text| name.contains(text));
    for (name, action, resource, allowed) in REQUESTS.into_iter().filter(|(name, ..)| chosen(name)) {
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
    whole(rounds, &texts, &chosen)
}

/// The account that the policies name, and when all happens.
const ACCOUNT: &str = "111122223333";
const NOW: Time = Time(1_767_225_600_000);

/// Requests as they come in: operation, members, and whether they are allowed.
const WHOLE: [(&str, Operation, &str, bool); 5] = [
    ("DescribeInstances, allowed", Operation::Ec2DescribeInstances, "{}", true),
    ("StopInstances, not allowed", Operation::Ec2StopInstances, r#"{"InstanceIds":["i-0123456789abcdef0"]}"#, false),
    (
        "SetDesiredCapacity, allowed",
        Operation::AutoScalingSetDesiredCapacity,
        r#"{"AutoScalingGroupName":"blue-web","DesiredCapacity":2}"#,
        true,
    ),
    (
        "PutMetricData, allowed by a condition",
        Operation::CloudWatchPutMetricData,
        r#"{"Namespace":"Blue","MetricData":[]}"#,
        true,
    ),
    (
        "RunInstances with tags, allowed: many resources",
        Operation::Ec2RunInstances,
        r#"{"ImageId":"ami-0123456789abcdef0","InstanceType":"t3.micro","MinCount":1,"MaxCount":1,
            "SubnetId":"subnet-0123456789abcdef0","SecurityGroupIds":["sg-0123456789abcdef0"],"TagSpecifications":[
            {"ResourceType":"instance","Tags":[{"Key":"team","Value":"blue"}]},
            {"ResourceType":"volume","Tags":[{"Key":"team","Value":"blue"}]}]}"#,
        true,
    ),
];

/// Prints nanoseconds of [`access::permit`] for each request of a user who has the policies: half of them its own, half
/// its group's.
fn whole(rounds: usize, texts: &[String], chosen: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let mut engine = Engine::open(Config::default(), 7, Vec::new()).map_err(|err| err.to_string())?;
    let region = Scope::new(ACCOUNT, "us-east-1");
    let ready: Result<(), String> = engine.transact(&region, NOW, |_| Ok(()));
    ready?;
    attach(&mut engine, texts)?;
    let root = Caller::root(&ACCOUNT.into(), "AKIAANN");
    let user_agent = "aws-cli/2.15".to_owned();
    let origin = Origin { address: Some([10, 1, 2, 3].into()), secure: true, user_agent, ..Origin::default() };
    let caller = Caller {
        arn: format!("arn:aws:iam::{ACCOUNT}:user/Ann"),
        user_id: "AIDAANN".to_owned(),
        principal: Principal::User("Ann".to_owned()),
        origin,
        ..root
    };
    let view = engine.view(&region, NOW).ok_or("the region is not there")?;
    for (name, operation, members, allowed) in WHOLE.into_iter().filter(|(name, ..)| chosen(name)) {
        let input = request(operation, members)?;
        let permit = || access::permit(&view, &caller, &NoWorld, &input);
        if permit().is_ok() != allowed {
            return Err(format!("{name}: {:?}", permit()));
        }
        let series = measure(rounds, DECISIONS, || drop(black_box(permit())));
        let resources = access::resources(&view, &caller, &input).len().max(1);
        let each = series.median() / resources as f64;
        let each = if resources > 1 { format!("; {each:.0} for each of {resources} resources") } else { String::new() };
        println!("{:<60} ns {series} (goal: under 5,000{each})", format!("whole: {name}"));
    }
    Ok(())
}

/// Makes the user Ann, of a group, and gives both their policies.
fn attach(engine: &mut Engine, texts: &[String]) -> Result<(), String> {
    let scope = Scope::new(ACCOUNT, IAM_REGION);
    let root = Caller::root(&scope.account, "AKIAROOT");
    let mut ask = |operation, members: Value| -> Result<(), String> {
        let input = request(operation, &members.to_string())?;
        let done = engine.transact(&scope, NOW, |tx| elastane_api::call(tx, &root, &NoWorld, &input));
        done.map(drop).map_err(|err| format!("{}: {}: {}", operation.name(), err.code, err.message))
    };
    ask(Operation::IamCreateUser, json!({ "UserName": "Ann", "Tags": [{ "Key": "team", "Value": "blue" }] }))?;
    ask(Operation::IamCreateGroup, json!({ "GroupName": "blue" }))?;
    ask(Operation::IamAddUserToGroup, json!({ "GroupName": "blue", "UserName": "Ann" }))?;
    for (number, text) in texts.iter().enumerate() {
        // A user with a key has no second factor; over TLS the policy that asks for one costs the same and lets it pass.
        let text = text.replace("aws:MultiFactorAuthPresent", "aws:SecureTransport");
        let name = format!("p{number}");
        ask(Operation::IamCreatePolicy, json!({ "PolicyName": name, "PolicyDocument": text }))?;
        let arn = format!("arn:aws:iam::{ACCOUNT}:policy/{name}");
        if number % 2 == 0 {
            ask(Operation::IamAttachUserPolicy, json!({ "UserName": "Ann", "PolicyArn": arn }))?;
        } else {
            ask(Operation::IamAttachGroupPolicy, json!({ "GroupName": "blue", "PolicyArn": arn }))?;
        }
    }
    Ok(())
}

/// A request from the JSON of its members.
fn request(operation: Operation, members: &str) -> Result<Input, String> {
    let mut input = Input::empty(operation);
    let read = elastane_wire::from_json(operation.info().input, members, input.record_mut());
    read.map(|()| input).map_err(|err| format!("{}: {err}", operation.name()))
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
