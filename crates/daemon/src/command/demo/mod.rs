//! `elastane demo`: from one server to a group that grows, heals and shrinks,
//! told as it happens.
//!
//! It starts a daemon of its own and acts as a user, through the AWS APIs
//! alone; the one exception is the accident, for which it asks our own status
//! which process to kill. Each thing that it claims it has checked, and it
//! ends with success only if all of them were so. Whatever happens, it takes
//! down what it made.

mod build;
mod chart;
mod day;
mod house;
mod load;
mod shop;
pub mod signals;
mod summary;
mod svg;
mod tell;
mod watch;

use crate::cli::{Driver, Where, time_scale};
use crate::client::Daemon;
use crate::data_dir::Problem;
use house::House;
use signals::Interrupt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tell::Tell;

/// How the demo runs.
#[derive(clap::Args, Clone, Debug)]
pub struct Demo {
    /// Where the demo's own data directory is made, and where the picture goes.
    #[command(flatten)]
    pub place: Where,
    /// How instances are isolated.
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    pub driver: Driver,
    /// Run service time this many times faster. At 60 the demo takes less than a minute; at 1, most of
    /// an hour.
    /// 1 to 600.
    #[arg(long, value_name = "FACTOR", default_value_t = 60.0, value_parser = time_scale)]
    pub time_scale: f64,
    /// Where to write the picture of the day. [default: demo.svg in the data directory]
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Leave the daemon and what it runs, and say how to reach it.
    #[arg(long)]
    pub keep: bool,
}

/// Between two looks at something that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Real work (booting, starting an interpreter on a busy machine) may take
/// this long wherever something is waited for, however fast service time runs.
const WORK_LIMIT: Duration = Duration::from_secs(30);

/// The demo on its stage.
struct Stage {
    house: House,
    tell: Tell,
    interrupt: Interrupt,
    scale: f64,
}

impl Stage {
    fn daemon(&self) -> &Daemon {
        &self.house.daemon
    }

    /// The wall time that minutes of service time take.
    fn minutes(&self, minutes: f64) -> Duration {
        Duration::from_secs_f64(minutes * 60.0 / self.scale)
    }

    /// Looks until there is something, or until real work and `minutes` of
    /// service time are over; `what` is what it waits for.
    fn wait<T>(
        &mut self,
        what: &str,
        minutes: f64,
        mut look: impl FnMut(&Daemon) -> Result<Option<T>, Problem>,
    ) -> Result<T, Problem> {
        let (start, limit) = (Instant::now(), WORK_LIMIT + self.minutes(minutes));
        loop {
            self.interrupt.check()?;
            self.house.check()?;
            if let Some(found) = look(self.daemon())? {
                return Ok(found);
            }
            if start.elapsed() > limit {
                return Err(Problem::new(format!("waited {:.0} s in vain for {what}", limit.as_secs_f64())));
            }
            self.interrupt.pause(LOOK_INTERVAL)?;
        }
    }
}

/// Runs the demo and takes it down again.
pub fn run(options: &Demo) -> Result<(), Problem> {
    let interpreter = shop::interpreter()?;
    let interrupt = Interrupt::listen()?;
    let mut tell = Tell::new();
    tell.heading("Elastane demo: from one server to a group that grows, heals and shrinks.");
    tell.note(&format!(
        "All of it is real and on this machine: instances, load balancer, requests. Service time runs {} times faster.",
        options.time_scale
    ));
    match House::end_cut_off(options)? {
        0 => {}
        ended => tell.note(&format!("Ended first what {ended} interrupted demo(s) had left.")),
    }
    let house = House::open(options, &interrupt)?;
    introduce(&mut tell, &house.daemon, interpreter);
    let mut stage = Stage { house, tell, interrupt, scale: options.time_scale };
    // Also a bug of ours must not keep the instances from being ended.
    let played = catch_unwind(AssertUnwindSafe(|| play(&mut stage, options)));
    let outcome = played.unwrap_or_else(|_| Err(Problem::new("a bug in the demo, see above")));
    stage.tell.settle();
    if options.keep && stage.interrupt.check().is_ok() {
        keep(&mut stage.tell, &stage.house);
        stage.house.keep();
        return outcome;
    }
    let log = outcome.is_err().then(|| stage.house.log_tail());
    if outcome.is_err() {
        stage.tell.heading("Taking everything down.");
    }
    let closed = stage.house.close();
    match (outcome, closed) {
        (Ok(()), Ok(())) => {
            stage.tell.note("Everything that the demo made is gone again.");
            Ok(())
        }
        (Err(problem), _) if stage.interrupt.check().is_err() => Err(problem),
        (Err(problem), _) => Err(Problem::new(format!("the demo failed: {problem}\n{}", log.unwrap_or_default()))),
        (Ok(()), Err(problem)) => Err(Problem::because("the demo could not take everything down", problem)),
    }
}

fn introduce(tell: &mut Tell, daemon: &Daemon, interpreter: &str) {
    let about = &daemon.about;
    tell.note(&format!(
        "elastane {} at {}, driver {}; the shop runs on {interpreter}.",
        about.version, about.endpoint, about.driver
    ));
    about.driver_notes.iter().for_each(|note| tell.note(&format!("note: {note}")));
}

fn play(stage: &mut Stage, options: &Demo) -> Result<(), Problem> {
    let built = build::run(stage)?;
    let day = day::run(stage, &built)?;
    summary::run(stage, options, &built, &day)
}

fn keep(tell: &mut Tell, house: &House) {
    let home = house.home().display();
    tell.heading("The daemon runs on, as --keep asks.");
    tell.note(&format!("eval \"$(elastane env --data-dir {home})\"   lets the AWS CLI, boto3 and Terraform in"));
    tell.note(&format!("elastane status --data-dir {home}   shows what runs"));
    tell.note(&format!("elastane down --all --data-dir {home} && rm -r {home}   ends it"));
}
