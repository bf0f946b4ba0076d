//! Notifications that wait to be delivered.

use crate::row::row;
use elastane_domain::time::Time;
use serde::{Deserialize, Serialize};

/// A notification or an event on its way to the webhook. The row goes when it
/// was delivered, so that a restart delivers it again rather than never.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The time and a UUID: ids are in the order of their making.
    pub id: String,
    /// When it was made.
    pub created_at: Time,
    /// The topic or queue that it is for; none for an event.
    pub topic: Option<String>,
    /// The JSON text to be posted.
    pub body: String,
}
row!(Notification, |row| row.id.clone());
