//! A bounded pool of threads for blocking work. Jobs with one key run one
//! after the other in the order given; jobs with different keys run beside
//! each other. Threads start when there is work.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};

/// Work at a time: launches wait for the kernel more than for a processor.
const THREADS_MAX: usize = 8;
/// Jobs that may wait; beyond it new ones are refused.
const WAITING_MAX: usize = 20_000;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    /// Waiting jobs by key. A key with an entry is ready or being worked on.
    queues: HashMap<String, VecDeque<Job>>,
    ready: VecDeque<String>,
    waiting: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The pool. `close` it, or its threads live on.
#[derive(Clone, Default)]
pub struct Jobs {
    shared: Arc<Shared>,
}

impl Jobs {
    /// Queues a job. False when the pool is closed or full, or no thread can
    /// be started: the job is dropped then.
    pub fn submit(&self, key: &str, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.shared.state.lock().expect("no job runs under this lock");
        if state.closed || state.waiting >= WAITING_MAX {
            return false;
        }
        if state.idle == 0 && state.threads < THREADS_MAX {
            let shared = self.shared.clone();
            let started = std::thread::Builder::new()
                .name("host-job".to_owned())
                .stack_size(512 << 10)
                .spawn(move || work(&shared));
            match started {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => return false,
                Err(_) => {}
            }
        }
        state.waiting += 1;
        match state.queues.get_mut(key) {
            Some(queue) => queue.push_back(Box::new(job)),
            None => {
                state.queues.insert(key.to_owned(), VecDeque::from([Box::new(job) as Job]));
                state.ready.push_back(key.to_owned());
            }
        }
        self.shared.changed.notify_one();
        true
    }

    /// Drops what waits, refuses more, and waits for what runs.
    pub fn close(&self) {
        let mut state = self.shared.state.lock().expect("no job runs under this lock");
        state.closed = true;
        state.ready.clear();
        let dropped = std::mem::take(&mut state.queues);
        self.shared.changed.notify_all();
        while state.threads > 0 {
            state = self.shared.changed.wait(state).expect("no job runs under this lock");
        }
        drop(state);
        drop(dropped);
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state.lock().expect("no job runs under this lock");
    while !state.closed {
        let Some(key) = state.ready.pop_front() else {
            state.idle += 1;
            state = shared.changed.wait(state).expect("no job runs under this lock");
            state.idle -= 1;
            continue;
        };
        let Some(job) = state.queues.get_mut(&key).and_then(VecDeque::pop_front) else { continue };
        state.waiting -= 1;
        drop(state);
        // A panic is a bug of one job; the pool and the other instances go on.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        state = shared.state.lock().expect("no job runs under this lock");
        match state.queues.get(&key) {
            Some(queue) if queue.is_empty() => drop(state.queues.remove(&key)),
            Some(_) => state.ready.push_back(key),
            None => {}
        }
    }
    state.threads -= 1;
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Jobs of one key keep their order, whatever other keys do.
    #[test]
    fn one_key_is_one_queue() {
        let jobs = Jobs::default();
        let (sender, receiver) = mpsc::channel();
        for number in 0..200 {
            let sender = sender.clone();
            let key = format!("key-{}", number % 5);
            assert!(jobs.submit(&key.clone(), move || sender.send((key, number)).unwrap()));
        }
        drop(sender);
        let mut last: HashMap<String, i32> = HashMap::new();
        for _ in 0..200 {
            let (key, number) = receiver.recv().unwrap();
            assert!(last.insert(key, number).is_none_or(|before| before < number));
        }
        jobs.close();
        assert!(!jobs.submit("key", || {}));
    }
}
