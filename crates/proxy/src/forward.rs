//! Finding a target for a request, trying another one when nothing was
//! lost, and answering for targets that do not (alb.md 3.2 and 9).

use crate::connection::{Connection, Prepared};
use crate::http::body::Body;
use crate::local::{Choice, GroupLocal, TargetLocal};
use crate::metrics::Count;
use crate::relay::{End, Relay};
use crate::upstream::{CONNECT_TIMEOUT_MS, ConnectError, checkout};
use crate::watch::{Doing, Interrupt};
use std::rc::Rc;

/// One try, one on a fresh connection, one at another target.
const ATTEMPTS_MAX: usize = 3;

/// A request in flight at a target, as counted.
struct Flight<'a> {
    target: &'a TargetLocal,
    thread: usize,
}

impl<'a> Flight<'a> {
    fn new(target: &'a TargetLocal, thread: usize) -> Flight<'a> {
        target.state.ledger.enter(thread);
        Flight { target, thread }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.target.state.ledger.leave(self.thread);
    }
}

/// What to do after one attempt.
enum After {
    /// The client's connection may serve another request, or not.
    Answered(bool),
    /// The load balancer answers with this status.
    Page(u16),
    /// The client is gone without an answer.
    Gone,
    /// The connection could not be made; nothing was sent.
    Unreachable,
    /// A reused connection was closed before it saw the request.
    Stale,
}

impl Connection {
    /// Forwards a request to a target of the group; `true` if another request may follow.
    pub(crate) async fn forward(&mut self, mut prepared: Prepared, group: &Rc<GroupLocal>) -> bool {
        let thread = self.thread.index;
        let balancer = prepared.route.balancer.clone();
        let mut again: Option<Rc<TargetLocal>> = None;
        let mut avoid = None;
        let mut status = 502;
        for attempt in 0..ATTEMPTS_MAX {
            let fresh = again.is_some();
            let target = match again.take() {
                Some(target) => target,
                None => match group.choose(avoid) {
                    Some(choice) if avoid != Some(choice.target.state.id) => {
                        self.count_choice(&prepared, group, &choice, attempt == 0);
                        choice.target
                    }
                    Some(_) => break,
                    None => {
                        status = 503;
                        break;
                    }
                },
            };
            match self.attempt(&mut prepared, &target, fresh).await {
                After::Answered(keep) => {
                    self.thread.give_back(prepared.head);
                    return keep;
                }
                After::Page(page) => {
                    status = page;
                    break;
                }
                After::Gone => {
                    balancer.ledger.add_own_status(thread, 460);
                    return false;
                }
                After::Unreachable if avoid.is_none() => avoid = Some(target.state.id),
                After::Unreachable => break,
                After::Stale => again = Some(target).filter(|target| target.may_pool()),
            }
        }
        self.answer_page(status, true, Some(&prepared)).await
    }

    fn count_choice(&self, prepared: &Prepared, group: &GroupLocal, choice: &Choice, first: bool) {
        let thread = self.thread.index;
        choice.target.state.ledger.add(thread, Count::Requests, 1);
        if first {
            for ledger in [&prepared.route.balancer.ledger, &group.state.ledger] {
                ledger.add(thread, Count::Requests, 1);
            }
            if choice.fail_open {
                group.state.ledger.add(thread, Count::UnhealthyRouting, 1);
            }
        }
    }

    async fn attempt(&mut self, prepared: &mut Prepared, target: &TargetLocal, fresh: bool) -> After {
        let thread = self.thread.clone();
        let _flight = Flight::new(target, thread.index);
        self.watch.set_doing(Doing::Target(target.state.id));
        self.watch.set_deadline(thread.deadline_in(CONNECT_TIMEOUT_MS));
        let watch = self.watch.clone();
        let (stream, reused) = match checkout(&*thread.connector, target, &watch, fresh).await {
            Ok(connected) => connected,
            Err(error) => {
                let state = &target.state;
                for ledger in [&prepared.route.balancer.ledger, &state.group.ledger, &state.ledger] {
                    ledger.add(thread.index, Count::TargetConnectionErrors, 1);
                }
                return match error {
                    ConnectError::Failed | ConnectError::Interrupted(Interrupt::Cut) => After::Unreachable,
                    ConnectError::Interrupted(Interrupt::Timeout) => After::Page(504),
                    ConnectError::Interrupted(Interrupt::Closing) => After::Page(502),
                };
            }
        };
        let may_repeat = reused && prepared.info.is_idempotent && prepared.info.body == Body::Empty;
        match Relay::new(self, prepared, target, stream).run().await {
            End::Complete { keep_client } => {
                // The target answered before the client had sent everything.
                if !keep_client && !prepared.body.is_done() {
                    self.linger().await;
                }
                After::Answered(keep_client)
            }
            End::NoAnswer { silent: true } if may_repeat => After::Stale,
            End::NoAnswer { .. } | End::BadAnswer | End::Cut => After::Page(502),
            End::Late => After::Page(504),
            End::BadBody => After::Page(400),
            End::ClientGone => After::Gone,
            End::Broken => After::Answered(false),
        }
    }
}
