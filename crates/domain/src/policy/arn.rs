//! The resource of a request, taken apart once for all patterns.

/// Fields of most ARNs; others have colons in their last one.
pub(super) const FIELDS: usize = 6;

/// A resource as it is named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arn<'a> {
    pub(super) text: &'a str,
    /// What is between its colons, when there are just so many.
    pub(super) fields: Option<[&'a str; FIELDS]>,
}

impl<'a> Arn<'a> {
    pub(super) fn read(text: &'a str) -> Arn<'a> {
        let (mut colons, mut count) = ([0; FIELDS - 1], 0);
        // A search that prepares itself costs more than it saves: texts are short.
        for (place, byte) in text.bytes().enumerate() {
            if byte == b':' {
                if count == colons.len() {
                    return Arn { text, fields: None };
                }
                colons[count] = place;
                count += 1;
            }
        }
        if count < colons.len() {
            return Arn { text, fields: None };
        }
        let mut from = 0;
        let fields = std::array::from_fn(|at| {
            let to = colons.get(at).copied().unwrap_or(text.len());
            let field = &text[from..to];
            from = to + 1;
            field
        });
        Arn { text, fields: Some(fields) }
    }
}
