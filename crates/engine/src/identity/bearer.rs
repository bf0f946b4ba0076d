//! What policies hang on, behind one view.

use crate::row::{Permissions, Role, Row, User, UserGroup};

/// What policies can be attached to: users, groups of them and roles.
pub trait Bearer: Row {
    /// What AWS calls it in texts: `user`, `group`, `role`.
    const NOUN: &'static str;
    /// Its name.
    fn name(&self) -> &str;
    /// Its unique id.
    fn unique_id(&self) -> &str;
    /// Its path.
    fn path(&self) -> &str;
    /// Its policies.
    fn permissions(&self) -> &Permissions;
    /// Its policies, to change them.
    fn permissions_mut(&mut self) -> &mut Permissions;
}

macro_rules! bearer {
    ($row:ty, $noun:literal) => {
        impl Bearer for $row {
            const NOUN: &'static str = $noun;
            fn name(&self) -> &str {
                &self.name
            }
            fn unique_id(&self) -> &str {
                &self.id
            }
            fn path(&self) -> &str {
                &self.path
            }
            fn permissions(&self) -> &Permissions {
                &self.permissions
            }
            fn permissions_mut(&mut self) -> &mut Permissions {
                &mut self.permissions
            }
        }
    };
}

bearer!(User, "user");
bearer!(UserGroup, "group");
bearer!(Role, "role");
