//! Rows as bytes: versions, and states that are the same after a restart.

use super::*;
use crate::state::Tables;
use crate::store::{RowError, decode, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind in its third form: the first had `name`, the second `title`, this has `titles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Book {
    titles: Vec<String>,
}

impl Row for Book {
    const KIND: Kind = Kind::Vpc;
    const VERSION: u32 = 3;

    fn id(&self) -> String {
        self.titles.concat()
    }

    fn upgrade(from: u32, mut row: Value) -> Option<Value> {
        match from {
            1 => Some(serde_json::json!({"title": row["name"].take()})),
            2 => Some(serde_json::json!({"titles": [row["title"].take()]})),
            _ => None,
        }
    }

    fn table(_: &Tables) -> &BTreeMap<String, Arc<Book>> {
        unreachable!("books are decoded only")
    }

    fn table_mut(_: &mut Tables) -> &mut BTreeMap<String, Arc<Book>> {
        unreachable!("books are decoded only")
    }

    fn any(_: Arc<Book>) -> AnyRow {
        unreachable!("books are decoded only")
    }
}

/// Rows of each older version become ones of this version; a newer version, one that never was, and nonsense are refused.
#[test]
fn versions_are_upgraded_or_refused() {
    let expected = Book { titles: vec!["Dune".to_string()] };
    for stored in [
        r#"{"v": 1, "row": {"name": "Dune"}}"#,
        r#"{"v": 2, "row": {"title": "Dune"}}"#,
        r#"{"v": 3, "row": {"titles": ["Dune"]}}"#,
    ] {
        assert_eq!(*decode::<Book>("k", stored.as_bytes()).expect(stored), expected, "{stored}");
    }
    let refused = |stored: &str| decode::<Book>("k", stored.as_bytes()).expect_err(stored);
    assert!(matches!(refused(r#"{"v": 4, "row": {}}"#), RowError::Newer { version: 4, .. }));
    assert!(matches!(refused(r#"{"v": 0, "row": {"name": "Dune"}}"#), RowError::Version { version: 0, .. }));
    assert!(matches!(refused(r#"{"v": 3, "row": {"title": "Dune"}}"#), RowError::Value { .. }));
    assert!(matches!(refused("not JSON"), RowError::Value { .. }));
}

/// A key whose kind is unknown, or that has too few parts, is refused.
#[test]
fn unknown_kinds_are_refused() {
    for key in ["000000000000/us-east-1/wizard/merlin", "000000000000/us-east-1/vpc", ""] {
        assert!(matches!(read(key, b"{}"), Err(RowError::Key(_))), "{key}");
    }
}

/// After a restart everything is as it was: the store holds all of it.
#[test]
fn a_restart_finds_everything() {
    let mut rig = Rig::new();
    rig.target_group();
    rig.group("a/b", (0, 9), 3, |group| group.target_groups.push(TargetGroupArn::from(TARGET_GROUP)));
    rig.pass(Span::ZERO);
    rig.tx(|tx| tx.update("a/b", |group: &mut Group| group.desired = 1));
    rig.pass(Span::from_secs(60));
    let rows = rig.stored.iter().map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
    let reopened = Engine::open(Config::default(), 8, rows).expect("what was written can be read");
    assert_eq!(reopened.state().scopes, rig.engine.state().scopes);
}
