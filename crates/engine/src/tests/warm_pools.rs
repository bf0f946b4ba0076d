//! Warm pools: filled, taken from, given back to, and deleted.

use super::hooks::place;
use super::*;
use elastane_domain::group::{PoolState, WarmPool};
use elastane_domain::hooks::{HookResult, Transition};

const POOL: WarmPool =
    WarmPool { min: 0, max_prepared: None, state: PoolState::Stopped, reuse_on_scale_in: false, deleting: false };

impl Rig {
    /// A group `web` of one to four with a pool, settled.
    fn pooled(pool: WarmPool, change: impl FnOnce(&mut Group)) -> Rig {
        let mut rig = Rig::new();
        rig.target_group();
        rig.group("web", (0, 4), 1, |group| {
            group.warm_pool = Some(pool);
            group.target_groups.push(TargetGroupArn::from(TARGET_GROUP));
            change(group);
        });
        rig.pass(Span::ZERO);
        rig
    }

    fn warm(&self) -> Vec<Arc<Instance>> {
        self.members("web").into_iter().filter(|row| place(row).lifecycle.is_warm()).collect()
    }

    fn hook_for_all(&mut self, transition: Transition) {
        self.tx(|tx| {
            tx.put(LifecycleHook {
                group: GroupName::from("web"),
                name: transition.name().to_string(),
                transition,
                heartbeat: Span::from_secs(60),
                default_result: HookResult::Continue,
                target: None,
                role: None,
                metadata: None,
            });
        });
    }

    fn count(&self, description: &str) -> usize {
        self.activities().iter().filter(|(text, status)| text == description && *status == "Successful").count()
    }
}

/// The pool holds what is missing to the group's maximum, in its state, and
/// none of it is capacity or a target.
#[test]
fn autoscaling_12_fill() {
    for (state, word, phase) in
        [(PoolState::Stopped, "Warmed:Stopped", Phase::Stopped), (PoolState::Running, "Warmed:Running", Phase::Running)]
    {
        let rig = Rig::pooled(WarmPool { state, ..POOL }, |_| {});
        assert_eq!(rig.lifecycles(), ["InService", word, word, word]);
        assert!(rig.warm().iter().all(|row| row.phase == phase && !place(row).protected));
        assert_eq!(rig.all::<Target>().len(), 1);
        assert_eq!(rig.count("Launching a new EC2 instance into warm pool"), 3);
        assert_eq!(rig.count("Launching a new EC2 instance"), 1);
    }
}

/// A scale-out takes from the pool, whose instances start again; what is
/// missing then is launched; the pool shrinks as the group grows.
#[test]
fn autoscaling_12_take() {
    let mut rig = Rig::pooled(WarmPool { max_prepared: Some(3), ..POOL }, |group| group.protect_new = true);
    let warm: BTreeSet<InstanceId> = rig.warm().iter().map(|row| row.id.clone()).collect();
    assert_eq!(warm.len(), 2);
    rig.set_desired(4);
    assert_eq!(rig.lifecycles(), ["InService"; 4]);
    let taken: Vec<Arc<Instance>> = rig.members("web").into_iter().filter(|row| warm.contains(&row.id)).collect();
    assert_eq!(taken.len(), 2);
    assert!(taken.iter().all(|row| row.generation.0 == 2 && place(row).protected), "started again, protected now");
    assert_eq!(rig.count("Launching a new EC2 instance from warm pool"), 2);
    assert_eq!(rig.all::<Target>().len(), 4);
    let grew = "in response to a difference between desired and actual capacity, increasing the capacity from 1 to 4";
    assert!(rig.all::<Activity>().iter().filter(|row| row.cause.contains(grew)).count() >= 3);
}

/// The launching hook runs on the way into the pool, and again on the way out of it.
#[test]
fn autoscaling_12_hooks_run_twice() {
    let mut rig = Rig::new();
    rig.hook_for_all(Transition::Launching);
    rig.group("web", (0, 2), 0, |group| group.warm_pool = Some(WarmPool { max_prepared: Some(1), ..POOL }));
    rig.pass(Span::ZERO);
    assert_eq!(rig.lifecycles(), ["Warmed:Pending:Wait"]);
    let first = rig.only().id.clone();
    rig.pass(Span::from_secs(60));
    assert_eq!(rig.lifecycles(), ["Warmed:Stopped"]);
    rig.set_desired(1);
    assert_eq!((rig.lifecycles(), rig.only().phase), (vec!["Pending:Wait"], Phase::Running));
    rig.pass(Span::from_secs(60));
    assert_eq!((rig.lifecycles(), &rig.only().id), (vec!["InService"], &first));
}

/// Without reuse a scale-in terminates and the pool is filled anew; with
/// reuse the same instance goes back, drained first and past the terminating hook.
#[test]
fn autoscaling_12_scale_in() {
    let mut rig = Rig::pooled(WarmPool { max_prepared: Some(2), ..POOL }, |_| {});
    rig.set_desired(2);
    let served: BTreeSet<InstanceId> = rig.members("web").iter().map(|row| row.id.clone()).collect();
    rig.set_desired(1);
    rig.pass(Span::from_secs(300));
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Stopped"]);
    assert!(!served.contains(&rig.warm()[0].id), "a new one");

    let mut rig = Rig::pooled(WarmPool { max_prepared: Some(2), reuse_on_scale_in: true, ..POOL }, |_| {});
    rig.hook_for_all(Transition::Terminating);
    rig.set_desired(2);
    rig.set_desired(1);
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Pending"]);
    assert_eq!((rig.warm()[0].phase, rig.admissions()), (Phase::Running, BTreeSet::from(["draining", "registered"])));
    let back = rig.warm()[0].id.clone();
    rig.pass(Span::from_secs(300));
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Pending:Wait"]);
    rig.pass(Span::from_secs(60));
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Stopped"]);
    assert_eq!((&rig.warm()[0].id, rig.warm()[0].phase), (&back, Phase::Stopped));
    assert_eq!(rig.count("Moving EC2 instance to warm pool"), 1);
    rig.set_desired(2);
    assert!(rig.members("web").iter().any(|row| row.id == back), "it is taken again");
}

/// What is too much goes; a pool that is deleted goes with its last instance,
/// past no hooks; the group serves on.
#[test]
fn autoscaling_12_excess_and_deletion() {
    let mut rig = Rig::pooled(POOL, |_| {});
    rig.hook_for_all(Transition::Terminating);
    let change = |rig: &mut Rig, change: fn(&mut WarmPool)| {
        rig.tx(|tx| tx.update("web", |group: &mut Group| group.warm_pool.iter_mut().for_each(change)));
        rig.pass(Span::ZERO);
    };
    change(&mut rig, |pool| pool.max_prepared = Some(3));
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Stopped", "Warmed:Stopped", "Warmed:Terminating:Wait"]);
    change(&mut rig, |pool| pool.deleting = true);
    assert_eq!(rig.lifecycles(), ["InService"]);
    assert_eq!(rig.get::<Group>("web").expect("the group").warm_pool, None);
    assert_eq!(rig.count("Terminating EC2 instance from warm pool"), 3);
}

/// An instance of the pool that somebody starts, or that ends, is replaced.
#[test]
fn autoscaling_12_health() {
    let mut rig = Rig::pooled(WarmPool { max_prepared: Some(2), ..POOL }, |_| {});
    let first = rig.warm()[0].id.clone();
    rig.tx(|tx| crate::instances::start(tx, &first));
    rig.pass(Span::ZERO);
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Stopped"]);
    let second = rig.warm()[0].clone();
    assert_ne!(second.id, first);
    rig.tx(|tx| crate::instances::end(tx, &second, "Client.UserInitiatedShutdown", "ended"));
    rig.pass(Span::ZERO);
    assert_eq!(rig.lifecycles(), ["InService", "Warmed:Stopped"]);
    assert_ne!(rig.warm()[0].id, second.id);
}

/// A group that is deleted takes its pool along.
#[test]
fn autoscaling_12_group_deletion() {
    let mut rig = Rig::pooled(POOL, |_| {});
    rig.tx(|tx| tx.update("web", |group: &mut Group| (group.deleting, group.desired) = (true, 0)));
    rig.pass(Span::ZERO);
    rig.tell_targets(|target| ProxyFact::Drained { target });
    rig.pass(Span::ZERO);
    assert!(rig.get::<Group>("web").is_none() && rig.members("web").is_empty());
}
