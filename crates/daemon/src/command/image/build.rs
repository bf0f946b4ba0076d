//! `elastane image build`: an instance of the base runs the script, is
//! captured, and is ended, whatever happens. All of it goes through the AWS
//! API; only how the script ended is asked of the daemon's status.

use super::{Build, Line, name_of, named, recipe};
use crate::client::{Daemon, ask};
use crate::clock::wall_ms;
use crate::command::demo::signals::Interrupt;
use crate::data_dir::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use elastane_api::ec2::ALIAS_TAG;
use elastane_domain::machine::Initialization;
use elastane_domain::time::Time;
use elastane_wire::ec2;
use std::time::{Duration, Instant};

/// Between two looks at something that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Booting and capturing may take so long on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(300);

/// Lines of the console that are shown of a script that failed.
const CONSOLE_LINES: usize = 60;

/// Builds an image and prints its id.
pub fn run(build: &Build) -> Result<(), Problem> {
    let text = std::fs::read_to_string(&build.file)
        .map_err(|err| Problem::because(format!("cannot read {}", build.file.display()), err))?;
    let recipe = recipe::parse(&text).map_err(|problem| Problem::because(build.file.display().to_string(), problem))?;
    let daemon = build.choice.daemon()?;
    let interrupt = Interrupt::listen()?;
    let base = named(&daemon, &recipe.from)?;
    let name = build.name.clone().or(recipe.name.clone()).unwrap_or_else(|| {
        let stem = build.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let time = Time(wall_ms()).iso_seconds().replace(['-', ':'], "");
        name_of(&format!("{stem}-{time}"))
    });
    let mut aliases = recipe.aliases.clone();
    aliases.extend(build.alias.iter().cloned());
    check_free(&daemon, &name)?;
    let base_id = base.image_id.ok_or_else(|| Problem::new("the base has no id"))?;
    eprintln!("Building {name} on {base_id} ({})", base.name.unwrap_or_default());
    let instance = launch(&daemon, &base_id, &recipe, &name)?;
    eprintln!("  {instance} runs the script");
    let site = Site { daemon: &daemon, interrupt: &interrupt, instance: &instance };
    let made = site
        .wait_for_script(Duration::from_secs(build.timeout))
        .and_then(|()| site.capture(&name, &recipe.description, &aliases));
    let ended = ask!(
        daemon,
        Ec2TerminateInstances,
        ec2::TerminateInstancesRequest { instance_ids: vec![instance.clone()], ..Default::default() }
    );
    let image = made?;
    ended?;
    eprintln!("Built {name}:");
    println!("{image}");
    Ok(())
}

/// Before any work: the name is not taken.
fn check_free(daemon: &Daemon, name: &str) -> Result<(), Problem> {
    let filters = vec![ec2::Filter { name: Some("name".to_string()), values: vec![name.to_string()] }];
    let owners = vec!["self".to_string()];
    let found = ask!(daemon, Ec2DescribeImages, ec2::DescribeImagesRequest { filters, owners, ..Default::default() })?;
    match found.images.first().and_then(|image| image.image_id.as_deref()) {
        None => Ok(()),
        Some(id) => Err(Problem::new(format!(
            "the name {name} is taken by {id}: name another with --name, or remove it with `elastane image rm {name}`"
        ))),
    }
}

fn launch(daemon: &Daemon, base: &str, recipe: &recipe::Recipe, name: &str) -> Result<String, Problem> {
    let tag = ec2::Tag { key: Some("Name".to_string()), value: Some(format!("build of {name}")) };
    let request = ec2::RunInstancesRequest {
        image_id: Some(base.to_string()),
        instance_type: Some(recipe.instance_type.clone()),
        min_count: Some(1),
        max_count: Some(1),
        user_data: Some(STANDARD.encode(&recipe.script)),
        tag_specifications: vec![ec2::TagSpecification {
            resource_type: Some("instance".to_string()),
            tags: vec![tag],
        }],
        ..Default::default()
    };
    let run = ask!(daemon, Ec2RunInstances, request)?;
    let id = run.instances.into_iter().next().and_then(|instance| instance.instance_id);
    id.ok_or_else(|| Problem::new("the answer has no instance"))
}

/// The instance that an image is built on.
struct Site<'a> {
    daemon: &'a Daemon,
    interrupt: &'a Interrupt,
    instance: &'a str,
}

impl Site<'_> {
    /// Looks until there is something; `what` is what it waits for.
    fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Problem>,
    ) -> Result<T, Problem> {
        let start = Instant::now();
        let mut line = Line::new();
        loop {
            self.interrupt.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if start.elapsed() > limit {
                return Err(Problem::new(format!(
                    "waited {} s in vain for {what}; its console ends with\n{}",
                    limit.as_secs(),
                    self.console()
                )));
            }
            line.show(&format!("waiting for {what}: {} s", start.elapsed().as_secs()));
            self.interrupt.pause(LOOK_INTERVAL)?;
        }
    }

    fn wait_for_script(&self, limit: Duration) -> Result<(), Problem> {
        self.wait("the script", limit, || {
            let status = self.daemon.status()?;
            let found = status.instances.into_iter().find(|instance| instance.id == self.instance);
            let Some(found) = found else {
                return Err(Problem::new(format!("the instance ended: {}", self.why()?)));
            };
            match (found.state.as_str(), found.initialization) {
                ("running", Initialization::Done) => Ok(Some(())),
                ("running", Initialization::Failed(why)) => {
                    Err(Problem::new(format!("the script failed: {why}; the console ends with\n{}", self.console())))
                }
                ("pending", _) | ("running", Initialization::UnderWay) => Ok(None),
                (state, _) => Err(Problem::new(format!("the instance is {state}: {}", self.why()?))),
            }
        })
    }

    /// The service's reason for the instance's state.
    fn why(&self) -> Result<String, Problem> {
        let ids = vec![self.instance.to_string()];
        let request = ec2::DescribeInstancesRequest { instance_ids: ids, ..Default::default() };
        let found = ask!(self.daemon, Ec2DescribeInstances, request)?;
        let mut instances = found.reservations.into_iter().flat_map(|reservation| reservation.instances);
        let reason = instances.next().and_then(|instance| instance.state_reason).and_then(|reason| reason.message);
        Ok(reason.unwrap_or_else(|| "nobody says why".to_string()))
    }

    /// The end of the console.
    fn console(&self) -> String {
        let id = Some(self.instance.to_string());
        let request = ec2::GetConsoleOutputRequest { instance_id: id, latest: Some(true), ..Default::default() };
        let output = ask!(self.daemon, Ec2GetConsoleOutput, request).ok().and_then(|answer| answer.output);
        let bytes = output.and_then(|output| STANDARD.decode(output).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
    }

    fn capture(&self, name: &str, description: &str, aliases: &[String]) -> Result<String, Problem> {
        let tag = |value: String| ec2::TagSpecification {
            resource_type: Some("image".to_string()),
            tags: vec![ec2::Tag { key: Some(ALIAS_TAG.to_string()), value: Some(value) }],
        };
        let request = ec2::CreateImageRequest {
            instance_id: Some(self.instance.to_string()),
            name: Some(name.to_string()),
            description: Some(description.to_string()).filter(|text| !text.is_empty()),
            tag_specifications: (!aliases.is_empty()).then(|| tag(aliases.join(" "))).into_iter().collect(),
            ..Default::default()
        };
        let image = ask!(self.daemon, Ec2CreateImage, request)?.image_id.unwrap_or_default();
        let request = ec2::DescribeImagesRequest { image_ids: vec![image.clone()], ..Default::default() };
        self.wait("the image", STEP_LIMIT, || {
            let found = ask!(self.daemon, Ec2DescribeImages, request.clone())?.images.into_iter().next();
            let reason = found.as_ref().and_then(|image| image.state_reason.clone()).and_then(|reason| reason.message);
            match found.as_ref().and_then(|image| image.state.as_deref()) {
                Some("available") => Ok(Some(())),
                Some("pending") => Ok(None),
                state => Err(Problem::new(format!(
                    "the image is {}: {}",
                    state.unwrap_or("gone"),
                    reason.unwrap_or_else(|| "nobody says why".to_string())
                ))),
            }
        })?;
        Ok(image)
    }
}
