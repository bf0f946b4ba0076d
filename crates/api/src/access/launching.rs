//! What a request would launch, for the resources and condition keys of
//! ec2:RunInstances: the call's own words on top of its template's. A request
//! that cannot be read is judged as one that says nothing; its handler
//! refuses it in its own words.

use crate::ec2::launch_data::{self, Said, as_template};
use elastane_engine::View;
use elastane_engine::row::{Instance, LaunchData};
use elastane_wire::{Input, autoscaling, ec2};

/// What would be launched.
#[derive(Debug, Default)]
pub struct Launching {
    /// Everything together; without a template, all but the call's own tags.
    pub data: LaunchData,
    /// What the request says itself, when a template says more.
    own: Option<LaunchData>,
    /// The template's id.
    pub template: Option<String>,
    /// Instance types that groups may choose from besides.
    pub types: Vec<String>,
}

impl Launching {
    /// What the request says itself.
    pub fn own(&self) -> &LaunchData {
        self.own.as_ref().unwrap_or(&self.data)
    }

    /// What a request would launch: nothing known for one that launches nothing.
    pub fn read(view: &View<'_>, input: &Input) -> Launching {
        match input {
            Input::Ec2RunInstances(input) => {
                let Some(it) = &input.launch_template else {
                    return with_template(view, Said::untagged(input), None);
                };
                let named = (&it.launch_template_id, &it.launch_template_name, &it.version);
                with_template(view, Said::by_call(input).unwrap_or_default(), Some(named))
            }
            Input::Ec2RequestSpotInstances(input) => spot(view, input.launch_specification.as_ref()),
            Input::AutoScalingCreateAutoScalingGroup(input) => match &input.instance_id {
                Some(id) => like(view, id, None),
                None => group(view, input.launch_template.as_ref(), input.mixed_instances_policy.as_ref()),
            },
            Input::AutoScalingStartInstanceRefresh(input) => match &input.desired_configuration {
                Some(desired) => group(view, desired.launch_template.as_ref(), desired.mixed_instances_policy.as_ref()),
                None => Launching::default(),
            },
            Input::AutoScalingUpdateAutoScalingGroup(input) => {
                group(view, input.launch_template.as_ref(), input.mixed_instances_policy.as_ref())
            }
            Input::Ec2AssociateIamInstanceProfile(input) => profile(input.iam_instance_profile.as_ref()),
            Input::Ec2ReplaceIamInstanceProfileAssociation(input) => profile(input.iam_instance_profile.as_ref()),
            Input::AutoScalingCreateLaunchConfiguration(input) => {
                let named = input.iam_instance_profile.clone().filter(|name| !name.is_empty());
                like(view, input.instance_id.as_deref().unwrap_or_default(), named)
            }
            _ => Launching::default(),
        }
    }
}

/// How a request names a template: id, name, version.
type Named<'a> = (&'a Option<String>, &'a Option<String>, &'a Option<String>);

fn with_template(view: &View<'_>, said: Said, named: Option<Named<'_>>) -> Launching {
    let found = named.and_then(|(id, name, version)| {
        launch_data::find_template(view, id.as_deref(), name.as_deref(), version.as_deref()).ok()
    });
    let (data, own, template) = match found {
        None => (said.read().unwrap_or_default(), None, None),
        Some((template, version)) => {
            let own = said.clone().read().unwrap_or_default();
            let data = said.over(&launch_data::said(&version.data)).read();
            (data.unwrap_or_default(), Some(own), Some(template.id.to_string()))
        }
    };
    let mut launching = Launching { data, own, template, types: Vec::new() };
    if let Some(name) = &launching.data.image_parameter {
        launching.data.image = launch_data::image_of_parameter(view, name);
    }
    launching
}

fn spot(view: &View<'_>, specification: Option<&ec2::RequestSpotLaunchSpecification>) -> Launching {
    let Some(specification) = specification else { return Launching::default() };
    let said = Said {
        data: as_template(&ec2::REQUEST_SPOT_LAUNCH_SPECIFICATION, specification),
        subnet: specification.subnet_id.clone(),
        private_ip: None,
    };
    with_template(view, said, None)
}

fn group(
    view: &View<'_>,
    template: Option<&autoscaling::LaunchTemplateSpecification>,
    mixed: Option<&autoscaling::MixedInstancesPolicy>,
) -> Launching {
    let mixed = mixed.and_then(|mixed| mixed.launch_template.as_ref());
    let template = template.or_else(|| mixed?.launch_template_specification.as_ref());
    let named = template.map(|it| (&it.launch_template_id, &it.launch_template_name, &it.version));
    let mut launching = with_template(view, Said::default(), named);
    let types = mixed.into_iter().flat_map(|mixed| &mixed.overrides).filter_map(|one| one.instance_type.clone());
    launching.types.extend(types);
    launching
}

/// What is launched like an instance has its profile, unless another is named.
fn like(view: &View<'_>, instance: &str, named: Option<String>) -> Launching {
    let association = view.get::<Instance>(instance).and_then(|row| row.profile.as_ref());
    let profile = named.or_else(|| association.map(|association| association.profile.clone()));
    Launching { data: LaunchData { profile, ..LaunchData::default() }, ..Launching::default() }
}

fn profile(named: Option<&ec2::IamInstanceProfileSpecification>) -> Launching {
    let profile = named.and_then(|named| named.arn.clone().or_else(|| named.name.clone()));
    Launching { data: LaunchData { profile, ..LaunchData::default() }, ..Launching::default() }
}
