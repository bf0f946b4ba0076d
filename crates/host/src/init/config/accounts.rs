//! The files of users and groups: passwd, shadow, group and gshadow, changed
//! as text without the image's own programs, which differ between
//! distributions. Shadow files are changed where the image has them.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// First ids of people and of services that are made here; the last of
/// services is below the first of people (Debian's and Red Hat's login.defs).
const PERSON_IDS: std::ops::Range<u32> = 1_000..60_000;
const SYSTEM_IDS: std::ops::Range<u32> = 500..1_000;
/// Longest name: what utmp and useradd allow.
const NAME_BYTES_MAX: usize = 32;

/// A user as passwd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub id: u32,
    /// Id of the primary group.
    pub group: u32,
    /// Home directory.
    pub home: String,
}

/// A user to be made.
#[derive(Clone, Debug, Default)]
pub struct NewUser<'a> {
    /// Login name.
    pub name: &'a str,
    /// Wanted id.
    pub id: Option<u32>,
    /// Whether it is a service's.
    pub system: bool,
    /// Full name.
    pub gecos: &'a str,
    /// Home directory.
    pub home: &'a str,
    /// Login shell.
    pub shell: &'a str,
    /// Primary group; without one a group of the user's name is made.
    pub primary_group: Option<&'a str>,
}

/// The four files, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: Vec<String>,
    shadow: Option<Vec<String>>,
    group: Vec<String>,
    gshadow: Option<Vec<String>>,
}

/// Whether it can be the name of a user or a group.
pub fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-$".contains(c));
    first && rest && name.len() <= NAME_BYTES_MAX
}

/// Whether it can be a field of passwd.
fn is_field(text: &str) -> bool {
    !text.contains([':', '\n', '\r', '\0'])
}

fn field(line: &str, at: usize) -> &str {
    line.split(':').nth(at).unwrap_or("")
}

fn find<'a>(lines: &'a [String], name: &str) -> Option<&'a String> {
    lines.iter().find(|line| field(line, 0) == name)
}

impl Accounts {
    /// Reads the files in `etc`.
    pub fn load(etc: &Path) -> io::Result<Accounts> {
        let lines =
            |name: &str| fs::read_to_string(etc.join(name)).map(|text| text.lines().map(str::to_owned).collect());
        let optional = |name: &str| match lines(name) {
            Ok(lines) => Ok(Some(lines)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err),
        };
        Ok(Accounts {
            passwd: lines("passwd")?,
            shadow: optional("shadow")?,
            group: lines("group")?,
            gshadow: optional("gshadow")?,
        })
    }

    /// Reads names and ids only, which everybody may.
    pub fn names(etc: &Path) -> io::Result<Accounts> {
        let lines =
            |name: &str| fs::read_to_string(etc.join(name)).map(|text| text.lines().map(str::to_owned).collect());
        Ok(Accounts { passwd: lines("passwd")?, shadow: None, group: lines("group")?, gshadow: None })
    }

    /// Replaces the files in `etc`, each at once, with the owner and mode that it had.
    pub fn save(&self, etc: &Path) -> io::Result<()> {
        let files = [
            ("group", Some(&self.group)),
            ("gshadow", self.gshadow.as_ref()),
            ("passwd", Some(&self.passwd)),
            ("shadow", self.shadow.as_ref()),
        ];
        for (name, lines) in files {
            let Some(lines) = lines else { continue };
            let (path, temporary) = (etc.join(name), etc.join(format!("{name}.elastane")));
            let metadata = fs::metadata(&path)?;
            fs::write(&temporary, lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
            fs::set_permissions(&temporary, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
            // In an instance of one user the owner cannot be another.
            let _ = std::os::unix::fs::chown(&temporary, Some(metadata.uid()), Some(metadata.gid()));
            fs::rename(&temporary, &path)?;
        }
        Ok(())
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<User> {
        let line = find(&self.passwd, name)?;
        let number = |at| field(line, at).parse().ok();
        Some(User { id: number(2)?, group: number(3)?, home: field(line, 5).to_owned() })
    }

    /// The id of the group of this name.
    pub fn group(&self, name: &str) -> Option<u32> {
        field(find(&self.group, name)?, 2).parse().ok()
    }

    fn free(&self, lines: &[String], system: bool) -> Option<u32> {
        let is_free = |id: &u32| !lines.iter().any(|line| field(line, 2).parse() == Ok(*id));
        match system {
            true => SYSTEM_IDS.rev().find(is_free),
            false => PERSON_IDS.clone().find(is_free),
        }
    }

    /// The group of this name, made if need be.
    pub fn add_group(&mut self, name: &str, wanted: Option<u32>, system: bool) -> Result<u32, String> {
        if let Some(id) = self.group(name) {
            return Ok(id);
        }
        if !is_name(name) {
            return Err(format!("{name:?} cannot be the name of a group"));
        }
        let wanted = wanted.filter(|id| !self.group.iter().any(|line| field(line, 2).parse() == Ok(*id)));
        let id = wanted.or_else(|| self.free(&self.group, system)).ok_or("no group id is free")?;
        self.group.push(format!("{name}:x:{id}:"));
        self.gshadow.iter_mut().for_each(|lines| lines.push(format!("{name}:!::")));
        Ok(id)
    }

    /// Makes a user, locked, with its primary group.
    pub fn add_user(&mut self, new: &NewUser<'_>) -> Result<User, String> {
        let name = new.name;
        if !is_name(name) {
            return Err(format!("{name:?} cannot be the name of a user"));
        }
        if let Some(bad) = [new.gecos, new.home, new.shell].into_iter().find(|text| !is_field(text)) {
            return Err(format!("{bad:?} cannot stand in /etc/passwd"));
        }
        if let Some(id) = new.id.filter(|id| self.passwd.iter().any(|line| field(line, 2).parse() == Ok(*id))) {
            return Err(format!("the user id {id} is taken"));
        }
        let id = new.id.or_else(|| self.free(&self.passwd, new.system)).ok_or("no user id is free")?;
        let group = match new.primary_group {
            Some(group) => self.add_group(group, None, new.system)?,
            None => self.add_group(name, Some(id), new.system)?,
        };
        let (gecos, home, shell) = (new.gecos, new.home, new.shell);
        self.passwd.push(format!("{name}:x:{id}:{group}:{gecos}:{home}:{shell}"));
        self.shadow.iter_mut().for_each(|lines| lines.push(format!("{name}:!:19000:0:99999:7:::")));
        Ok(User { id, group, home: home.to_owned() })
    }

    /// Makes a user a member of a group that exists.
    pub fn add_member(&mut self, group: &str, user: &str) {
        for lines in [Some(&mut self.group), self.gshadow.as_mut()].into_iter().flatten() {
            let Some(line) = lines.iter_mut().find(|line| field(line, 0) == group) else { continue };
            let members = field(line, 3);
            if members.split(',').any(|member| member == user) {
                continue;
            }
            let comma = if members.is_empty() { "" } else { "," };
            line.push_str(&format!("{comma}{user}"));
        }
    }

    /// Sets the password's hash; `!` before it locks the password.
    pub fn set_password(&mut self, user: &str, hash: &str) -> Result<(), String> {
        if !is_field(hash) {
            return Err(format!("the password hash of {user} has characters that cannot stand in /etc/shadow"));
        }
        let lines = match &mut self.shadow {
            Some(lines) => lines,
            None => &mut self.passwd,
        };
        let line = lines.iter_mut().find(|line| field(line, 0) == user).ok_or_else(|| format!("no user {user}"))?;
        let mut fields: Vec<&str> = line.split(':').collect();
        if let Some(place) = fields.get_mut(1) {
            *place = hash;
        }
        *line = fields.join(":");
        Ok(())
    }

    /// Whether the next login asks for a new password.
    pub fn is_expired(&self, user: &str) -> bool {
        self.shadow.as_ref().and_then(|lines| find(lines, user)).is_some_and(|line| field(line, 2) == "0")
    }

    /// Makes the next login ask for a new password.
    pub fn expire(&mut self, user: &str) {
        if let Some(line) = self.shadow.iter_mut().flatten().find(|line| field(line, 0) == user) {
            let mut fields: Vec<&str> = line.split(':').collect();
            if let Some(place) = fields.get_mut(2) {
                *place = "0";
            }
            *line = fields.join(":");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        Accounts {
            passwd: lines("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh"),
            shadow: Some(lines("root:*:19000:0:99999:7:::\nann:!:19000:0:99999:7:::")),
            group: lines("root:x:0:\nann:x:1000:\nsudo:x:27:ann"),
            gshadow: Some(lines("root:*::\nann:!::\nsudo:*::ann")),
        }
    }

    /// Users, groups, members and passwords end up in their files.
    #[test]
    fn changes() {
        let mut accounts = accounts();
        let new = NewUser { name: "bob", gecos: "Bob B", home: "/home/bob", shell: "/bin/bash", ..NewUser::default() };
        assert_eq!(accounts.add_user(&new), Ok(User { id: 1001, group: 1001, home: "/home/bob".to_owned() }));
        accounts.add_member("sudo", "bob");
        accounts.add_member("sudo", "bob");
        accounts.set_password("bob", "$6$x$y").unwrap();
        accounts.expire("bob");
        assert_eq!(accounts.add_group("ops", Some(27), true), Ok(999));
        let service = NewUser { name: "svc", system: true, primary_group: Some("ops"), ..new };
        assert_eq!(accounts.add_user(&service).map(|user| (user.id, user.group)), Ok((999, 999)));
        assert_eq!(accounts.passwd[2], "bob:x:1001:1001:Bob B:/home/bob:/bin/bash");
        assert_eq!(accounts.shadow.as_ref().unwrap()[2], "bob:$6$x$y:0:0:99999:7:::");
        assert_eq!(accounts.group[2..], ["sudo:x:27:ann,bob", "bob:x:1001:", "ops:x:999:"]);
        assert_eq!(accounts.gshadow.as_ref().unwrap()[2..], ["sudo:*::ann,bob", "bob:!::", "ops:!::"]);
        assert!(accounts.is_expired("bob") && !accounts.is_expired("ann"));
    }

    /// What would break the files or an owner is refused.
    #[test]
    fn refusals() {
        let mut accounts = accounts();
        let before = accounts.clone();
        let plain = NewUser { name: "eve", home: "/h", shell: "/bin/sh", ..NewUser::default() };
        for (new, want) in [
            (NewUser { name: "a:b", ..plain.clone() }, "cannot be the name"),
            (NewUser { name: "-x", ..plain.clone() }, "cannot be the name"),
            (NewUser { gecos: "a\nroot2:x:0:0", ..plain.clone() }, "cannot stand"),
            (NewUser { home: "/a:b", ..plain.clone() }, "cannot stand"),
            (NewUser { id: Some(1000), ..plain.clone() }, "is taken"),
        ] {
            let err = accounts.add_user(&new).unwrap_err();
            assert!(err.contains(want), "{err}");
        }
        assert!(accounts.set_password("ann", "x:y").is_err());
        assert_eq!(accounts, before);
    }
}
