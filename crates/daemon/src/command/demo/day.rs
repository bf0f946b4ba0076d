//! The second half of the story: Black Friday, an accident, the evening and
//! the night.

use super::build::{Built, RATE_PER_INSTANCE};
use super::chart::{Mark, Point};
use super::load::{Load, Sample, get_once};
use super::summary::{millis, percentile, service_time};
use super::watch::{self, Moment};
use super::{Stage, WORK_LIMIT};
use crate::data_dir::Problem;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Requests a second in the morning: one instance is enough.
const MORNING: f64 = 15.0;
/// And at noon: five instances, each a little below the target value, so that
/// neither alarm moves while an instance is killed.
const NOON: f64 = 4.75 * RATE_PER_INSTANCE;
/// The instances that noon needs.
const NOON_INSTANCES: usize = 5;
/// And in the evening: two instances, again a little below the target value.
const EVENING: f64 = 1.9 * RATE_PER_INSTANCE;

/// Minutes of service time from morning to noon.
const RISE_MINUTES: f64 = 8.0;
/// Minutes in which alarms and policies must have done their work: target
/// tracking scales in after fifteen.
const SCALE_LIMIT_MINUTES: f64 = 40.0;

/// Between two looks at the group.
const LOOK: Duration = Duration::from_millis(200);
/// While seconds count.
const CLOSE_LOOK: Duration = Duration::from_millis(20);
/// What requests a second and p99 of the live line are measured over.
const RECENT: Duration = Duration::from_secs(1);

/// What happened.
pub struct Day {
    /// Group and requests over time.
    pub points: Vec<Point>,
    /// What to mark in the picture.
    pub marks: Vec<Mark>,
    /// Every request.
    pub samples: Vec<Sample>,
    /// Requests that the generator was too late to send.
    pub not_sent: usize,
    /// From the first request above one instance's share to all instances in service.
    pub scale_out: Duration,
    /// Instances at the peak.
    pub peak: usize,
    /// Every instance that was in service.
    pub seen: BTreeSet<String>,
    /// The instance that was killed.
    pub accident: Accident,
    /// Instances in the evening.
    pub evening: usize,
}

/// An instance was killed.
pub struct Accident {
    /// Which.
    pub instance: String,
    /// When.
    pub at: Instant,
    /// When the load balancer no longer sent it requests.
    pub out: Instant,
    /// When the group was whole again.
    pub healed: Instant,
}

/// The customers, the group, and what was seen of both.
struct Watch<'a> {
    stage: &'a mut Stage,
    built: &'a Built,
    load: Load,
    start: Instant,
    last: Option<Moment>,
    points: Vec<Point>,
    marks: Vec<Mark>,
    seen: BTreeSet<String>,
}

/// Plays the day.
pub fn run(stage: &mut Stage, built: &Built) -> Result<Day, Problem> {
    let load = Load::start(built.door.clone()).map_err(|err| Problem::because("cannot start customers", err))?;
    let (start, seen) = (Instant::now(), BTreeSet::new());
    let mut watch = Watch { stage, built, load, start, last: None, points: Vec::new(), marks: Vec::new(), seen };
    let (scale_out, peak) = watch.black_friday()?;
    let accident = watch.accident()?;
    let evening = watch.evening()?;
    watch.night()?;
    watch.load.stop();
    Ok(Day {
        samples: watch.load.samples(),
        not_sent: watch.load.not_sent(),
        points: watch.points,
        marks: watch.marks,
        scale_out,
        peak,
        seen: watch.seen,
        accident,
        evening,
    })
}

impl Watch<'_> {
    /// Looks at the group until it is as wanted, at most for real work and
    /// `SCALE_LIMIT_MINUTES`.
    fn follow(
        &mut self,
        what: &str,
        interval: Duration,
        mut done: impl FnMut(&Load, &Moment) -> bool,
    ) -> Result<Moment, Problem> {
        let (start, limit) = (Instant::now(), WORK_LIMIT + self.stage.minutes(SCALE_LIMIT_MINUTES));
        loop {
            self.stage.interrupt.check()?;
            self.stage.house.check()?;
            let moment = self.look()?;
            if done(&self.load, &moment) {
                self.stage.tell.settle();
                return Ok(moment);
            }
            if start.elapsed() > limit {
                let state = self.describe(&moment);
                return Err(Problem::new(format!("waited {:.0} s in vain for {what}: {state}", limit.as_secs_f64())));
            }
            self.stage.interrupt.pause(interval)?;
        }
    }

    /// One look: kept for the picture, shown on the live line, changes told.
    fn look(&mut self) -> Result<Moment, Problem> {
        let moment = watch::look(self.stage.daemon(), &self.built.names)?;
        self.seen.extend(moment.in_service.iter().cloned());
        if let Some(last) = &self.last {
            let told = changes(last, &moment);
            told.iter().for_each(|text| self.stage.tell.event(text));
        }
        let rate = self.recent().len() as f64 / RECENT.as_secs_f64();
        self.points.push(Point {
            at: (moment.at - self.start).as_secs_f64(),
            instances: moment.in_service.len(),
            desired: moment.desired,
            rate,
        });
        let line = self.describe(&moment);
        self.stage.tell.live(&line);
        self.last = Some(moment.clone());
        Ok(moment)
    }

    fn recent(&self) -> Vec<Sample> {
        let now = Instant::now();
        self.load.since(now.checked_sub(RECENT).unwrap_or(now))
    }

    fn describe(&self, moment: &Moment) -> String {
        let recent = self.recent();
        let slow = match percentile(recent.iter().map(|one| one.end.saturating_duration_since(one.due)).collect(), 0.99)
        {
            Some(slow) => millis(slow),
            None => "-".to_string(),
        };
        let alarm = |index: usize| match moment.alarms.get(index).map(String::as_str) {
            Some("INSUFFICIENT_DATA") | None => "?",
            Some(state) => state,
        };
        let draining = match moment.draining {
            0 => String::new(),
            count => format!(", {count} draining"),
        };
        format!(
            "{:>3} requests/s, p99 {slow}; {} of {} in service{draining}; alarms: high {}, low {}",
            recent.len(),
            moment.in_service.len(),
            moment.desired,
            alarm(0),
            alarm(1)
        )
    }

    fn mark(&mut self, at: Instant, text: impl Into<String>) {
        self.marks.push(Mark { at: at.saturating_duration_since(self.start).as_secs_f64(), text: text.into() });
    }

    /// The load rises until five instances are needed. How long it took from
    /// one instance's share to all in service, and how many there are.
    fn black_friday(&mut self) -> Result<(Duration, usize), Problem> {
        self.stage.tell.step("Black Friday: the load rises");
        self.stage.tell.note(&format!(
            "From {MORNING:.0} to {NOON:.0} requests a second, where one instance is meant to serve {RATE_PER_INSTANCE:.0}."
        ));
        let (rise, start) = (self.stage.minutes(RISE_MINUTES), Instant::now());
        self.mark(start, "the load begins to rise");
        let mut above = None;
        let all = self.follow("five instances in service", LOOK, |load, moment| {
            let part = (start.elapsed().as_secs_f64() / rise.as_secs_f64()).min(1.0);
            let rate = MORNING + (NOON - MORNING) * part;
            load.set_rate(rate);
            if rate > RATE_PER_INSTANCE {
                above.get_or_insert_with(Instant::now);
            }
            part >= 1.0 && moment.desired >= NOON_INSTANCES && moment.is_settled()
        })?;
        let took = all.at - above.unwrap_or(start);
        self.mark(all.at, format!("{} instances in service", all.in_service.len()));
        self.stage.tell.result(&format!(
            "{} instances in service and healthy, {} after the load passed what one is meant to serve",
            all.in_service.len(),
            service_time(took, self.stage.scale)
        ));
        Ok((took, all.in_service.len()))
    }

    /// One instance is killed under full load, and replaced.
    fn accident(&mut self) -> Result<Accident, Problem> {
        self.stage.tell.step("An accident: one instance is killed");
        // A moment of full load on all instances first, so that requests are under way on each.
        let calm = Instant::now() + self.stage.minutes(2.0);
        let before = self.follow("a moment of full load", LOOK, |_, _| Instant::now() >= calm)?;
        let instance = before.healthy.iter().next().cloned().ok_or_else(|| Problem::new("nothing is healthy"))?;
        let pid = self.pid(&instance)?;
        self.stage.tell.command(&format!("kill -9 {}   # the first process of {instance}", pid.as_raw_nonzero()));
        let at = Instant::now();
        kill_process(pid, Signal::KILL).map_err(|err| Problem::because(format!("cannot kill {instance}"), err))?;
        self.mark(at, format!("{instance} is killed"));
        let names = self.built.names.clone();
        let out = loop {
            let health = watch::target_health(self.stage.daemon(), &names.target_group)?;
            if !health.iter().any(|(id, state)| *id == instance && state == "healthy") {
                break Instant::now();
            }
            if at.elapsed() > WORK_LIMIT {
                return Err(Problem::new(format!("{instance} was killed, and still gets requests")));
            }
            self.stage.interrupt.check()?;
        };
        self.stage.tell.event(&format!("out of the flow of requests after {}", millis(out - at)));
        let healed = self.follow("a replacement in service", CLOSE_LOOK, |_, moment| {
            !moment.in_service.contains(&instance) && moment.desired >= before.desired && moment.is_settled()
        })?;
        self.mark(healed.at, "replaced");
        let new = healed.in_service.difference(&before.in_service).next().cloned();
        let new = new.ok_or_else(|| Problem::new(format!("nothing has replaced {instance}")))?;
        self.stage.tell.result(&format!(
            "{new} has replaced {instance} and serves, {} after the kill",
            service_time(healed.at - at, self.stage.scale)
        ));
        Ok(Accident { instance, at, out, healed: healed.at })
    }

    /// The first process of an instance, as the daemon's status tells it.
    fn pid(&self, instance: &str) -> Result<Pid, Problem> {
        let status = self.stage.daemon().status()?;
        let found = status.instances.iter().find(|one| one.id == instance).and_then(|one| one.pid);
        found.and_then(Pid::from_raw).ok_or_else(|| Problem::new(format!("{instance} has no process")))
    }

    /// Fewer customers: instances are drained and go, under load.
    fn evening(&mut self) -> Result<usize, Problem> {
        self.stage.tell.step("Evening: fewer customers, fewer instances");
        self.stage.tell.note(&format!(
            "{EVENING:.0} requests a second. Target tracking waits for fifteen minutes of little load, then drains."
        ));
        let before = self.last.as_ref().map_or(0, |moment| moment.desired);
        self.mark(Instant::now(), "evening");
        self.load.set_rate(EVENING);
        // Until the alarm for low load is content, so that the night's fifteen minutes are its own.
        let fewer = self.follow("fewer instances", LOOK, |_, moment| {
            let content = moment.alarms.get(1).is_some_and(|state| state == "OK");
            (1..before).contains(&moment.desired) && moment.is_settled() && moment.draining == 0 && content
        })?;
        self.stage.tell.result(&format!("{} of {before} instances are left, the others drained", fewer.desired));
        Ok(fewer.desired)
    }

    /// No customers: no instances.
    fn night(&mut self) -> Result<(), Problem> {
        self.stage.tell.step("Night: no customers, no instances");
        self.stage.tell.note("Another fifteen minutes without load, and the group is at its minimum.");
        self.mark(Instant::now(), "night");
        self.load.set_rate(0.0);
        let start = Instant::now();
        let none = self.follow("an empty group", LOOK, |_, moment| {
            moment.desired == 0 && moment.members == 0 && moment.healthy.is_empty() && moment.draining == 0
        })?;
        self.mark(none.at, "no instance is left");
        let left = self.stage.daemon().status()?.instances;
        if !left.is_empty() {
            let left: Vec<String> = left.into_iter().map(|one| format!("{} {}", one.id, one.state)).collect();
            return Err(Problem::new(format!("the group is empty, and yet there are instances: {}", left.join(", "))));
        }
        let answer = get_once(&self.built.door).map(|page| page.status);
        if answer != Ok(503) {
            return Err(Problem::new("with no instance in service the load balancer did not answer 503"));
        }
        self.stage.tell.result(&format!(
            "The group is at its minimum, 0, after {}; who comes now gets a 503 from the load balancer.",
            service_time(none.at - start, self.stage.scale)
        ));
        Ok(())
    }
}

/// What changed between two looks, as lines to tell.
fn changes(last: &Moment, now: &Moment) -> Vec<String> {
    let mut told = Vec::new();
    for (index, name) in ["high", "low"].into_iter().enumerate() {
        if let (Some(before), Some(after)) = (last.alarms.get(index), now.alarms.get(index))
            && before != after
        {
            told.push(format!("the alarm for {name} load is {after}, was {before}"));
        }
    }
    if last.desired != now.desired {
        told.push(format!("desired capacity {} -> {}", last.desired, now.desired));
    }
    for id in now.in_service.difference(&last.in_service) {
        told.push(format!("{id} in service"));
    }
    for id in last.in_service.difference(&now.in_service) {
        told.push(format!("{id} leaves"));
    }
    told
}
