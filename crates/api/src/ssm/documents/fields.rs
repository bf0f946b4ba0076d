//! Members of objects in a document's content: each is taken once, and what
//! is left over is an error, so that nothing a document says is dropped.

use super::super::errors;
use elastane_wire::ApiError;
use serde_json::{Map, Value};

/// The members of an object that have not been taken.
pub struct Fields<'a> {
    place: &'a str,
    left: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The members of a value; `place` names it in errors.
    ///
    /// # Errors
    /// `InvalidDocumentContent` when it is no object.
    pub fn of(place: &'a str, value: Value) -> Result<Fields<'a>, ApiError> {
        match value {
            Value::Object(left) => Ok(Fields { place, left }),
            _ => Err(errors::invalid_content(format!("{place} must be an object."))),
        }
    }

    /// Takes a member; `None` when it is not there, or null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// Takes a text that must be there.
    pub fn needed_text(&mut self, name: &str) -> Result<String, ApiError> {
        let text = self.text(name)?;
        text.ok_or_else(|| errors::invalid_content(format!("{} needs the element {name}.", self.place)))
    }

    /// Takes a whole number that is not negative, also written as a text.
    pub fn number(&mut self, name: &str) -> Result<Option<usize>, ApiError> {
        let number = match self.take(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.wrong(name, "a whole number"))
    }

    /// Takes a truth, also written as a text; false when it is not there.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// Takes a list; empty when it is not there.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>, ApiError> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    /// All that are left, with their names.
    pub fn rest(self) -> Map<String, Value> {
        self.left
    }

    /// Refuses what has not been taken.
    ///
    /// # Errors
    /// `InvalidDocumentContent`.
    pub fn end(self) -> Result<(), ApiError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => {
                let text = format!("{} has the element {name}, which is not supported.", self.place);
                Err(errors::invalid_content(text))
            }
        }
    }

    fn wrong(&self, name: &str, wanted: &str) -> ApiError {
        errors::invalid_content(format!("The element {name} of {} must be {wanted}.", self.place))
    }
}
