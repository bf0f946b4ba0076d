//! `elastane image list` and `elastane image rm`.

use super::{Choice, Remove, aliases, images};
use crate::client::ask;
use crate::command::status::table;
use crate::data_dir::Problem;
use elastane_wire::ec2;

/// Prints the images of a region, newest last.
pub fn list(choice: &Choice) -> Result<(), Problem> {
    let daemon = choice.daemon()?;
    let mut found = images(&daemon)?;
    found.sort_by(|a, b| a.creation_date.cmp(&b.creation_date));
    let rows = found.iter().map(|image| {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let device = image.block_device_mappings.first().and_then(|device| device.ebs.as_ref());
        let size = device.and_then(|ebs| ebs.volume_size).map_or(String::new(), |gib| format!("{gib} GiB"));
        let owner = image.image_owner_alias.clone().map_or("self".to_string(), |_| "built in".to_string());
        vec![
            text(&image.image_id),
            text(&image.name),
            text(&image.state),
            owner,
            size,
            text(&image.creation_date),
            aliases(image).join(" "),
        ]
    });
    let mut out = String::new();
    table(&mut out, &["IMAGE", "NAME", "STATE", "OWNER", "SIZE", "MADE", "ALIASES"], rows.collect());
    print!("{}", out.trim_start_matches('\n'));
    Ok(())
}

/// Deregisters images and deletes their snapshots.
pub fn remove(remove: &Remove) -> Result<(), Problem> {
    let daemon = remove.choice.daemon()?;
    let found = images(&daemon)?;
    for word in &remove.images {
        let is = |image: &&ec2::Image| image.image_id.as_ref() == Some(word) || image.name.as_ref() == Some(word);
        let image = found.iter().find(is).and_then(|image| image.image_id.clone()).ok_or_else(|| {
            Problem::new(format!("no image is called {word}: `elastane image list` shows those that are"))
        })?;
        let request = ec2::DeregisterImageRequest {
            image_id: Some(image.clone()),
            delete_associated_snapshots: Some(true),
            ..Default::default()
        };
        ask!(daemon, Ec2DeregisterImage, request)?;
        println!("Removed {image}.");
    }
    Ok(())
}
