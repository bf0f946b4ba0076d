//! What clients do with Run Command.

use crate::world::World;
use elastane_engine::row::Phase;
use elastane_wire::{Input, ssm};

/// Sends a command to a few instances or to all that have a tag, with limits, or cancels one.
pub fn act(world: &mut World) {
    let scope = World::scope();
    let Some(tables) = world.engine.state().scopes.get(&scope) else { return };
    let running = |phase: &Phase| *phase == Phase::Running;
    let living: Vec<String> =
        tables.instances.values().filter(|row| running(&row.phase)).map(|row| row.id.to_string()).collect();
    let open: Vec<String> =
        tables.commands.values().filter(|row| row.is_open()).map(|row| row.id.to_string()).collect();
    let count = tables.commands.len();
    let rng = &mut world.rng;
    let input = match rng.below(4) {
        0 if !open.is_empty() => {
            let command = open[rng.below(open.len() as u64) as usize].clone();
            Some(cancel(command, Vec::new()))
        }
        _ if living.is_empty() || count > 200 => None,
        choice => {
            let first = rng.below(living.len() as u64) as usize;
            let some: Vec<String> = living.iter().cycle().skip(first).take(1 + first % 4).cloned().collect();
            let mut instance_ids = some;
            instance_ids.sort();
            instance_ids.dedup();
            let targets = vec![ssm::Target {
                key: Some("tag-key".to_string()),
                values: vec!["aws:autoscaling:groupName".to_string()],
            }];
            let by_tag = choice == 3;
            let text = |text: &str| Some(text.to_string());
            Some(Input::SsmSendCommand(Box::new(ssm::SendCommandRequest {
                document_name: text("AWS-RunShellScript"),
                instance_ids: if by_tag { Vec::new() } else { instance_ids },
                targets: if by_tag { targets } else { Vec::new() },
                parameters: [("commands".to_string(), vec!["true".to_string()])].into(),
                max_concurrency: text(["1", "2", "50%", "50"][rng.below(4) as usize]),
                max_errors: text(["0", "1", "50%"][rng.below(3) as usize]),
                timeout_seconds: Some(30 + rng.below(300) as i32),
                ..Default::default()
            })))
        }
    };
    if let Some(input) = input {
        world.submit(scope, input);
    }
}

/// CancelCommand, of the instances named or of all.
pub fn cancel(command: String, instance_ids: Vec<String>) -> Input {
    Input::SsmCancelCommand(Box::new(ssm::CancelCommandRequest { command_id: Some(command), instance_ids }))
}
