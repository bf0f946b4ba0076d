//! The first half of the story: one instance, an image of it, a template,
//! a load balancer and a group, and the change that came along.

use super::load::{Door, get_once};
use super::watch::{self, Names};
use super::{Stage, shop};
use crate::client::{Daemon, ask};
use crate::data_dir::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_wire::{autoscaling, ec2, elbv2, ssm};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// The name of everything.
const NAME: &str = "shop";

/// What somebody writes on the page by hand.
const CHANGED_PAGE: &str = "Black Friday: everything half price!";

/// Where the load balancer listens.
const LISTENER_PORT: u16 = 80;

/// Requests a second that an instance is meant to serve: few, so that a
/// laptop carries the whole group.
pub const RATE_PER_INSTANCE: f64 = 30.0;

/// What the first half leaves to the second.
pub struct Built {
    /// How the group is watched.
    pub names: Names,
    /// Where customers come in.
    pub door: Door,
}

/// Runs one instance, then makes the group of its image.
pub fn run(stage: &mut Stage) -> Result<Built, Problem> {
    let first = first_instance(stage)?;
    change_by_hand(stage, &first)?;
    let image = image(stage, &first)?;
    let vpc = default_vpc(stage.daemon())?;
    let security_group = template(stage, &image, &vpc)?;
    let (names, dns_name, address) = group(stage, &vpc, &security_group)?;
    let door = arrive(stage, &names, &dns_name, address)?;
    ask!(
        stage.daemon(),
        Ec2TerminateInstances,
        ec2::TerminateInstancesRequest { instance_ids: vec![first.clone()], ..Default::default() }
    )?;
    stage.tell.command(&format!("aws ec2 terminate-instances --instance-ids {first}"));
    stage.tell.result("The first server has done its part and goes.");
    Ok(Built { names, door })
}

fn missing(what: &str) -> Problem {
    Problem::new(format!("the answer has no {what}"))
}

fn first_instance(stage: &mut Stage) -> Result<String, Problem> {
    stage.tell.step("One server");
    stage.tell.note("An instance of the built-in image, which is this machine's own system with a layer on top.");
    stage.tell.note("Its user data installs a small web shop and starts it, now and at every boot.");
    let images = ask!(
        stage.daemon(),
        Ec2DescribeImages,
        ec2::DescribeImagesRequest { owners: vec!["amazon".to_string()], ..Default::default() }
    )?;
    let base = images.images.into_iter().next().ok_or_else(|| missing("image"))?;
    let (base_id, base_name) = (base.image_id.ok_or_else(|| missing("image id"))?, base.name.unwrap_or_default());
    stage.tell.command("aws ec2 describe-images --owners amazon");
    stage.tell.command(&format!(
        "aws ec2 run-instances --image-id {base_id} --instance-type t3.micro --user-data file://shop.sh"
    ));
    let start = Instant::now();
    let run = ask!(
        stage.daemon(),
        Ec2RunInstances,
        ec2::RunInstancesRequest {
            image_id: Some(base_id),
            instance_type: Some("t3.micro".to_string()),
            min_count: Some(1),
            max_count: Some(1),
            user_data: Some(STANDARD.encode(shop::user_data())),
            ..Default::default()
        }
    )?;
    let id = run.instances.into_iter().next().and_then(|one| one.instance_id).ok_or_else(|| missing("instance"))?;
    let wanted = id.clone();
    let address = stage.wait("the instance to run", 5.0, move |daemon| running(daemon, &wanted))?;
    stage.tell.result(&format!("{id} of {base_name} runs at {address} after {:.2} s", start.elapsed().as_secs_f64()));
    let wanted = id.clone();
    let line =
        stage.wait("the shop to listen, in the console output", 5.0, move |daemon| listening(daemon, &wanted))?;
    stage.tell.command(&format!("aws ec2 get-console-output --instance-id {id} --latest"));
    stage.tell.result(&format!("after {:.2} s the console says: {line}", start.elapsed().as_secs_f64()));
    Ok(id)
}

/// The private address, once the instance runs.
fn running(daemon: &Daemon, id: &str) -> Result<Option<String>, Problem> {
    let instance = instance(daemon, id)?;
    match instance.state.and_then(|state| state.name).as_deref() {
        Some("running") => Ok(instance.private_ip_address),
        Some("pending" | "stopping" | "stopped") => Ok(None),
        state => Err(Problem::new(format!("{id} is {}", state.unwrap_or("in no state")))),
    }
}

fn instance(daemon: &Daemon, id: &str) -> Result<ec2::Instance, Problem> {
    let request = ec2::DescribeInstancesRequest { instance_ids: vec![id.to_string()], ..Default::default() };
    let found = ask!(daemon, Ec2DescribeInstances, request)?;
    let mut instances = found.reservations.into_iter().flat_map(|reservation| reservation.instances);
    instances.next().ok_or_else(|| missing("instance"))
}

/// The line in which the shop says that it listens; an error when a script failed.
fn listening(daemon: &Daemon, id: &str) -> Result<Option<String>, Problem> {
    let request =
        ec2::GetConsoleOutputRequest { instance_id: Some(id.to_string()), latest: Some(true), ..Default::default() };
    let output = ask!(daemon, Ec2GetConsoleOutput, request)?.output.unwrap_or_default();
    let bytes = STANDARD.decode(output).map_err(|err| Problem::because("the console output is not base64", err))?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().find_map(|line| Some(line[line.find(shop::LISTENING)?..].trim().to_string()));
    if found.is_none() && text.contains("Failed to run module scripts-user") {
        return Err(Problem::new(format!("the user data failed; the console says:\n{text}")));
    }
    Ok(found)
}

fn change_by_hand(stage: &mut Stage, id: &str) -> Result<(), Problem> {
    stage.tell.step("A change by hand");
    stage.tell.note("Somebody runs a command on the server, over Systems Manager: no SSH, no open port.");
    let script =
        format!("echo '{CHANGED_PAGE}' > \"$ELASTANE_ROOT/opt/shop/page\"; cat \"$ELASTANE_ROOT/opt/shop/page\"");
    stage.tell.command(&format!("aws ssm send-command --document-name AWS-RunShellScript --instance-ids {id} \\"));
    stage.tell.command(&format!("    --parameters 'commands=[echo \"{CHANGED_PAGE}\" > ...]'"));
    let start = Instant::now();
    let sent = ask!(
        stage.daemon(),
        SsmSendCommand,
        ssm::SendCommandRequest {
            document_name: Some("AWS-RunShellScript".to_string()),
            instance_ids: vec![id.to_string()],
            parameters: [("commands".to_string(), vec![script])].into(),
            ..Default::default()
        }
    )?;
    let command = sent.command.and_then(|command| command.command_id).ok_or_else(|| missing("command id"))?;
    let request = ssm::GetCommandInvocationRequest {
        command_id: Some(command),
        instance_id: Some(id.to_string()),
        ..Default::default()
    };
    let output = stage.wait("the command to end", 5.0, |daemon| {
        let got = ask!(daemon, SsmGetCommandInvocation, request.clone())?;
        match got.status.as_deref() {
            Some("Success") => Ok(Some(got.standard_output_content.unwrap_or_default())),
            Some("Pending" | "InProgress" | "Delayed") => Ok(None),
            status => Err(Problem::new(format!(
                "the command ended as {}: {}",
                status.unwrap_or("nothing"),
                got.standard_error_content.unwrap_or_default()
            ))),
        }
    })?;
    stage.tell.result(&format!(
        "Success after {:.2} s; the page is now: {}",
        start.elapsed().as_secs_f64(),
        output.trim()
    ));
    Ok(())
}

fn image(stage: &mut Stage, id: &str) -> Result<String, Problem> {
    stage.tell.step("An image of it");
    stage.tell.command(&format!("aws ec2 create-image --instance-id {id} --name {NAME}"));
    let start = Instant::now();
    let made = ask!(
        stage.daemon(),
        Ec2CreateImage,
        ec2::CreateImageRequest {
            instance_id: Some(id.to_string()),
            name: Some(NAME.to_string()),
            ..Default::default()
        }
    )?;
    let image = made.image_id.ok_or_else(|| missing("image id"))?;
    let request = ec2::DescribeImagesRequest { image_ids: vec![image.clone()], ..Default::default() };
    stage.wait("the image to be available", 10.0, |daemon| {
        let found = ask!(daemon, Ec2DescribeImages, request.clone())?.images.into_iter().next();
        match found.as_ref().and_then(|image| image.state.as_deref()) {
            Some("available") => Ok(Some(())),
            Some("pending") => Ok(None),
            state => Err(Problem::new(format!("the image is {}", state.unwrap_or("gone")))),
        }
    })?;
    stage.tell.result(&format!("{image} is available after {:.2} s", start.elapsed().as_secs_f64()));
    Ok(image)
}

/// The default VPC and its subnets.
struct Network {
    vpc: String,
    subnets: Vec<String>,
}

fn default_vpc(daemon: &Daemon) -> Result<Network, Problem> {
    let vpcs = ask!(daemon, Ec2DescribeVpcs, ec2::DescribeVpcsRequest::default())?.vpcs;
    let default = vpcs.into_iter().find(|vpc| vpc.is_default == Some(true));
    let vpc = default.and_then(|vpc| vpc.vpc_id).ok_or_else(|| missing("default VPC"))?;
    let subnets = ask!(daemon, Ec2DescribeSubnets, ec2::DescribeSubnetsRequest::default())?.subnets;
    let subnets = subnets.into_iter().filter(|one| one.vpc_id.as_ref() == Some(&vpc));
    Ok(Network { subnets: subnets.filter_map(|subnet| subnet.subnet_id).collect(), vpc })
}

fn template(stage: &mut Stage, image: &str, network: &Network) -> Result<String, Problem> {
    stage.tell.step("A launch template: the image, 4 vCPU, 8 GiB, HTTP only");
    stage.tell.command(&format!("aws ec2 create-security-group --group-name {NAME} --description \"HTTP only\""));
    let made = ask!(
        stage.daemon(),
        Ec2CreateSecurityGroup,
        ec2::CreateSecurityGroupRequest {
            group_name: Some(NAME.to_string()),
            description: Some("HTTP only".to_string()),
            vpc_id: Some(network.vpc.clone()),
            ..Default::default()
        }
    )?;
    let security_group = made.group_id.ok_or_else(|| missing("security group"))?;
    for port in [i32::from(LISTENER_PORT), shop::PORT] {
        stage.tell.command(&format!(
            "aws ec2 authorize-security-group-ingress --group-id {security_group} --protocol tcp --port {port} --cidr 0.0.0.0/0"
        ));
        let range = ec2::IpRange { cidr_ip: Some("0.0.0.0/0".to_string()), ..Default::default() };
        ask!(
            stage.daemon(),
            Ec2AuthorizeSecurityGroupIngress,
            ec2::AuthorizeSecurityGroupIngressRequest {
                group_id: Some(security_group.clone()),
                ip_permissions: vec![ec2::IpPermission {
                    ip_protocol: Some("tcp".to_string()),
                    from_port: Some(port),
                    to_port: Some(port),
                    ip_ranges: vec![range],
                    ..Default::default()
                }],
                ..Default::default()
            }
        )?;
    }
    stage
        .tell
        .command(&format!("aws ec2 create-launch-template --launch-template-name {NAME} --launch-template-data \\"));
    stage.tell.command(&format!(
        "    '{{\"ImageId\":\"{image}\",\"InstanceType\":\"c5.xlarge\",\"SecurityGroupIds\":[\"{security_group}\"]}}'"
    ));
    let made = ask!(
        stage.daemon(),
        Ec2CreateLaunchTemplate,
        ec2::CreateLaunchTemplateRequest {
            launch_template_name: Some(NAME.to_string()),
            launch_template_data: Some(ec2::RequestLaunchTemplateData {
                image_id: Some(image.to_string()),
                instance_type: Some("c5.xlarge".to_string()),
                security_group_ids: vec![security_group.clone()],
                ..Default::default()
            }),
            ..Default::default()
        }
    )?;
    let template = made.launch_template.and_then(|template| template.launch_template_id);
    stage.tell.result(&format!("{}, without any user data", template.ok_or_else(|| missing("launch template"))?));
    Ok(security_group)
}

type Group = (Names, String, Option<IpAddr>);

fn group(stage: &mut Stage, network: &Network, security_group: &str) -> Result<Group, Problem> {
    stage.tell.step("A load balancer and a group of 0 to 10");
    let target_group = target_group(stage, network)?;
    let (balancer, dns_name, address) = load_balancer(stage, network, security_group, &target_group)?;
    let subnets = network.subnets.join(",");
    stage.tell.command(&format!(
        "aws autoscaling create-auto-scaling-group --auto-scaling-group-name {NAME} --min-size 0 --max-size 10 \\"
    ));
    stage.tell.command(&format!("    --desired-capacity 1 --launch-template LaunchTemplateName={NAME} \\"));
    stage.tell.command("    --target-group-arns ... --health-check-type ELB --vpc-zone-identifier ...");
    ask!(
        stage.daemon(),
        AutoScalingCreateAutoScalingGroup,
        autoscaling::CreateAutoScalingGroupType {
            auto_scaling_group_name: Some(NAME.to_string()),
            launch_template: Some(autoscaling::LaunchTemplateSpecification {
                launch_template_name: Some(NAME.to_string()),
                version: Some("$Latest".to_string()),
                ..Default::default()
            }),
            min_size: Some(0),
            max_size: Some(10),
            desired_capacity: Some(1),
            vpc_zone_identifier: Some(subnets),
            target_group_arns: vec![target_group.clone()],
            health_check_type: Some("ELB".to_string()),
            health_check_grace_period: Some(900),
            default_instance_warmup: Some(60),
            ..Default::default()
        }
    )?;
    let alarms = policy(stage, &balancer, &target_group)?;
    Ok((Names { group: NAME.to_string(), target_group, alarms }, dns_name, address))
}

fn target_group(stage: &mut Stage, network: &Network) -> Result<String, Problem> {
    stage.tell.command(&format!(
        "aws elbv2 create-target-group --name {NAME} --protocol HTTP --port {} --health-check-path /health \\",
        shop::PORT
    ));
    stage.tell.command("    --health-check-interval-seconds 5 --healthy-threshold-count 2 --vpc-id ...");
    let made = ask!(
        stage.daemon(),
        Elbv2CreateTargetGroup,
        elbv2::CreateTargetGroupInput {
            name: Some(NAME.to_string()),
            protocol: Some("HTTP".to_string()),
            port: Some(shop::PORT),
            vpc_id: Some(network.vpc.clone()),
            health_check_path: Some("/health".to_string()),
            health_check_interval_seconds: Some(5),
            health_check_timeout_seconds: Some(4),
            healthy_threshold_count: Some(2),
            unhealthy_threshold_count: Some(10),
            ..Default::default()
        }
    )?;
    let group = made.target_groups.into_iter().next().and_then(|group| group.target_group_arn);
    let arn = group.ok_or_else(|| missing("target group"))?;
    let settings = [
        ("load_balancing.algorithm.type", "least_outstanding_requests"),
        ("deregistration_delay.timeout_seconds", "60"),
    ];
    for (key, value) in settings {
        stage.tell.command(&format!(
            "aws elbv2 modify-target-group-attributes --target-group-arn ... --attributes Key={key},Value={value}"
        ));
    }
    let attribute = |(key, value): (&str, &str)| elbv2::TargetGroupAttribute {
        key: Some(key.to_string()),
        value: Some(value.to_string()),
    };
    ask!(
        stage.daemon(),
        Elbv2ModifyTargetGroupAttributes,
        elbv2::ModifyTargetGroupAttributesInput {
            target_group_arn: Some(arn.clone()),
            attributes: settings.into_iter().map(attribute).collect(),
        }
    )?;
    Ok(arn)
}

/// ARN, DNS name and address.
fn load_balancer(
    stage: &mut Stage,
    network: &Network,
    security_group: &str,
    target_group: &str,
) -> Result<(String, String, Option<IpAddr>), Problem> {
    stage.tell.command(&format!(
        "aws elbv2 create-load-balancer --name {NAME} --subnets ... --security-groups {security_group}"
    ));
    let made = ask!(
        stage.daemon(),
        Elbv2CreateLoadBalancer,
        elbv2::CreateLoadBalancerInput {
            name: Some(NAME.to_string()),
            subnets: network.subnets.clone(),
            security_groups: vec![security_group.to_string()],
            ..Default::default()
        }
    )?;
    let balancer = made.load_balancers.into_iter().next().ok_or_else(|| missing("load balancer"))?;
    let arn = balancer.load_balancer_arn.ok_or_else(|| missing("load balancer ARN"))?;
    let dns_name = balancer.dns_name.ok_or_else(|| missing("DNS name"))?;
    stage.tell.command(&format!(
        "aws elbv2 create-listener --load-balancer-arn ... --protocol HTTP --port {LISTENER_PORT} --default-actions Type=forward,TargetGroupArn=..."
    ));
    ask!(
        stage.daemon(),
        Elbv2CreateListener,
        elbv2::CreateListenerInput {
            load_balancer_arn: Some(arn.clone()),
            protocol: Some("HTTP".to_string()),
            port: Some(i32::from(LISTENER_PORT)),
            default_actions: vec![elbv2::Action {
                r#type: Some("forward".to_string()),
                target_group_arn: Some(target_group.to_string()),
                ..Default::default()
            }],
            ..Default::default()
        }
    )?;
    let addresses = balancer.availability_zones.into_iter().flat_map(|zone| zone.load_balancer_addresses);
    let address = addresses.filter_map(|address| address.ip_address?.parse().ok()).next();
    Ok((arn, dns_name, address))
}

/// The names of the policy's alarms, the one that scales out first.
fn policy(stage: &mut Stage, balancer: &str, target_group: &str) -> Result<Vec<String>, Problem> {
    // The metric counts requests a minute of service time.
    let target = RATE_PER_INSTANCE * 60.0 / stage.scale;
    stage.tell.command(&format!(
        "aws autoscaling put-scaling-policy --auto-scaling-group-name {NAME} --policy-name requests \\"
    ));
    stage.tell.command("    --policy-type TargetTrackingScaling --target-tracking-configuration \\");
    stage.tell.command(&format!(
        "    '{{\"TargetValue\":{target},\"PredefinedMetricSpecification\":{{\"PredefinedMetricType\":\"ALBRequestCountPerTarget\",...}}}}'"
    ));
    let (_, balancer) = balancer.split_once("loadbalancer/").ok_or_else(|| missing("load balancer's label"))?;
    let targets = target_group.rsplit(':').next().unwrap_or_default();
    let made = ask!(
        stage.daemon(),
        AutoScalingPutScalingPolicy,
        autoscaling::PutScalingPolicyType {
            auto_scaling_group_name: Some(NAME.to_string()),
            policy_name: Some("requests".to_string()),
            policy_type: Some("TargetTrackingScaling".to_string()),
            target_tracking_configuration: Some(autoscaling::TargetTrackingConfiguration {
                target_value: Some(target),
                predefined_metric_specification: Some(autoscaling::PredefinedMetricSpecification {
                    predefined_metric_type: Some("ALBRequestCountPerTarget".to_string()),
                    resource_label: Some(format!("{balancer}/{targets}")),
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    )?;
    let mut alarms: Vec<String> = made.alarms.into_iter().filter_map(|alarm| alarm.alarm_name).collect();
    alarms.sort_by_key(|name| !name.contains("AlarmHigh"));
    stage.tell.result(&format!(
        "an instance is meant to serve {target:.0} requests a minute of service time, {RATE_PER_INSTANCE:.0} a second on this clock; \
         the policy keeps {} alarms",
        alarms.len()
    ));
    Ok(alarms)
}

/// Waits for the first member, finds the way in, and looks at the page.
fn arrive(stage: &mut Stage, names: &Names, dns_name: &str, address: Option<IpAddr>) -> Result<Door, Problem> {
    stage.tell.step("The new instance carries the change");
    let start = Instant::now();
    let member = stage.wait("the group's first instance to be in service and healthy", 15.0, |daemon| {
        let moment = watch::look(daemon, names)?;
        Ok(moment.is_settled().then(|| moment.in_service.into_iter().next()).flatten())
    })?;
    stage.tell.result(&format!("{member} is healthy and in service after {:.2} s", start.elapsed().as_secs_f64()));
    let door = door(stage.daemon(), dns_name, address)?;
    let request = ec2::DescribeInstanceAttributeRequest {
        instance_id: Some(member.clone()),
        attribute: Some("userData".to_string()),
        ..Default::default()
    };
    let attribute = ask!(stage.daemon(), Ec2DescribeInstanceAttribute, request)?;
    if attribute.user_data.and_then(|data| data.value).is_some_and(|text| !text.is_empty()) {
        return Err(Problem::new(format!("{member} has user data, and nobody gave it any")));
    }
    let shown = door.clone();
    let page = stage.wait("the page through the load balancer", 5.0, move |_| {
        Ok(get_once(&shown).ok().filter(|page| page.status == 200))
    })?;
    stage.tell.command(&match door.address.port() {
        LISTENER_PORT => format!("curl http://{}/", door.address.ip()),
        _ => format!("curl -H 'Host: {}' http://{}/", door.host, door.address),
    });
    if page.body.trim() != CHANGED_PAGE || page.served_by != member {
        return Err(Problem::new(format!(
            "{} was expected to answer with the changed page; {} did, with: {}",
            member,
            page.served_by,
            page.body.trim()
        )));
    }
    stage.tell.result(&format!("{}: {}", page.served_by, page.body.trim()));
    Ok(door)
}

/// The load balancer's own port if our daemon holds it, else the main port,
/// which knows load balancers by their host names. Whether something answers
/// there says too little: it may be the load balancer of another daemon.
fn door(daemon: &Daemon, dns_name: &str, address: Option<IpAddr>) -> Result<Door, Problem> {
    let host = dns_name.to_string();
    let urls: Vec<String> = daemon.status()?.load_balancers.into_iter().flat_map(|balancer| balancer.urls).collect();
    if let Some(address) = address.map(|ip| SocketAddr::new(ip, LISTENER_PORT))
        && urls.contains(&format!("http://{address}"))
    {
        return Ok(Door { address, host });
    }
    let address = daemon.address().parse().map_err(|err| Problem::because("the daemon's address is none", err))?;
    Ok(Door { address, host })
}
