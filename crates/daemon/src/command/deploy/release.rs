//! The decisions of a release by weights: which steps are left, how a forward
//! action is changed, and whether targets are fit to serve.

use elastane_wire::elbv2::{Action, ForwardActionConfig, TargetGroupTuple};

/// The two target groups, by their ARNs.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Serves now.
    pub from: String,
    /// Is to serve.
    pub to: String,
}

/// Steps that are not taken yet at a share of the new version.
pub fn steps_left(steps: &[u8], share: u32) -> Vec<u8> {
    steps.iter().copied().filter(|step| u32::from(*step) > share).collect()
}

/// Why these are no steps, if they are none.
pub fn wrong_steps(steps: &[u8]) -> Option<&'static str> {
    let fine = !steps.is_empty() && steps.is_sorted_by(|one, next| one < next);
    let bounded = steps.iter().all(|step| (1..=100).contains(step));
    (!fine || !bounded).then_some("--steps must be ascending percentages from 1 to 100, such as 10,50,100")
}

/// The new version's share in per cent, rounded down.
///
/// # Errors
/// Says what of the actions does not fit a release between the two.
pub fn share(actions: &[Action], pair: &Pair) -> Result<u32, String> {
    let groups = forward(actions).ok_or("it does not forward to target groups")?;
    if let Some((other, _)) = groups.iter().find(|(arn, _)| *arn != pair.from && *arn != pair.to) {
        return Err(format!("it forwards to {other} as well"));
    }
    let weight = |wanted: &str| groups.iter().filter(|(arn, _)| arn == wanted).map(|(_, weight)| *weight).sum::<u32>();
    let (from, to) = (weight(&pair.from), weight(&pair.to));
    Ok((to * 100).checked_div(from + to).unwrap_or(0))
}

/// Target groups with their weights of the action that forwards.
fn forward(actions: &[Action]) -> Option<Vec<(String, u32)>> {
    let action = actions.iter().find(|action| action.r#type.as_deref() == Some("forward"))?;
    if let Some(config) = action.forward_config.as_ref().filter(|config| !config.target_groups.is_empty()) {
        let one = config.target_groups.len() == 1;
        let row = |tuple: &TargetGroupTuple| {
            let weight = if one { 1 } else { u32::try_from(tuple.weight.unwrap_or(1)).unwrap_or(0) };
            Some((tuple.target_group_arn.clone()?, weight))
        };
        return Some(config.target_groups.iter().filter_map(row).collect());
    }
    Some(vec![(action.target_group_arn.clone()?, 1)])
}

/// The actions with so many per cent for the new version; the rest of them stays.
pub fn shifted(actions: &[Action], pair: &Pair, percent: u32) -> Vec<Action> {
    let tuple = |arn: &String, weight: u32| TargetGroupTuple {
        target_group_arn: Some(arn.clone()),
        weight: Some(weight as i32),
    };
    let change = |action: &Action| {
        if action.r#type.as_deref() != Some("forward") {
            return action.clone();
        }
        let stickiness = action.forward_config.as_ref().and_then(|it| it.target_group_stickiness_config.clone());
        let target_groups = vec![tuple(&pair.from, 100 - percent), tuple(&pair.to, percent)];
        let config = ForwardActionConfig { target_group_stickiness_config: stickiness, target_groups };
        Action { forward_config: Some(config), target_group_arn: None, ..action.clone() }
    };
    actions.iter().map(change).collect()
}

/// What the targets of the new version are fit for, by their states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// At least one is healthy and none is not.
    Fit,
    /// Some are still being looked at, or there are none yet.
    Unknown,
    /// So many are unhealthy.
    Failing(usize),
}

/// Draining targets, and those that are not looked at, do not count.
pub fn fitness<'a>(states: impl IntoIterator<Item = &'a str>) -> Fitness {
    let (mut healthy, mut initial, mut failing) = (0, 0, 0);
    for state in states {
        match state {
            "healthy" => healthy += 1,
            "initial" => initial += 1,
            "unhealthy" | "unhealthy.draining" => failing += 1,
            _ => {}
        }
    }
    match (failing, initial, healthy) {
        (0, 0, 1..) => Fitness::Fit,
        (0, _, _) => Fitness::Unknown,
        (failing, _, _) => Fitness::Failing(failing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        Pair { from: "blue".to_string(), to: "green".to_string() }
    }

    fn action(groups: &[(&str, i32)]) -> Action {
        let tuple = |(arn, weight): &(&str, i32)| TargetGroupTuple {
            target_group_arn: Some(arn.to_string()),
            weight: Some(*weight),
        };
        let config = ForwardActionConfig { target_groups: groups.iter().map(tuple).collect(), ..Default::default() };
        Action { r#type: Some("forward".to_string()), forward_config: Some(config), ..Default::default() }
    }

    #[test]
    fn the_share_is_what_the_weights_say() {
        let plain = Action {
            r#type: Some("forward".to_string()),
            target_group_arn: Some("blue".to_string()),
            ..Default::default()
        };
        let fixed = Action { r#type: Some("fixed-response".to_string()), ..Default::default() };
        let rows = [
            (plain, Ok(0)),
            (action(&[("green", 1)]), Ok(100)),
            (action(&[("blue", 1), ("green", 1)]), Ok(50)),
            (action(&[("blue", 90), ("green", 10)]), Ok(10)),
            (action(&[("blue", 0), ("green", 0)]), Ok(0)),
            (action(&[("blue", 1), ("red", 1)]), Err(())),
            (fixed, Err(())),
        ];
        for (action, want) in rows {
            assert_eq!(share(std::slice::from_ref(&action), &pair()).map_err(drop), want, "{action:?}");
        }
    }

    #[test]
    fn a_shift_goes_on_from_where_it_is() {
        let rows = [(0, vec![10, 50, 100]), (10, vec![50, 100]), (20, vec![50, 100]), (100, vec![])];
        for (share, want) in rows {
            assert_eq!(steps_left(&[10, 50, 100], share), want, "{share}");
        }
        let before = [action(&[("blue", 1)])];
        for percent in [0, 10, 100] {
            assert_eq!(share(&shifted(&before, &pair(), percent), &pair()), Ok(percent));
        }
        for (steps, wrong) in [(vec![], true), (vec![50, 10], true), (vec![0], true), (vec![10, 101], true)] {
            assert_eq!(wrong_steps(&steps).is_some(), wrong, "{steps:?}");
        }
        assert_eq!(wrong_steps(&[100]), None);
    }

    #[test]
    fn targets_are_fit_when_none_fails() {
        let rows: [(&[&str], Fitness); 5] = [
            (&["healthy", "healthy"], Fitness::Fit),
            (&["healthy", "initial"], Fitness::Unknown),
            (&["healthy", "draining", "unused"], Fitness::Fit),
            (&[], Fitness::Unknown),
            (&["healthy", "unhealthy"], Fitness::Failing(1)),
        ];
        for (states, want) in rows {
            assert_eq!(fitness(states.iter().copied()), want, "{states:?}");
        }
    }
}
