//! The steps of command documents: `aws:runShellScript`, and nothing else.

use super::super::{PLUGIN, errors};
use super::fields::Fields;
use super::parameters::{Arguments, Parameter, next_reference, plain};
use elastane_domain::machine::{CommandStep, OnFailure};
use elastane_wire::ApiError;
use serde_json::Value;

/// Steps of a document: the output of each is kept.
const STEPS_MAX: usize = 20;

/// All scripts of a command together, in bytes: a row that holds them stays small.
const SCRIPTS_BYTES_MAX: usize = 64 * 1024;

/// Seconds that a script may run when nothing is said, or something out of
/// range (ssm.md 7).
const EXECUTION_TIMEOUT: u32 = 3600;

/// Longest execution timeout that is in range.
const EXECUTION_TIMEOUT_MAX: u32 = 172_800;

/// A step as the document has it, with references.
#[derive(Clone, Debug)]
pub struct Step {
    name: String,
    script: Value,
    directory: Value,
    timeout: Value,
    on_failure: OnFailure,
    exits_on_success: bool,
    runs_anyway: bool,
    /// Pairs that must be equal.
    precondition: Option<(Value, Value)>,
}

/// Reads `mainSteps` of schema 2.2.
pub fn of_main_steps(fields: &mut Fields<'_>) -> Result<Vec<Step>, ApiError> {
    let list = fields.list("mainSteps")?;
    if list.is_empty() || list.len() > STEPS_MAX {
        return Err(errors::invalid_content(format!("mainSteps must be a list of 1 to {STEPS_MAX} steps.")));
    }
    let mut steps: Vec<Step> = Vec::new();
    for value in list {
        let mut fields = Fields::of("a step", value)?;
        let action = fields.needed_text("action")?;
        if action != PLUGIN {
            return Err(errors::invalid_content(format!("The action {action} is not supported.")));
        }
        let name = fields.needed_text("name")?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.:".contains(&b);
        let fits = !name.is_empty() && name.len() <= 128 && name.bytes().all(allowed);
        if !fits || steps.iter().any(|step| step.name == name) {
            return Err(errors::invalid_content(format!("'{name}' cannot be the name of a step, or is one twice.")));
        }
        let precondition = fields.take("precondition").map(precondition).transpose()?;
        let inputs = fields.take("inputs").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        fields.end()?;
        steps.push(Step { precondition, ..of_inputs(name, inputs)? });
    }
    let last = steps.len() - 1;
    if steps[..last].iter().any(|step| step.runs_anyway) {
        return Err(errors::invalid_content("Only the last step can be the finallyStep."));
    }
    Ok(steps)
}

/// Reads `runtimeConfig` of schema 1.2.
pub fn of_runtime_config(fields: &mut Fields<'_>) -> Result<Vec<Step>, ApiError> {
    let config = fields.take("runtimeConfig").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let mut config = Fields::of("runtimeConfig", config)?;
    let plugin = config.take(PLUGIN);
    config.end()?;
    let plugin = plugin.ok_or_else(|| errors::invalid_content(format!("runtimeConfig needs {PLUGIN}.")))?;
    let mut plugin = Fields::of(PLUGIN, plugin)?;
    let properties = plugin.take("properties");
    plugin.end()?;
    let properties = match properties {
        Some(Value::Array(list)) => <[Value; 1]>::try_from(list).ok().map(|[one]| one),
        properties => properties,
    };
    let properties =
        properties.ok_or_else(|| errors::invalid_content(format!("{PLUGIN} needs one set of properties.")))?;
    Ok(vec![of_inputs(PLUGIN.to_string(), properties)?])
}

fn of_inputs(name: String, inputs: Value) -> Result<Step, ApiError> {
    let mut inputs = Fields::of("inputs", inputs)?;
    // Tells the sets of properties of schema 1.2 apart.
    inputs.text("id")?;
    let needed = || errors::invalid_content(format!("The step {name} needs runCommand."));
    let script = inputs.take("runCommand").ok_or_else(needed)?;
    let lines = match &script {
        Value::String(text) => is_reference(text),
        Value::Array(lines) => !lines.is_empty() && lines.iter().all(Value::is_string),
        _ => false,
    };
    if !lines {
        let text = format!("runCommand of the step {name} must be a list of strings, or a reference to one.");
        return Err(errors::invalid_content(text));
    }
    let mut simple = |member: &str| match inputs.take(member) {
        None => Ok(Value::Null),
        Some(value @ (Value::String(_) | Value::Number(_))) => Ok(value),
        Some(_) => Err(errors::invalid_content(format!("{member} of the step {name} must be a string."))),
    };
    let (directory, timeout) = (simple("workingDirectory")?, simple("timeoutSeconds")?);
    let on_failure = match inputs.text("onFailure")?.as_deref() {
        None => OnFailure::Continue,
        Some("exit") => OnFailure::Exit,
        Some("successAndExit") => OnFailure::ExitAsSuccess,
        Some(_) => return Err(errors::invalid_content("onFailure must be exit or successAndExit.")),
    };
    let exits_on_success = match inputs.text("onSuccess")?.as_deref() {
        None => false,
        Some("exit") => true,
        Some(_) => return Err(errors::invalid_content("onSuccess must be exit.")),
    };
    let runs_anyway = inputs.flag("finallyStep")?;
    inputs.end()?;
    Ok(Step { name, script, directory, timeout, on_failure, exits_on_success, runs_anyway, precondition: None })
}

fn precondition(value: Value) -> Result<(Value, Value), ApiError> {
    let mut fields = Fields::of("precondition", value)?;
    let operands = fields.list("StringEquals")?;
    fields.end()?;
    match <[Value; 2]>::try_from(operands) {
        Ok([left @ Value::String(_), right @ Value::String(_)]) => Ok((left, right)),
        _ => Err(errors::invalid_content("StringEquals of a precondition must be a list of two strings.")),
    }
}

fn is_reference(text: &str) -> bool {
    next_reference(text).is_some_and(|(before, _, after)| before.is_empty() && after.is_empty())
}

/// Refuses references to parameters that the document does not have.
///
/// # Errors
/// `InvalidDocumentContent`.
pub fn check_references(steps: &[Step], parameters: &[Parameter]) -> Result<(), ApiError> {
    for step in steps {
        let (left, right) = step.precondition.clone().unwrap_or_default();
        for value in [&step.script, &step.directory, &step.timeout, &left, &right] {
            check_value(value, parameters)?;
        }
    }
    Ok(())
}

fn check_value(value: &Value, parameters: &[Parameter]) -> Result<(), ApiError> {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, name, after)) = next_reference(rest) {
                if parameters.iter().all(|known| known.name != name) {
                    let text = format!("The document refers to {name}, which is none of its parameters.");
                    return Err(errors::invalid_content(text));
                }
                rest = after;
            }
            Ok(())
        }
        Value::Array(list) => list.iter().try_for_each(|one| check_value(one, parameters)),
        _ => Ok(()),
    }
}

/// What is to be run: the steps with their arguments.
///
/// # Errors
/// `InvalidParameters` when the scripts become too long, or cannot be run.
pub fn compile(steps: &[Step], arguments: &Arguments) -> Result<Vec<CommandStep>, ApiError> {
    let compiled: Vec<CommandStep> = steps.iter().map(|step| compile_one(step, arguments)).collect();
    if compiled.iter().map(|step| step.script.len()).sum::<usize>() > SCRIPTS_BYTES_MAX {
        let text = format!("The commands must have at most {SCRIPTS_BYTES_MAX} bytes");
        return Err(errors::invalid_parameters(text));
    }
    if compiled.iter().any(|step| step.script.contains('\0') || step.directory.contains('\0')) {
        return Err(errors::invalid_parameters("The commands must be text"));
    }
    Ok(compiled)
}

fn compile_one(step: &Step, arguments: &Arguments) -> CommandStep {
    let mut lines = Vec::new();
    add_lines(&arguments.replace(&step.script), &mut lines);
    let text = |value: &Value| match arguments.replace(value) {
        Value::Null => String::new(),
        value => plain(&value),
    };
    let in_range = |secs: &u32| (1..=EXECUTION_TIMEOUT_MAX).contains(secs);
    let operand = |value: &Value| match text(value).as_str() {
        "platformType" => "Linux".to_string(),
        other => other.to_string(),
    };
    let holds = |(left, right): &(Value, Value)| operand(left) == operand(right);
    CommandStep {
        name: step.name.clone(),
        script: lines.join("\n"),
        directory: text(&step.directory),
        timeout_secs: text(&step.timeout).trim().parse().ok().filter(in_range).unwrap_or(EXECUTION_TIMEOUT),
        on_failure: step.on_failure,
        exits_on_success: step.exits_on_success,
        runs_anyway: step.runs_anyway,
        skipped: step.precondition.as_ref().is_some_and(|pair| !holds(pair)),
    }
}

/// The lines of a script; lists within the list are part of it.
fn add_lines(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| add_lines(one, lines)),
        value => lines.push(plain(value)),
    }
}
