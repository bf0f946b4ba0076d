//! `elastane deploy`: a new version goes out and is watched; when it fails,
//! the old one serves on. Everything is asked of the public API, and asking
//! again for the same release goes on with it.

mod blue_green;
mod release;
mod rolling;
mod screen;

use crate::cli::{Where, seconds};
use crate::client::{Daemon, ask};
use crate::command::demo::signals::Interrupt;
use crate::data_dir::{DataDir, Problem};
use clap::{Args, Subcommand};
use elastane_wire::cloudwatch;
use screen::Screen;
use std::time::Duration;

/// The shortest pause between two looks, whatever the clock's speed.
const LOOK_MIN: Duration = Duration::from_millis(200);

/// Service time between two looks.
const LOOK_SECS: f64 = 5.0;

/// Which installation, and how to release.
#[derive(Args, Clone, Debug)]
pub struct Deploy {
    /// Which installation.
    #[command(flatten)]
    pub place: Where,
    /// How.
    #[command(subcommand)]
    pub how: How,
}

/// How to release.
#[derive(Subcommand, Clone, Debug)]
pub enum How {
    /// Replace the instances of an Auto Scaling group by instances of a new launch template version, by
    /// an instance refresh: launch before terminate, watched, taken back when it fails.
    ///
    /// The command follows the refresh until it ends and exits 0 only when every instance is replaced.
    /// Interrupted, the refresh goes on; the same command follows it again.
    #[command(after_help = "Example:\n  elastane deploy rolling shop --template-version 2 --alarm shop-errors")]
    Rolling(Rolling),
    /// Move traffic from one target group to another, in steps of weight, while an alarm and the targets'
    /// health are watched; all of it returns when they fail.
    ///
    /// Exits 0 only when the last step held. Interrupted, the weights stay; the same command goes on
    /// from there.
    #[command(after_help = "Example:\n  elastane deploy blue-green --listener ARN --from blue --to green \
                            --steps 10,50,100 --interval 60 --alarm shop-errors")]
    BlueGreen(BlueGreen),
}

/// A release by instance refresh.
#[derive(Args, Clone, Debug)]
pub struct Rolling {
    /// The Auto Scaling group.
    pub group: String,
    /// The version of the group's launch template to release: a number or `latest`.
    #[arg(long, value_name = "VERSION", default_value = "latest")]
    pub template_version: String,
    /// Another launch template than the group's, by name or id.
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// So much of the desired capacity stays in service, in per cent.
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    pub min_healthy: u8,
    /// At most so much of the desired capacity exists, in per cent; 100 and more launches before it
    /// terminates.
    #[arg(long, value_name = "PERCENT", default_value_t = 110)]
    pub max_healthy: u8,
    /// A new instance counts once it was healthy for so long: 90, 60s, 5m or 2h. [default: the group's
    /// DefaultInstanceWarmup, else its HealthCheckGracePeriod]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub warmup: Option<u32>,
    /// Pause when so many per cent are replaced, such as 10,50,100.
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',')]
    pub checkpoints: Vec<u8>,
    /// How long to pause there. [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "checkpoints")]
    pub checkpoint_delay: Option<u32>,
    /// Watch so long after the last instance was replaced, before the release counts as good.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub bake: Option<u32>,
    /// A CloudWatch alarm that ends the release when it fires; may come several times.
    #[arg(long, value_name = "NAME")]
    pub alarm: Vec<String>,
    /// Take the release back when nothing was replaced for so long; on its own the refresh gives up
    /// after an hour.
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "15m")]
    pub patience: u32,
    /// Leave the group as it is when the release fails, some instances new and some old.
    #[arg(long)]
    pub no_rollback: bool,
}

/// A release by weights.
#[derive(Args, Clone, Debug)]
pub struct BlueGreen {
    /// The listener whose default action forwards to both, by its ARN.
    #[arg(long, value_name = "ARN", required_unless_present = "rule", conflicts_with = "rule")]
    pub listener: Option<String>,
    /// A rule instead of a listener's default action.
    #[arg(long, value_name = "ARN")]
    pub rule: Option<String>,
    /// The target group of the version that serves now, by name or ARN.
    #[arg(long, value_name = "TARGET-GROUP")]
    pub from: String,
    /// The target group of the new version, by name or ARN.
    #[arg(long, value_name = "TARGET-GROUP")]
    pub to: String,
    /// Shares of the new version, in per cent, ascending.
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',', default_value = "10,50,100")]
    pub steps: Vec<u8>,
    /// How long each step is watched: 90, 60s, 5m or 2h.
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "60")]
    pub interval: u32,
    /// A CloudWatch alarm that ends the release when it fires; may come several times.
    #[arg(long, value_name = "NAME")]
    pub alarm: Vec<String>,
    /// How long to wait for the new version's targets to become healthy at first.
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "5m")]
    pub healthy_within: u32,
    /// Return to the old version now, in one step.
    #[arg(long)]
    pub abort: bool,
}

/// What every release works with.
struct Stage {
    daemon: Daemon,
    screen: Screen,
    interrupt: Interrupt,
}

impl Stage {
    /// Service time as wall time.
    fn wall(&self, secs: u32) -> Duration {
        Duration::from_secs_f64(f64::from(secs) / self.daemon.about.time_scale.max(1.0))
    }

    /// Waits until the next look; an error once the user interrupts.
    fn look_again(&self) -> Result<(), Problem> {
        let pause = Duration::from_secs_f64(LOOK_SECS / self.daemon.about.time_scale.max(1.0));
        self.interrupt.pause(pause.max(LOOK_MIN))
    }

    /// The first of these alarms that is in ALARM.
    ///
    /// # Errors
    /// One that does not exist.
    fn fired(&self, names: &[String]) -> Result<Option<String>, Problem> {
        if names.is_empty() {
            return Ok(None);
        }
        let request = cloudwatch::DescribeAlarmsInput {
            alarm_names: names.to_vec(),
            alarm_types: vec!["MetricAlarm".to_string(), "CompositeAlarm".to_string()],
            ..Default::default()
        };
        let answer = ask!(self.daemon, CloudWatchDescribeAlarms, request)?;
        let single = answer.metric_alarms.into_iter().map(|alarm| (alarm.alarm_name, alarm.state_value));
        let all = answer.composite_alarms.into_iter().map(|alarm| (alarm.alarm_name, alarm.state_value));
        let states: Vec<(Option<String>, Option<String>)> = single.chain(all).collect();
        for name in names {
            let found = states.iter().find(|(known, _)| known.as_ref() == Some(name));
            let Some((_, state)) = found else {
                let text = format!("there is no alarm {name}: `aws cloudwatch describe-alarms` lists them");
                return Err(Problem::new(text));
            };
            if state.as_deref() == Some("ALARM") {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

/// Does what the command line asks for.
pub fn run(deploy: &Deploy) -> Result<(), Problem> {
    let daemon = Daemon::find(&DataDir::existing(&deploy.place.path()?)?)?;
    let mut stage = Stage { daemon, screen: Screen::new(), interrupt: Interrupt::listen()? };
    match &deploy.how {
        How::Rolling(rolling) => rolling::run(&mut stage, rolling),
        How::BlueGreen(asked) => blue_green::run(&mut stage, asked),
    }
}
