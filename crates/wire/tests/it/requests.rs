//! Requests as clients type them, good and bad, and the exact answers.

use elastane_wire::{
    ApiError, HttpRequest, HttpResponse, Identified, Input, Output, Protocol, ReplyForm, Service, ec2, encode_error,
    encode_response, identify, sts,
};
use std::io::Write;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

fn request<'a>(
    method: &'a str,
    target: &'a str,
    headers: &'a Vec<(&'a str, &'a str)>,
    body: &'a [u8],
) -> HttpRequest<'a> {
    HttpRequest { method, target, headers, body }
}

/// Identifies and decodes; a refusal is answered as a server would.
fn serve(http: &HttpRequest<'_>) -> Result<(Identified, Input), HttpResponse> {
    let answer = |err: elastane_wire::WireError| encode_error(err.form, &err.error, "id");
    let identified = identify(http).map_err(answer)?;
    let input = elastane_wire::decode(&identified, http).map_err(answer)?;
    Ok((identified, input))
}

fn post(body: &str) -> Result<(Identified, Input), String> {
    let headers = vec![FORM];
    serve(&request("POST", "/", &headers, body.as_bytes())).map_err(text)
}

fn json(target: &str, body: &str) -> Result<(Identified, Input), String> {
    let headers = vec![("content-type", "application/x-amz-json-1.0"), ("X-Amz-Target", target)];
    serve(&request("POST", "/", &headers, body.as_bytes())).map_err(text)
}

fn text(response: HttpResponse) -> String {
    format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
}

fn refusal(result: Result<(Identified, Input), String>) -> String {
    result.expect_err("is refused")
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// EC2 requests as botocore writes them.
#[test]
fn ec2_names() {
    let body = "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=2&ImageId=ami-1&InstanceType=t3.micro\
        &SecurityGroupId.1=sg-1&SecurityGroupId.2=sg-2&TagSpecification.1.ResourceType=instance\
        &TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=a%20b%2Bc&UserData=IyE%3D\
        &BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1&BlockDeviceMapping.1.Ebs.VolumeSize=8&ClientToken=x";
    let (identified, input) = post(body).expect("is good");
    assert_eq!(identified.protocol, Protocol::Ec2);
    let Input::Ec2RunInstances(input) = input else { panic!("another operation") };
    assert_eq!((input.min_count, input.max_count), (Some(1), Some(2)));
    assert_eq!(input.security_group_ids, ["sg-1", "sg-2"]);
    assert_eq!(input.tag_specifications[0].tags[0].value.as_deref(), Some("a b+c"));
    let ebs = input.block_device_mappings[0].ebs.as_ref().expect("is set");
    assert_eq!(ebs.volume_size, Some(8));

    let (_, input) = post("Action=DescribeInstances&Version=2016-11-15&Filter.2.Name=b&Filter.1.Name=a&Filter.1.Value.1=x&Filter.1.Value.10=z&Filter.1.Value.2=y").expect("is good");
    let Input::Ec2DescribeInstances(input) = input else { panic!("another operation") };
    assert_eq!(input.filters[0].values, ["x", "y", "z"]);
    assert_eq!(input.filters[1].name.as_deref(), Some("b"));

    let headers = Vec::new();
    let target = "/?Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-1&X-Amz-Date=x&AWSAccessKeyId=y";
    let (_, input) = serve(&request("GET", target, &headers, b"")).map_err(text).expect("GET is good too");
    let Input::Ec2DescribeInstances(input) = input else { panic!("another operation") };
    assert_eq!(input.instance_ids, ["i-1"]);
}

/// A catalogue that grows between two models is the operation's to check.
#[test]
fn catalogues_are_not_checked() {
    let (_, input) = post("Action=DescribeInstanceTypes&Version=2016-11-15&InstanceType.1=t9.tiny").expect("is good");
    let Input::Ec2DescribeInstanceTypes(input) = input else { panic!("another operation") };
    assert_eq!(input.instance_types, ["t9.tiny"]);
}

/// What is wrong is refused in the service's own words.
#[test]
fn refusals() {
    assert_has(
        &refusal(post("Action=Fly&Version=2016-11-15")),
        &["400 ", "<Response><Errors><Error><Code>InvalidAction</Code>", "not valid for this web service"],
    );
    assert_has(
        &refusal(post("Action=CreateTransitGateway&Version=2016-11-15")),
        &["<Code>InvalidAction</Code>", "CreateTransitGateway of Amazon Elastic Compute Cloud is not implemented"],
    );
    assert_has(
        &refusal(post("Action=ListSAMLProviders&Version=2010-05-08")),
        &[
            "400 ",
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
             <Code>InvalidAction</Code>",
            "ListSAMLProviders of AWS Identity and Access Management is not implemented",
        ],
    );
    assert_has(&refusal(post("Action=X&Version=1999-01-01")), &["<Code>InvalidAction</Code>"]);
    assert_has(&refusal(post("Version=2016-11-15")), &["<Code>MissingAction</Code>"]);
    assert_has(
        &refusal(post("Action=RunInstances&Version=2016-11-15&MinCount=1&ImageId=a")),
        &["<Code>MissingParameter</Code>", "must contain the parameter MaxCount"],
    );
    assert_has(
        &refusal(post("Action=RunInstances&Version=2016-11-15&MinCount=one&MaxCount=1")),
        &["<Code>InvalidParameterValue</Code>", "Value (one) for parameter MinCount is invalid"],
    );
    assert_has(
        &refusal(post("Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1&Placement.Tenancy=cloud")),
        &["<Code>InvalidParameterValue</Code>", "satisfy enum value set: [default, dedicated, host]"],
    );
    assert_has(
        &refusal(post("Action=DescribeInstances&Version=2016-11-15&Instance.1=x")),
        &["<Code>UnknownParameter</Code>", "Instance.1"],
    );
    assert_has(
        &refusal(post("Action=DescribeInstances&Version=2016-11-15&InstanceId.x=x")),
        &["<Code>InvalidParameterValue</Code>"],
    );
    assert_has(
        &refusal(post("Action=DescribeInstances&Version=2016-11-15&InstanceId.1=%zz")),
        &["<Code>MalformedInput</Code>"],
    );
    assert_has(
        &refusal(post("Action=ImportKeyPair&Version=2016-11-15&KeyName=k&PublicKeyMaterial=%21")),
        &["<Code>InvalidParameterValue</Code>", "base64"],
    );
    assert_has(
        &refusal(post("Action=SetDesiredCapacity&Version=2011-01-01&AutoScalingGroupName=")),
        &[
            "<Code>ValidationError</Code>",
            "2 validation errors detected: Value &apos;&apos; at".replace("&apos;", "'").as_str(),
            "at 'autoScalingGroupName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value null at 'desiredCapacity' failed to satisfy constraint: Member must not be null",
            "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">",
        ],
    );
}

/// The same in the JSON protocols.
#[test]
fn refusals_in_json() {
    assert_has(
        &refusal(json("AmazonSSM.SendCommand", "{\"DocumentName\": 5}")),
        &["{\"__type\":\"SerializationException\",\"message\":\""],
    );
    assert_has(&refusal(json("AmazonSSM.SendCommand", "{")), &["SerializationException", "not valid JSON"]);
    assert_has(&refusal(json("AmazonSSM.SendCommand", "{}")), &["ValidationException", "Value null at 'documentName'"]);
    assert_has(&refusal(json("AmazonSSM.Fly", "{}")), &["UnknownOperationException"]);
    assert_has(
        &refusal(json("AWSWAF_20190729.GetWebACL", "{}")),
        &["UnknownOperationException", "WAFv2 is not implemented"],
    );
    assert_has(
        &refusal(json(
            "GraniteServiceVersion20100801.SetAlarmState",
            "{\"AlarmName\":\"a\",\"StateValue\":\"BAD\",\"StateReason\":\"r\"}",
        )),
        &["InvalidParameterValueException", "[OK, ALARM, INSUFFICIENT_DATA]"],
    );
}

/// CBOR operations and REST services that are not implemented are refused as their clients read it.
#[test]
fn refusals_of_other_protocols() {
    let headers = vec![("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    let response =
        serve(&request("POST", "/service/GraniteServiceVersion20100801/operation/PutDashboard", &headers, b"\xbf\xff"))
            .expect_err("is refused");
    assert_eq!(response.header("smithy-protocol"), Some("rpc-v2-cbor"));
    assert_has(&text(response), &["UnknownOperationException", "PutDashboard"]);

    let headers = Vec::new();
    for (method, target) in
        [("GET", "/bucket/key"), ("PUT", "/2013-04-01/hostedzone"), ("HEAD", "/bucket"), ("GET", "/")]
    {
        let response = serve(&request(method, target, &headers, b"")).expect_err("is refused");
        assert!((400..500).contains(&response.status), "{method} {target}");
        assert_has(&text(response), &["<Error><Code>MethodNotAllowed</Code>", "not implemented by Elastane"]);
    }
}

/// One code becomes the right one of the two names in each protocol.
#[test]
fn error_names_by_protocol() {
    let error = ApiError::new("ResourceNotFound", "gone & <away>").with_status(404);
    let form = |protocol, query_mode| ReplyForm { protocol, service: Some(Service::CloudWatch), query_mode };
    let query = text(encode_error(form(Protocol::Query, false), &error, "id"));
    assert_has(
        &query,
        &[
            "404 ",
            "<Code>ResourceNotFound</Code><Message>gone &amp; &lt;away&gt;</Message></Error><RequestId>id</RequestId>",
        ],
    );

    let error = ApiError::new("InvalidParameterValue", "bad");
    for protocol in [Protocol::Json10, Protocol::Cbor] {
        let response = encode_error(form(protocol, true), &error, "id");
        assert_eq!(response.header("x-amzn-query-error"), Some("InvalidParameterValue;Sender"));
        assert_has(&text(response), &["InvalidParameterValueException", "__type", "message"]);
    }
    let response = encode_error(
        ReplyForm { protocol: Protocol::Json11, service: Some(Service::Ssm), query_mode: false },
        &ApiError::new("InvalidInstanceId", ""),
        "id",
    );
    assert_eq!(response.header("x-amzn-query-error"), None);
    assert_eq!(text(response), "400 {\"__type\":\"InvalidInstanceId\",\"message\":\"\"}");
}

/// Answers as botocore expects them, byte for byte.
#[test]
fn answers() {
    let output = Output::StsGetCallerIdentity(Box::new(sts::GetCallerIdentityResponse {
        account: Some("123456789012".to_owned()),
        ..Default::default()
    }));
    assert_eq!(
        text(encode_response(Protocol::Query, &output, "id")),
        "200 <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
    let output = Output::Ec2DescribeKeyPairs(Box::default());
    assert_eq!(
        text(encode_response(Protocol::Ec2, &output, "id")),
        "200 <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeKeyPairsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id</requestId><keySet/></DescribeKeyPairsResponse>"
    );
    let output = Output::Ec2DescribeInstances(Box::new(ec2::DescribeInstancesResult {
        reservations: vec![ec2::Reservation {
            instances: vec![ec2::Instance { launch_time: Some(1_767_261_600_007.into()), ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    }));
    assert_has(
        &text(encode_response(Protocol::Ec2, &output, "id")),
        &[
            "<reservationSet><item>",
            "<instancesSet><item>",
            "<launchTime>2026-01-01T10:00:00.007Z</launchTime>",
            "<tagSet/>",
        ],
    );
    let output = Output::Ec2RebootInstances(Box::default());
    assert_has(&text(encode_response(Protocol::Ec2, &output, "id")), &["<return>true</return>"]);
    let output = Output::CloudWatchListMetrics(Box::default());
    assert_has(&text(encode_response(Protocol::Json10, &output, "id")), &["\"Metrics\":[]"]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).expect("memory takes it");
    out.finish().expect("memory takes it")
}

/// Compressed bodies are read, up to the limit of what they unpack to.
#[test]
fn compressed_bodies() {
    let headers = vec![
        ("content-encoding", "gzip"),
        ("x-amz-target", "GraniteServiceVersion20100801.PutMetricData"),
        ("content-type", "application/x-amz-json-1.0"),
    ];
    let good =
        gzip(b"{\"Namespace\":\"N\",\"MetricData\":[{\"MetricName\":\"m\",\"Value\":1.5,\"Timestamp\":1767261600.5}]}");
    let (_, input) = serve(&request("POST", "/", &headers, &good)).map_err(text).expect("is good");
    let Input::CloudWatchPutMetricData(input) = input else { panic!("another operation") };
    assert_eq!(input.metric_data[0].timestamp, Some(1_767_261_600_500.into()));

    let bomb = gzip(&vec![b' '; 64 << 20]);
    for (body, status) in [(&bomb[..], 413), (b"not gzip", 400)] {
        let response = serve(&request("POST", "/", &headers, body)).expect_err("is refused");
        assert_eq!(response.status, status);
    }
}
