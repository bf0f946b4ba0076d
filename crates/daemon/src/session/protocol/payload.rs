//! The JSON within messages (ssm.md 2 to 5). Members that are not named here
//! are ignored.

use super::Wrong;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The agent's version: the oldest that means multiplexed port forwarding
/// without signs of life, which would keep idle sessions open (ssm.md 4).
pub const AGENT_VERSION: &str = "3.1.1512.0";

/// The action of the handshake that says what the session is.
pub const SESSION_TYPE_ACTION: &str = "SessionType";

/// An action that was carried out.
pub const ACTION_DONE: i64 = 1;

/// An action that the client does not know.
pub const ACTION_UNSUPPORTED: i64 = 3;

/// The client's first message, as text: who it is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Open {
    /// `1.0`.
    #[serde(default)]
    pub message_schema_version: String,
    /// A UUID.
    #[serde(default)]
    pub request_id: String,
    /// The token that StartSession or ResumeSession gave out.
    #[serde(default)]
    pub token_value: String,
    /// A UUID.
    #[serde(default)]
    pub client_id: String,
    /// Four numbers.
    #[serde(default)]
    pub client_version: String,
    /// Whether the end is to name the exit code: our own client's wish, which
    /// no other client has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_exit_code: bool,
}

/// The token is a secret, so it is not shown.
impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("client_version", &self.client_version).finish_non_exhaustive()
    }
}

/// That a message has arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Acknowledge {
    /// The message's type.
    pub acknowledged_message_type: String,
    /// Its id.
    pub acknowledged_message_id: String,
    /// Its number.
    pub acknowledged_message_sequence_number: i64,
    /// Always true.
    pub is_sequential_message: bool,
}

/// A terminal's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What the server asks of the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    /// The agent's version.
    pub agent_version: String,
    /// What the client is to do.
    pub requested_client_actions: Vec<RequestedAction>,
}

/// One thing that the client is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    /// Which.
    pub action_type: String,
    /// With what.
    #[serde(default)]
    pub action_parameters: Value,
}

/// Parameters of the action `SessionType`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionType {
    /// `Standard_Stream`, `InteractiveCommands`, `NonInteractiveCommands` or `Port`.
    pub session_type: String,
    /// What the document makes of its parameters.
    #[serde(default)]
    pub properties: Value,
}

/// What the client made of the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    /// The client's version.
    #[serde(default)]
    pub client_version: String,
    /// Each action's end.
    #[serde(default)]
    pub processed_client_actions: Vec<ProcessedAction>,
    /// What went wrong; `null` from some clients.
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

/// How an action ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    /// Which.
    pub action_type: String,
    /// 1 done, 2 failed, 3 not known.
    #[serde(default)]
    pub action_status: i64,
    /// What came of it.
    #[serde(default)]
    pub action_result: Value,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
}

/// That the session begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// Nanoseconds since the request.
    pub handshake_time_to_complete: u64,
    /// Printed by the client.
    pub customer_message: String,
}

/// That the session is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChannelClosed {
    /// A UUID.
    pub message_id: String,
    /// ISO 8601.
    pub created_date: String,
    /// The instance.
    pub destination_id: String,
    /// The session.
    pub session_id: String,
    /// `channel_closed`.
    pub message_type: String,
    /// 1.
    pub schema_version: i64,
    /// Printed by the client instead of its own words.
    pub output: String,
    /// The exit code of the session's process; for clients that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A word about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// From the client: its connection is closed.
    DisconnectToPort,
    /// From the client: the session is over.
    TerminateSession,
    /// From the server: there is no connection to be had.
    ConnectToPortError,
}

impl Flag {
    /// Its payload.
    pub fn bytes(self) -> Vec<u8> {
        let number: u32 = match self {
            Flag::DisconnectToPort => 1,
            Flag::TerminateSession => 2,
            Flag::ConnectToPortError => 3,
        };
        number.to_be_bytes().to_vec()
    }

    /// The word of a payload.
    ///
    /// # Errors
    /// [`Wrong::Payload`].
    pub fn of(payload: &[u8]) -> Result<Flag, Wrong> {
        match payload {
            [0, 0, 0, 1] => Ok(Flag::DisconnectToPort),
            [0, 0, 0, 2] => Ok(Flag::TerminateSession),
            [0, 0, 0, 3] => Ok(Flag::ConnectToPortError),
            _ => Err(Wrong::Payload),
        }
    }
}

/// The bytes of a payload.
pub fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("payloads are plain data")
}

/// The value of a payload.
///
/// # Errors
/// [`Wrong::Payload`].
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Wrong> {
    serde_json::from_slice(bytes).map_err(|_| Wrong::Payload)
}
