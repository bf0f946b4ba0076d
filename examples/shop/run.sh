#!/usr/bin/env bash
# Scenario S1, from one server to a group, with nothing but the AWS CLI and curl:
#
#     elastane up --time-scale 60 &        # a minute's alarm period passes in a second
#     eval "$(elastane env)"
#     examples/shop/run.sh                 # `examples/shop/run.sh delete` takes everything away again
set -euo pipefail
cd "$(dirname "$0")"
: "${AWS_ENDPOINT_URL:?run 'eval \"\$(elastane env)\"' first}"
export AWS_PAGER=""

get() { aws "$@" --output text; }
say() { printf '\n== %s\n' "$*"; }
# Polls faster than the waiters of the AWS CLI, because time runs faster here.
until_is() {
    local want=$1 got
    shift
    for _ in $(seq 600); do
        got=$(get "$@")
        [ "$got" = "$want" ] && return
        sleep 0.2
    done
    echo "waited two minutes for $want, last: $got" >&2
    return 1
}

if [ "${1:-}" = delete ]; then
    aws autoscaling delete-auto-scaling-group --auto-scaling-group-name shop --force-delete
    aws elbv2 delete-load-balancer \
        --load-balancer-arn "$(get elbv2 describe-load-balancers --names shop --query 'LoadBalancers[0].LoadBalancerArn')"
    aws elbv2 delete-target-group \
        --target-group-arn "$(get elbv2 describe-target-groups --names shop --query 'TargetGroups[0].TargetGroupArn')"
    aws ec2 delete-launch-template --launch-template-name shop
    aws ec2 terminate-instances --instance-ids \
        $(get ec2 describe-instances --filters Name=tag:Name,Values=shop --query 'Reservations[].Instances[].InstanceId')
    aws ec2 deregister-image --image-id "$(get ec2 describe-images --owners self --query 'Images[0].ImageId')"
    exit
fi

say "one instance; its user data installs a web application"
base=$(get ec2 describe-images --owners amazon --query 'Images[0].ImageId')
group=$(get ec2 create-security-group --group-name shop --description "HTTP only" --query GroupId)
for port in 80 8080; do
    aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port "$port" --cidr 0.0.0.0/0
done
first=$(get ec2 run-instances --image-id "$base" --instance-type t3.micro --user-data file://user-data.sh \
    --security-group-ids "$group" --tag-specifications 'ResourceType=instance,Tags=[{Key=Name,Value=shop}]' \
    --query 'Instances[0].InstanceId')
until_is running ec2 describe-instances --instance-ids "$first" --query 'Reservations[0].Instances[0].State.Name'
get ec2 get-console-output --instance-id "$first" --query Output

say "a change by hand, then an image of it"
command=$(get ssm send-command --document-name AWS-RunShellScript --instance-ids "$first" \
    --parameters '{"commands":["echo \"changed by hand\" > \"$ELASTANE_ROOT/opt/shop/page\""]}' --query Command.CommandId)
until_is Success ssm get-command-invocation --command-id "$command" --instance-id "$first" --query Status
image=$(get ec2 create-image --instance-id "$first" --name shop --query ImageId)
until_is available ec2 describe-images --image-ids "$image" --query 'Images[0].State'

say "a launch template, a load balancer, a group of 0 to 10"
aws ec2 create-launch-template --launch-template-name shop --launch-template-data \
    "{\"ImageId\":\"$image\",\"InstanceType\":\"c5.xlarge\",\"SecurityGroupIds\":[\"$group\"]}"
vpc=$(get ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId')
subnets=$(get ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId')
# One argument a subnet.
# shellcheck disable=SC2086
balancer=$(get elbv2 create-load-balancer --name shop --subnets $subnets --security-groups "$group" \
    --query 'LoadBalancers[0].LoadBalancerArn')
targets=$(get elbv2 create-target-group --name shop --protocol HTTP --port 8080 --vpc-id "$vpc" \
    --health-check-path /health --health-check-interval-seconds 10 --healthy-threshold-count 2 \
    --query 'TargetGroups[0].TargetGroupArn')
aws elbv2 modify-target-group-attributes --target-group-arn "$targets" \
    --attributes Key=load_balancing.algorithm.type,Value=least_outstanding_requests
aws elbv2 create-listener --load-balancer-arn "$balancer" --protocol HTTP --port 80 \
    --default-actions "Type=forward,TargetGroupArn=$targets"
aws autoscaling create-auto-scaling-group --auto-scaling-group-name shop \
    --launch-template 'LaunchTemplateName=shop,Version=$Latest' --min-size 0 --max-size 10 --desired-capacity 1 \
    --vpc-zone-identifier "$(tr '[:space:]' , <<<"$subnets" | sed 's/,$//')" --target-group-arns "$targets" \
    --health-check-type ELB --health-check-grace-period 600 --default-instance-warmup 60
aws autoscaling put-scaling-policy --auto-scaling-group-name shop --policy-name requests \
    --policy-type TargetTrackingScaling --target-tracking-configuration "{
        \"TargetValue\": 15, \"PredefinedMetricSpecification\": {
            \"PredefinedMetricType\": \"ALBRequestCountPerTarget\",
            \"ResourceLabel\": \"${balancer#*loadbalancer/}/${targets##*:}\" } }"

say "the new instance carries the change, without user data"
until_is healthy elbv2 describe-target-health --target-group-arn "$targets" \
    --query 'TargetHealthDescriptions[0].TargetHealth.State'
curl -s -H "Host: shop.elb.localhost" "$AWS_ENDPOINT_URL/"

say "load: watch the group grow, then shrink to nothing when it ends (a quarter of an hour, scaled)"
end=$((SECONDS + 20))
while [ $SECONDS -lt $end ]; do
    for _ in $(seq 50); do
        curl -s -o /dev/null -H "Host: shop.elb.localhost" "$AWS_ENDPOINT_URL/"
    done
done &
load=$!
while kill -0 "$load" 2>/dev/null; do
    get elbv2 describe-target-health --target-group-arn "$targets" \
        --query 'TargetHealthDescriptions[].TargetHealth.State' | tr '\t' ' '
    sleep 2
done
until_is 0 autoscaling describe-auto-scaling-groups --auto-scaling-group-names shop \
    --query 'AutoScalingGroups[0].DesiredCapacity'
aws autoscaling describe-scaling-activities --auto-scaling-group-name shop --query 'Activities[].[StartTime,Description]' \
    --output text
