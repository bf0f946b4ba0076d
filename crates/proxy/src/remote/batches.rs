//! Counters on their way to those who ask for them, so that each request is
//! counted by one of them and by one only. What is told is lent under a number
//! until it is called safe. It is told again to whoever asks again without
//! having called it safe, as it waits for that answer no more, and to the next
//! one when the asker is gone; never to another one meanwhile.

use crate::registry::Counters;

/// Counters that nobody has called safe.
#[derive(Default)]
pub(super) struct Batches {
    numbered: u64,
    readers: u64,
    /// Told to nobody.
    waiting: Counters,
    loans: Vec<Loan>,
}

/// Counters that were told and are not safe yet.
struct Loan {
    batch: u64,
    /// Whom they were told; `None` for last words.
    reader: Option<u64>,
    counters: Counters,
}

impl Batches {
    /// A number for somebody who will ask.
    pub(super) fn reader(&mut self) -> u64 {
        self.readers += 1;
        self.readers
    }

    /// Adds what was counted since, here and by a predecessor.
    pub(super) fn add(&mut self, since: Counters) {
        self.waiting.add_later(since);
    }

    /// Adds the last words of a predecessor.
    pub(super) fn add_last(&mut self, words: Counters) {
        self.waiting.merge(words);
    }

    /// Lends a reader everything that nobody else has, and gives it a number.
    pub(super) fn lend(&mut self, reader: u64) -> (u64, Counters) {
        self.take_back(reader);
        self.lend_waiting(Some(reader))
    }

    /// The counters of a number are safe.
    pub(super) fn safe(&mut self, batch: u64) {
        self.loans.retain(|loan| loan.batch != batch);
    }

    /// What a reader has not called safe waits for another one.
    pub(super) fn take_back(&mut self, reader: u64) {
        let given = |loan: &mut Loan| loan.reader == Some(reader);
        for loan in self.loans.extract_if(.., given) {
            let since = std::mem::replace(&mut self.waiting, loan.counters);
            self.waiting.add_later(since);
        }
    }

    /// Whether all that was told is safe.
    pub(super) fn all_safe(&self) -> bool {
        self.loans.is_empty()
    }

    /// All that is not safe, for the last time: what is still on its way with
    /// the number that it has, so that who gets it twice can see that.
    pub(super) fn last_words(&mut self) -> Vec<(u64, Counters)> {
        self.lend_waiting(None);
        self.loans.iter_mut().for_each(|loan| loan.reader = None);
        self.loans.iter().map(|loan| (loan.batch, loan.counters.clone())).collect()
    }

    fn lend_waiting(&mut self, reader: Option<u64>) -> (u64, Counters) {
        self.numbered += 1;
        let (batch, counters) = (self.numbered, std::mem::take(&mut self.waiting));
        self.loans.push(Loan { batch, reader, counters: counters.clone() });
        (batch, counters)
    }
}

/// Numbers that a reader remembers: what comes twice comes soon.
const REMEMBERED: usize = 8;

/// The numbers of the counters that a reader took last.
#[derive(Default)]
pub(super) struct Taken(std::collections::VecDeque<u64>);

impl Taken {
    /// Whether a number comes for the first time.
    pub(super) fn is_new(&mut self, batch: u64) -> bool {
        if self.0.contains(&batch) {
            return false;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(batch);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Report;
    use crate::registry::BalancerReport;
    use crate::remote::frame::{Receiver, send};
    use crate::remote::link::{Link, LinkEvents};
    use crate::remote::message::{Hello, Order, PROTOCOL, Word};
    use crate::share::Share;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::time::Duration;

    /// So many requests, and so many under way.
    fn counters(requests: u64, in_flight: u64) -> Counters {
        let mut report = Report { in_flight, ..Report::default() };
        report.response_time.count = requests;
        let balancer = BalancerReport { arn: "arn".into(), report, zones: Vec::new() };
        Counters { load_balancers: vec![balancer], ..Counters::default() }
    }

    fn told(counters: &Counters) -> (u64, u64) {
        let reports = || counters.load_balancers.iter().map(|balancer| &balancer.report);
        (reports().map(|report| report.response_time.count).sum(), reports().map(|report| report.in_flight).sum())
    }

    fn batches() -> (Batches, u64, u64) {
        let mut batches = Batches::default();
        let (daemon, successor) = (batches.reader(), batches.reader());
        (batches, daemon, successor)
    }

    /// Who asks again gets again what it did not call safe, with what is under way now.
    #[test]
    fn told_again() {
        let (mut batches, daemon, _) = batches();
        batches.add(counters(5, 2));
        let (first, of_first) = batches.lend(daemon);
        assert_eq!(told(&of_first), (5, 2));
        batches.add(counters(3, 1));
        let (second, of_second) = batches.lend(daemon);
        assert_eq!(told(&of_second), (8, 1));
        batches.safe(first);
        assert!(!batches.all_safe(), "its number is void");
        batches.safe(second);
        assert!(batches.all_safe());
        assert_eq!(told(&batches.lend(daemon).1), (0, 0));
    }

    /// Two who ask at a time never get the same; who goes leaves it to the other.
    #[test]
    fn two_readers() {
        let (mut batches, daemon, successor) = batches();
        batches.add(counters(5, 0));
        let (first, _) = batches.lend(daemon);
        batches.add(counters(3, 0));
        let (_, of_successor) = batches.lend(successor);
        assert_eq!(told(&of_successor), (3, 0));
        batches.safe(first);
        batches.take_back(successor);
        batches.add(counters(1, 4));
        assert_eq!(told(&batches.lend(daemon).1), (4, 4));
    }

    /// Last words hold what an answer on its way holds, under the same number:
    /// it counts once, whichever comes first, also when more is asked meanwhile.
    #[test]
    fn last_words_beside_an_answer() {
        for answer_first in [true, false] {
            let (mut batches, _, successor) = batches();
            batches.add(counters(5, 0));
            let answer = batches.lend(successor);
            batches.add(counters(2, 0));
            let mut words = batches.last_words();
            words.insert(if answer_first { 0 } else { words.len() }, answer);
            words.push(batches.lend(successor));
            let (mut taken, mut sum) = (Taken::default(), 0);
            for (batch, counters) in words {
                sum += if taken.is_new(batch) { told(&counters).0 } else { 0 };
                batches.safe(batch);
            }
            assert_eq!((sum, batches.all_safe()), (7, true), "{answer_first}");
        }
    }

    /// The same over an attachment.
    #[test]
    fn last_words_beside_an_answer_over_a_link() {
        for answer_first in [true, false] {
            let (here, there) = UnixStream::pair().unwrap();
            let (hear, heard) = mpsc::channel();
            let events = LinkEvents {
                fact: Box::new(|_| {}),
                counters: Box::new(move |words| hear.send(told(&words).0).unwrap()),
                ended: Box::new(|_| {}),
            };
            let (version, build) = (String::new(), String::new());
            let hello = Hello { protocol: PROTOCOL, version, build, pid: 1, share: Share::WHOLE };
            let link = Link::over(here.try_clone().unwrap(), Receiver::new(here), hello, events).unwrap();
            let other_side = std::thread::spawn(move || {
                let (mut stream, mut orders) = (there.try_clone().unwrap(), Receiver::new(there));
                let Some((Order::Collect { request }, _)) = orders.next().unwrap() else { panic!() };
                for request in if answer_first { [request, 0] } else { [0, request] } {
                    send(&mut stream, &Word::Counters { request, batch: 7, counters: counters(5, 0) }, &[]).unwrap();
                }
                for _ in 0..2 {
                    let Some((Order::Collected { batch: 7 }, _)) = orders.next().unwrap() else { panic!() };
                }
            });
            let answer = link.collect(Duration::from_secs(60)).unwrap();
            other_side.join().unwrap();
            assert_eq!(told(&answer).0 + heard.try_iter().sum::<u64>(), 5, "{answer_first}");
        }
    }
}
