//! Policy documents: reading and checking them.

/// A parsed policy document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {}

/// Which grammar a document must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// Of an identity, a boundary or a session: no Principal.
    Identity,
    /// Of a role's trust: Principal, no Resource.
    Trust,
    /// Of a resource: Principal and Resource.
    Resource,
}

/// Why a document is refused; the text is AWS's where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Malformed`] says what breaks the grammar.
    pub fn parse(_text: &str, _grammar: Grammar) -> Result<Document, Malformed> {
        Err(Malformed("not built yet".to_string()))
    }
}
