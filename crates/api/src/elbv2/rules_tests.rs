//! Rules of listeners (alb.md 2): conditions, actions, transforms, priorities.

use super::tests::*;
use crate::testing::{Lab, ask};
use elastane_engine::row::{Listener, Rule};
use elastane_wire::{ApiError, elbv2 as wire};

/// A load balancer with a listener that forwards to a group.
struct Scene {
    lab: Lab,
    listener: String,
    group: String,
}

impl Scene {
    fn new() -> Scene {
        let mut lab = Lab::new();
        let (made, group) = (balancer(&mut lab, "shop"), group(&mut lab, "web"));
        let listener = listener(&mut lab, &made, 80, &group).listener_arn.expect("an ARN");
        Scene { lab, listener, group }
    }

    fn create(
        &mut self,
        priority: i32,
        change: impl FnOnce(&mut wire::CreateRuleInput),
    ) -> Result<wire::Rule, ApiError> {
        let mut input = wire::CreateRuleInput {
            listener_arn: text(&self.listener),
            priority: Some(priority),
            conditions: vec![path("/a")],
            actions: forward(&self.group),
            ..Default::default()
        };
        change(&mut input);
        ask!(self.lab, Elbv2CreateRule, input).map(|output| output.rules.into_iter().next().expect("one rule"))
    }

    fn priorities(&mut self) -> Vec<String> {
        let input = wire::DescribeRulesInput { listener_arn: text(&self.listener), ..Default::default() };
        let rules = ask!(self.lab, Elbv2DescribeRules, input).expect("a listener").rules;
        rules.into_iter().filter_map(|rule| rule.priority).collect()
    }
}

fn path(value: &str) -> wire::RuleCondition {
    wire::RuleCondition { field: text("path-pattern"), values: vec![value.to_string()], ..Default::default() }
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Every field in its long form, and host and path in their short one.
fn conditions() -> Vec<wire::RuleCondition> {
    let field = |name: &str| wire::RuleCondition { field: text(name), ..Default::default() };
    let pair = |key: Option<&str>, value: &str| wire::QueryStringKeyValuePair {
        key: key.map(str::to_string),
        value: text(value),
    };
    vec![
        wire::RuleCondition { values: strings(&["*.example.com"]), ..field("host-header") },
        wire::RuleCondition {
            path_pattern_config: Some(wire::PathPatternConditionConfig {
                regex_values: strings(&["^/v[0-9]+/"]),
                ..Default::default()
            }),
            ..field("path-pattern")
        },
        wire::RuleCondition {
            http_header_config: Some(wire::HttpHeaderConditionConfig {
                http_header_name: text("X-Version"),
                values: strings(&["1"]),
                ..Default::default()
            }),
            ..field("http-header")
        },
        wire::RuleCondition {
            http_request_method_config: Some(wire::HttpRequestMethodConditionConfig { values: strings(&["GET"]) }),
            ..field("http-request-method")
        },
        wire::RuleCondition {
            query_string_config: Some(wire::QueryStringConditionConfig {
                values: vec![pair(Some("a"), "b*"), pair(None, "c")],
            }),
            ..field("query-string")
        },
        wire::RuleCondition {
            source_ip_config: Some(wire::SourceIpConditionConfig {
                values: strings(&["10.0.0.0/8", "2001:db8::/32"]),
                ..Default::default()
            }),
            ..field("source-ip")
        },
    ]
}

/// Each field comes back with the configuration that clients dereference,
/// and with the short values where the API has them.
#[test]
fn alb_2_1_conditions_come_back_in_both_forms() {
    let mut scene = Scene::new();
    for (n, condition) in conditions().into_iter().enumerate() {
        let field = condition.field.clone();
        let made = scene.create(n as i32 + 1, |input| input.conditions = vec![condition.clone()]).expect("a good rule");
        let shown = &made.conditions[0];
        assert_eq!(shown.field, field);
        let there = [
            shown.host_header_config.is_some(),
            shown.path_pattern_config.is_some(),
            shown.http_header_config.is_some(),
            shown.http_request_method_config.is_some(),
            shown.query_string_config.is_some(),
            shown.source_ip_config.is_some(),
        ];
        let expected: Vec<bool> = (0..6).map(|field| field == n).collect();
        assert_eq!(there.to_vec(), expected, "{field:?}");
        // What is shown is taken again, and means the same.
        let input = wire::ModifyRuleInput {
            rule_arn: made.rule_arn.clone(),
            conditions: made.conditions.clone(),
            ..Default::default()
        };
        assert_eq!(ask!(scene.lab, Elbv2ModifyRule, input).expect("its own conditions").rules, [made]);
    }
    let hosts = scene.lab.rows::<Rule>().into_iter().find(|row| row.priority == 1).expect("it is there");
    let host = super::conditions::shown(&hosts.conditions[0]);
    assert_eq!(host.values, host.host_header_config.expect("both forms").values);
}

/// Each bad condition is refused, and nothing is left of the rule.
#[test]
fn alb_2_1_bad_conditions() {
    let mut scene = Scene::new();
    let good = conditions();
    let changed = |n: usize, change: &dyn Fn(&mut wire::RuleCondition)| {
        let mut condition = good[n].clone();
        change(&mut condition);
        vec![condition]
    };
    let many =
        |count: usize| wire::RuleCondition { values: (0..count).map(|n| format!("/{n}")).collect(), ..path("/") };
    let header = |count: usize| {
        let mut condition = good[2].clone();
        let config = condition.http_header_config.as_mut().expect("a header");
        config.values = (0..count).map(|n| n.to_string()).collect();
        condition
    };
    let cases: Vec<(&str, Vec<wire::RuleCondition>)> = vec![
        ("none", Vec::new()),
        ("no field", changed(0, &|one| one.field = None)),
        ("an unknown field", changed(0, &|one| one.field = text("colour"))),
        ("no values", changed(0, &|one| one.values.clear())),
        ("values and expressions", changed(1, &|one| one.values = strings(&["/a"]))),
        (
            "the configuration of another field",
            changed(0, &|one| one.source_ip_config = good[5].source_ip_config.clone()),
        ),
        ("short values where there are none", changed(3, &|one| one.values = strings(&["GET"]))),
        ("a host without dot", changed(0, &|one| one.values = strings(&["localhost"]))),
        (
            "bits after the prefix",
            changed(5, &|one| {
                one.source_ip_config.as_mut().expect("ranges").values = strings(&["10.1.0.0/8"]);
            }),
        ),
        (
            "one address of no host",
            changed(5, &|one| {
                one.source_ip_config.as_mut().expect("ranges").values = strings(&["255.255.255.255/32"]);
            }),
        ),
        ("the same field twice", vec![path("/a"), path("/b")]),
        ("four values", vec![many(4)]),
        ("six values in all", vec![many(3), header(3)]),
        ("seven wildcards", vec![wire::RuleCondition { values: strings(&["/*/*/*", "/*/*", "/*?"]), ..path("/") }]),
    ];
    for (why, conditions) in cases {
        let err = scene.create(1, |input| input.conditions = conditions).expect_err(why);
        assert_eq!(err.code, "ValidationError", "{why}: {}", err.message);
    }
    assert!(scene.lab.rows::<Rule>().is_empty());
    scene.create(1, |input| input.conditions = vec![many(3), header(2)]).expect("five values");
}

/// Priorities are of one to 50,000 and unique in a listener; the default rule
/// comes last and is shown as such.
#[test]
fn alb_2_priorities() {
    let mut scene = Scene::new();
    let (first, second) = (scene.create(10, |_| ()).expect("free"), scene.create(20, |_| ()).expect("free"));
    assert_eq!(scene.create(10, |_| ()).expect_err("taken").code, "PriorityInUse");
    for bad in [0, 50_001] {
        assert_eq!(scene.create(bad, |_| ()).expect_err("out of range").code, "ValidationError");
    }
    assert_eq!(scene.priorities(), ["10", "20", "default"]);
    let pair = |rule: &wire::Rule, priority| wire::RulePriorityPair {
        priority: Some(priority),
        rule_arn: rule.rule_arn.clone(),
    };
    let set = |scene: &mut Scene, pairs: Vec<wire::RulePriorityPair>| {
        let input = wire::SetRulePrioritiesInput { rule_priorities: pairs };
        ask!(scene.lab, Elbv2SetRulePriorities, input)
    };
    set(&mut scene, vec![pair(&first, 20), pair(&second, 10)]).expect("they change places");
    let of = |scene: &Scene, rule: &wire::Rule| {
        let rows = scene.lab.rows::<Rule>();
        rows.iter().find(|row| Some(row.arn.as_str()) == rule.rule_arn.as_deref()).expect("it is there").priority
    };
    assert_eq!((of(&scene, &first), of(&scene, &second)), (20, 10));
    let err = set(&mut scene, vec![pair(&first, 30), pair(&second, 30)]).expect_err("twice the same");
    assert_eq!((err.code.as_ref(), of(&scene, &first)), ("PriorityInUse", 20));
    assert_eq!(set(&mut scene, vec![pair(&first, 10)]).expect_err("taken").code, "PriorityInUse");
}

/// The default rule has an ARN of its own, changes and goes with its listener
/// only, and so do the others go.
#[test]
fn default_rules_belong_to_their_listener() {
    let mut scene = Scene::new();
    scene.create(1, |_| ()).expect("a good rule");
    let arn = scene.lab.rows::<Listener>()[0].default_rule.to_string();
    assert!(arn.starts_with(&scene.listener.replace(":listener/", ":listener-rule/")), "{arn}");
    let input = wire::DescribeRulesInput { rule_arns: vec![arn.clone()], ..Default::default() };
    let shown = ask!(scene.lab, Elbv2DescribeRules, input).expect("it is there").rules.remove(0);
    assert_eq!((shown.is_default, shown.priority.as_deref()), (Some(true), Some("default")));
    let err = ask!(scene.lab, Elbv2DeleteRule, wire::DeleteRuleInput { rule_arn: text(&arn) }).expect_err("default");
    assert_eq!(err.code, "OperationNotPermitted");
    let input = wire::ModifyRuleInput { rule_arn: text(&arn), conditions: vec![path("/")], ..Default::default() };
    assert_eq!(ask!(scene.lab, Elbv2ModifyRule, input).expect_err("default").code, "OperationNotPermitted");
    let delete = wire::DeleteListenerInput { listener_arn: text(&scene.listener) };
    ask!(scene.lab, Elbv2DeleteListener, delete).expect("it is there");
    assert!(scene.lab.rows::<Rule>().is_empty());
    let input = wire::DescribeRulesInput { rule_arns: vec![arn], ..Default::default() };
    assert_eq!(ask!(scene.lab, Elbv2DescribeRules, input).expect_err("gone").code, "RuleNotFound");
}

fn redirect(change: impl FnOnce(&mut wire::RedirectActionConfig)) -> Vec<wire::Action> {
    let mut config = wire::RedirectActionConfig { status_code: text("HTTP_301"), ..Default::default() };
    change(&mut config);
    vec![wire::Action { r#type: text("redirect"), redirect_config: Some(config), ..Default::default() }]
}

/// A redirect is shown with all six members; one that changes nothing or is
/// malformed is refused.
#[test]
fn alb_2_2_redirects() {
    let mut scene = Scene::new();
    let made = scene.create(1, |input| input.actions = redirect(|to| to.protocol = text("HTTPS"))).expect("good");
    let shown = made.actions[0].redirect_config.clone().expect("a redirect");
    let members = [shown.protocol, shown.host, shown.port, shown.path, shown.query, shown.status_code];
    let members: Vec<String> = members.into_iter().flatten().collect();
    assert_eq!(made.actions[0].order, None, "it was not given");
    assert_eq!(members, ["HTTPS", "#{host}", "#{port}", "/#{path}", "#{query}", "HTTP_301"]);
    for (code, actions) in [
        ("InvalidLoadBalancerAction", redirect(|_| ())),
        ("InvalidLoadBalancerAction", redirect(|to| to.query = text("a=b"))),
        ("ValidationError", redirect(|to| to.status_code = text("HTTP_307"))),
        ("ValidationError", redirect(|to| to.port = text("0"))),
        ("ValidationError", redirect(|to| to.path = text("a"))),
        ("ValidationError", redirect(|to| to.protocol = text("FTP"))),
        ("ValidationError", redirect(|to| to.host = text(&"h".repeat(129)))),
    ] {
        let shown = format!("{actions:?}");
        let err = scene.create(2, |input| input.actions = actions).expect_err(&shown);
        assert_eq!(err.code, code, "{shown}: {}", err.message);
    }
}

/// Weighted forwards: up to five groups, a sticky target needs a sticky group.
#[test]
fn alb_2_2_weighted_forwards() {
    let mut scene = Scene::new();
    let groups: Vec<String> = (0..6).map(|n| group(&mut scene.lab, &format!("g{n}"))).collect();
    let weighted = |groups: &[String], sticky: Option<i32>| {
        let tuple = |arn: &String| wire::TargetGroupTuple { target_group_arn: text(arn), weight: Some(1) };
        let sticky = wire::TargetGroupStickinessConfig { enabled: Some(sticky.is_some()), duration_seconds: sticky };
        let config = wire::ForwardActionConfig {
            target_group_stickiness_config: Some(sticky),
            target_groups: groups.iter().map(tuple).collect(),
        };
        vec![wire::Action { r#type: text("forward"), forward_config: Some(config), ..Default::default() }]
    };
    let made = scene.create(1, |input| input.actions = weighted(&groups[..5], Some(60))).expect("five groups");
    let config = made.actions[0].forward_config.as_ref().expect("a forward");
    assert_eq!((config.target_groups.len(), made.actions[0].target_group_arn.as_deref()), (5, None));
    let sticky = config.target_group_stickiness_config.as_ref().expect("always shown");
    assert_eq!((sticky.enabled, sticky.duration_seconds), (Some(true), Some(60)));
    // A duration without stickiness means nothing, but clients get back what they sent.
    let mut idle = weighted(&groups[5..], Some(90));
    let config = idle[0].forward_config.as_mut().expect("a forward");
    config.target_group_stickiness_config =
        Some(wire::TargetGroupStickinessConfig { enabled: Some(false), duration_seconds: Some(90) });
    let kept = scene.create(3, |input| input.actions = idle.clone()).expect("it is in range");
    let shown = kept.actions[0].forward_config.as_ref().expect("a forward");
    assert_eq!(shown.target_group_stickiness_config, config_of(&idle));
    for (why, actions) in [
        ("six groups", weighted(&groups, None)),
        ("a day too much", weighted(&groups[..1], Some(604_801))),
        ("the same group twice", weighted(&[groups[0].clone(), groups[0].clone()], None)),
    ] {
        assert_eq!(scene.create(2, |input| input.actions = actions).expect_err(why).code, "ValidationError", "{why}");
    }
    let attribute = |key: &str, value: &str| wire::TargetGroupAttribute { key: text(key), value: text(value) };
    let stick = wire::ModifyTargetGroupAttributesInput {
        target_group_arn: text(&groups[0]),
        attributes: vec![attribute("stickiness.enabled", "true")],
    };
    ask!(scene.lab, Elbv2ModifyTargetGroupAttributes, stick.clone()).expect("the groups are sticky");
    let err = scene.create(2, |input| input.actions = weighted(&groups[..2], None)).expect_err("not sticky");
    assert_eq!(err.code, "InvalidLoadBalancerAction");
    scene.create(2, |input| input.actions = weighted(&groups[1..3], None)).expect("no target is sticky");
    let stick = wire::ModifyTargetGroupAttributesInput { target_group_arn: text(&groups[1]), ..stick };
    let err = ask!(scene.lab, Elbv2ModifyTargetGroupAttributes, stick).expect_err("its action is not sticky");
    assert_eq!(err.code, "InvalidLoadBalancerAction");
}

fn config_of(actions: &[wire::Action]) -> Option<wire::TargetGroupStickinessConfig> {
    actions[0].forward_config.as_ref()?.target_group_stickiness_config.clone()
}

/// Transforms: one of each kind, kept by ModifyRule until they are reset.
#[test]
fn alb_2_transforms() {
    let mut scene = Scene::new();
    let rewrite = |regex: &str| vec![wire::RewriteConfig { regex: text(regex), replace: text("/$1") }];
    let url = |regex: &str| wire::RuleTransform {
        r#type: text("url-rewrite"),
        url_rewrite_config: Some(wire::UrlRewriteConfig { rewrites: rewrite(regex) }),
        host_header_rewrite_config: None,
    };
    let made = scene.create(1, |input| input.transforms = vec![url("^/api/(.*)")]).expect("a good rewrite");
    assert_eq!(made.transforms, [url("^/api/(.*)")]);
    for (why, transforms) in [
        ("two of a kind", vec![url("a"), url("b")]),
        ("no expression", vec![url("(")]),
        ("too long", vec![url(&"a".repeat(1025))]),
        ("no configuration", vec![wire::RuleTransform { url_rewrite_config: None, ..url("a") }]),
        ("another kind", vec![wire::RuleTransform { r#type: text("body-rewrite"), ..url("a") }]),
    ] {
        let err = scene.create(2, |input| input.transforms = transforms).expect_err(why);
        assert_eq!(err.code, "ValidationError", "{why}");
    }
    let modify = |change: fn(&mut wire::ModifyRuleInput)| {
        let mut input = wire::ModifyRuleInput { rule_arn: made.rule_arn.clone(), ..Default::default() };
        change(&mut input);
        input
    };
    let kept = ask!(scene.lab, Elbv2ModifyRule, modify(|input| input.conditions = vec![path("/b")])).expect("good");
    assert_eq!(kept.rules[0].transforms.len(), 1);
    let reset = ask!(scene.lab, Elbv2ModifyRule, modify(|input| input.reset_transforms = Some(true))).expect("good");
    assert!(reset.rules[0].transforms.is_empty());
}

/// A load balancer has at most 100 rules besides the default ones.
#[test]
fn alb_12_rules_of_a_load_balancer() {
    let mut scene = Scene::new();
    for priority in 1..=100 {
        scene.create(priority, |_| ()).expect("room");
    }
    assert_eq!(scene.create(101, |_| ()).expect_err("full").code, "TooManyRules");
}
