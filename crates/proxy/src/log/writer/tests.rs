//! Files on a real disk, with a clock that the test moves.

use super::*;
use flate2::read::GzDecoder;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// 2018-07-02T22:23:00Z
const START: i64 = 1_530_570_180_000;

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("elastane-logs-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// All files below it, as paths relative to it.
    fn files(&self) -> Vec<String> {
        let (mut folders, mut files) = (vec![self.0.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.path().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.push(entry.path().strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned()),
                }
            }
        }
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(kind: LogKind, prefix: &str) -> Arc<LogFile> {
    let arn = "arn:aws:elasticloadbalancing:us-east-2:123456789012:loadbalancer/app/my-lb/50dc6c495c0c9188";
    let balancer = LoadBalancer::application(arn.into(), [127, 0, 0, 1].into(), Vec::new());
    let place = LogPlace { bucket: "my-logs".to_owned(), prefix: prefix.to_owned() };
    Arc::new(LogFile::new(kind, &balancer, &place, [10, 0, 0, 9].into()))
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// Lines are in a plain file at once, and packed under AWS's key when its time is over.
#[test]
fn alb_10_files_and_keys() {
    let folder = Folder::new();
    let clock = Arc::new(TestClock(AtomicI64::new(START)));
    let mut writer = Writer::new(folder.0.clone(), clock.clone());
    let log = file(LogKind::Access, "some/prefix");
    for text in ["one\n", "two\n"] {
        writer.write(&Batch { file: log.clone(), bytes: text.into() }).unwrap();
    }
    let files = folder.files();
    let [current] = &files[..] else { panic!("{files:?}") };
    let key = "my-logs/some/prefix/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2018/07/02/\
        123456789012_elasticloadbalancing_us-east-2_app.my-lb.50dc6c495c0c9188_20180702T2225Z_10.0.0.9_";
    let random = current.strip_prefix(key).expect(current).strip_suffix(".log").expect(current);
    assert!(random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{random}");
    let path = folder.0.join(current);
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    writer.pack_until(Time(START + 119_999));
    assert_eq!(folder.files(), files, "its time is not over");
    writer.pack_until(Time(START + 120_000));
    let packed = format!("{current}.gz");
    assert_eq!(folder.files(), std::slice::from_ref(&packed));
    let path = folder.0.join(packed);
    assert_eq!(unpacked(&path), "one\ntwo\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Connection logs have names of their own; a folder cannot be left by a name.
#[test]
fn alb_10_names_stay_inside() {
    let folder = Folder::new();
    let clock = Arc::new(TestClock(AtomicI64::new(START)));
    let mut writer = Writer::new(folder.0.clone(), clock);
    writer.write(&Batch { file: file(LogKind::Connection, "../.././x//"), bytes: b"c\n".to_vec() }).unwrap();
    let files = folder.files();
    assert!(files[0].starts_with("my-logs/_/_/_/x/AWSLogs/"), "{files:?}");
    assert!(files[0].contains("/conn_log.123456789012_elasticloadbalancing_us-east-2_app.my-lb."), "{files:?}");
}

/// What waits is written when the senders are gone, and what a crash left is packed.
#[test]
fn alb_10_nothing_is_left_behind() {
    let folder = Folder::new();
    let clock = Arc::new(TestClock(AtomicI64::new(START)));
    let log = file(LogKind::Access, "");
    let mut crashed = Writer::new(folder.0.clone(), clock.clone());
    crashed.write(&Batch { file: log.clone(), bytes: b"before\n".to_vec() }).unwrap();
    drop(crashed);
    clock.0.fetch_add(3_600_000, Ordering::SeqCst);
    let (sender, inbox) = sync_channel(1);
    sender.send(Batch { file: log, bytes: b"after\n".to_vec() }).unwrap();
    drop(sender);
    Writer::new(folder.0.clone(), clock).run(&inbox).unwrap();
    let texts: Vec<String> = folder.files().iter().map(|file| unpacked(&folder.0.join(file))).collect();
    assert_eq!(texts, ["before\n", "after\n"]);
}
