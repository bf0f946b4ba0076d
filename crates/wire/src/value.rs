//! Values behind schemas: how a codec reads and fills generated structs
//! without knowing them.
//!
//! A codec walks a [`crate::schema::Shape`] and, in step with it, a [`View`]
//! to write or a [`Place`] to fill. Dispatch is by virtual call, so machine
//! code grows as shapes plus codecs, not shapes times codecs.

use std::collections::BTreeMap;

/// A point in time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Timestamp(millis)
    }
}

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

/// A value to be written.
pub enum View<'a> {
    /// Not set.
    Absent,
    /// Text.
    String(&'a str),
    /// Boolean.
    Boolean(bool),
    /// 32-bit integer.
    Integer(i32),
    /// 64-bit integer.
    Long(i64),
    /// Single precision.
    Float(f32),
    /// Double precision.
    Double(f64),
    /// Bytes.
    Blob(&'a [u8]),
    /// Point in time.
    Timestamp(Timestamp),
    /// Structure.
    Record(&'a dyn Record),
    /// List, maybe empty.
    List(&'a dyn List),
    /// Map, maybe empty.
    Map(&'a dyn Map),
}

/// Room for a value that is being read. Making a place for an optional member
/// sets it to its default.
pub enum Place<'a> {
    /// Text.
    String(&'a mut String),
    /// Boolean.
    Boolean(&'a mut bool),
    /// 32-bit integer.
    Integer(&'a mut i32),
    /// 64-bit integer.
    Long(&'a mut i64),
    /// Single precision.
    Float(&'a mut f32),
    /// Double precision.
    Double(&'a mut f64),
    /// Bytes.
    Blob(&'a mut Vec<u8>),
    /// Point in time.
    Timestamp(&'a mut Timestamp),
    /// Structure.
    Record(&'a mut dyn Record),
    /// List.
    List(&'a mut dyn List),
    /// Map.
    Map(&'a mut dyn Map),
}

/// Anything a member can hold.
pub trait Value {
    /// Looks at the value.
    fn view(&self) -> View<'_>;
    /// Makes room to fill it.
    fn place(&mut self) -> Place<'_>;
}

/// A structure; members are numbered as in its [`crate::schema::Struct`].
pub trait Record {
    /// The member at `index`.
    ///
    /// # Panics
    /// When `index` is not one of the schema's.
    fn field(&self, index: usize) -> &dyn Value;
    /// The member at `index`, to be filled. Panics as `field` does.
    fn field_mut(&mut self, index: usize) -> &mut dyn Value;
}

/// A list.
pub trait List {
    /// Number of entries.
    fn count(&self) -> usize;
    /// The entry at `index`, which must be below `count`.
    fn entry(&self, index: usize) -> View<'_>;
    /// Adds an entry to be filled.
    fn add(&mut self) -> Place<'_>;
}

/// A map with text keys, visited in the order of the keys.
pub trait Map {
    /// Number of entries.
    fn count(&self) -> usize;
    /// Visits all entries.
    fn each(&self, visit: &mut dyn FnMut(&str, View<'_>));
    /// Adds or replaces an entry to be filled.
    fn add(&mut self, key: String) -> Place<'_>;
}

macro_rules! scalars {
    ($($rust:ty => $variant:ident;)*) => {$(
        impl Value for $rust {
            fn view(&self) -> View<'_> {
                View::$variant(*self)
            }
            fn place(&mut self) -> Place<'_> {
                Place::$variant(self)
            }
        }
    )*};
}

scalars! {
    bool => Boolean;
    i32 => Integer;
    i64 => Long;
    f32 => Float;
    f64 => Double;
    Timestamp => Timestamp;
}

impl Value for String {
    fn view(&self) -> View<'_> {
        View::String(self)
    }
    fn place(&mut self) -> Place<'_> {
        Place::String(self)
    }
}

impl Value for Vec<u8> {
    fn view(&self) -> View<'_> {
        View::Blob(self)
    }
    fn place(&mut self) -> Place<'_> {
        Place::Blob(self)
    }
}

impl<T: Value + Default> Value for Option<T> {
    fn view(&self) -> View<'_> {
        self.as_ref().map_or(View::Absent, Value::view)
    }
    fn place(&mut self) -> Place<'_> {
        self.get_or_insert_default().place()
    }
}

impl<T: Value> Value for Box<T> {
    fn view(&self) -> View<'_> {
        (**self).view()
    }
    fn place(&mut self) -> Place<'_> {
        (**self).place()
    }
}

impl<T: Value + Default> Value for Vec<T> {
    fn view(&self) -> View<'_> {
        View::List(self)
    }
    fn place(&mut self) -> Place<'_> {
        Place::List(self)
    }
}

impl<T: Value + Default> List for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }
    fn entry(&self, index: usize) -> View<'_> {
        self[index].view()
    }
    fn add(&mut self) -> Place<'_> {
        self.push_mut_default().place()
    }
}

impl<T: Value + Default> Value for BTreeMap<String, T> {
    fn view(&self) -> View<'_> {
        View::Map(self)
    }
    fn place(&mut self) -> Place<'_> {
        Place::Map(self)
    }
}

impl<T: Value + Default> Map for BTreeMap<String, T> {
    fn count(&self) -> usize {
        self.len()
    }
    fn each(&self, visit: &mut dyn FnMut(&str, View<'_>)) {
        for (key, value) in self {
            visit(key, value.view());
        }
    }
    fn add(&mut self, key: String) -> Place<'_> {
        self.entry(key).insert_entry(T::default()).into_mut().place()
    }
}

trait PushDefault<T> {
    fn push_mut_default(&mut self) -> &mut T;
}

impl<T: Default> PushDefault<T> for Vec<T> {
    fn push_mut_default(&mut self) -> &mut T {
        self.push(T::default());
        self.last_mut().expect("an entry was just pushed")
    }
}
