//! Finding a target for a request, trying another one when nothing was
//! lost, and answering for targets that do not (alb.md 3.2 and 9).

use crate::choose::{Ask, GroupLocal};
use crate::connection::{Connection, speaks};
use crate::http::body::Body;
use crate::local::TargetLocal;
use crate::prepare::Prepared;
use crate::relay::{End, Relay};
use crate::route::ForwardAction;
use crate::upstream::{ConnectError, open};
use crate::watch::{Doing, Interrupt};
use std::future::poll_fn;
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

/// Where a request goes, apart from the target.
pub(crate) struct Way<'a> {
    pub(crate) action: &'a ForwardAction,
    pub(crate) group: &'a Rc<GroupLocal>,
}

/// What to do after one attempt.
enum After {
    /// The client's connection may serve another request, or not.
    Answered(bool),
    /// The load balancer answers with this status.
    Page(u16),
    /// The client is gone without an answer; the status is for the books.
    Gone(u16),
    /// The connection could not be made; nothing was sent.
    Unreachable,
    /// A reused connection was closed before it saw the request.
    Stale,
}

impl Connection {
    /// Forwards a request to a target of one of the groups; `true` if another
    /// request may follow.
    pub(crate) async fn forward(&mut self, prepared: &mut Prepared, action: &ForwardAction) -> bool {
        let Some(group) = self.choose_group(prepared, action) else {
            return Box::pin(self.answer_page(503, true, prepared)).await;
        };
        if !speaks(self.protocol, group.version(), &prepared.head) {
            return Box::pin(self.answer_page(464, true, prepared)).await;
        }
        let way = Way { action, group };
        let mut again: Option<Rc<TargetLocal>> = None;
        let mut avoid = None;
        let mut status = 502;
        for attempt in 0..ATTEMPTS_MAX {
            let fresh = again.is_some();
            let target = match again.take() {
                Some(target) => target,
                None => match self.choose_target(prepared, group, avoid, attempt == 0) {
                    Some(target) if avoid != Some(target.state.id) => target,
                    Some(_) => break,
                    None => {
                        status = 503;
                        break;
                    }
                },
            };
            match self.attempt(prepared, &way, &target, fresh).await {
                After::Answered(keep) => {
                    self.thread.give_back(std::mem::take(&mut prepared.head));
                    prepared.exchange.finish();
                    return keep;
                }
                After::Page(page) => {
                    status = page;
                    break;
                }
                After::Gone(status) => {
                    prepared.exchange.own_answer(self.thread.index, &self.node, status);
                    prepared.exchange.finish();
                    return false;
                }
                After::Unreachable if avoid.is_none() => avoid = Some(target.state.id),
                After::Unreachable => break,
                After::Stale => again = Some(target).filter(|target| target.may_pool()),
            }
        }
        Box::pin(self.answer_page(status, true, prepared)).await
    }

    /// The group that the client's cookie names, else one by weight.
    fn choose_group<'a>(&self, prepared: &Prepared, action: &'a ForwardAction) -> Option<&'a Rc<GroupLocal>> {
        if let (Some(sticky), Some(secs)) = (&prepared.sticky, action.stickiness_secs) {
            let (jar, now) = (&self.thread.jar, self.thread.service_now());
            let named = sticky.group(jar, &prepared.route.balancer_arn, secs, &action.groups, now);
            if let Some(index) = named {
                return action.groups.get(index);
            }
        }
        // With one group there is nothing to draw.
        let draw = if action.groups.len() > 1 { self.thread.random.borrow_mut().draw() >> 11 } else { 0 };
        action.choose(draw)
    }

    fn choose_target(
        &self,
        prepared: &mut Prepared,
        group: &Rc<GroupLocal>,
        avoid: Option<u64>,
        first: bool,
    ) -> Option<Rc<TargetLocal>> {
        let now = self.thread.service_now();
        let sticky = prepared.sticky.as_ref();
        let ask = Ask {
            zone: self.node.state.zone_id,
            now,
            draw: self.thread.random.borrow_mut().draw(),
            avoid,
            sticky: sticky.and_then(|it| it.target(&self.thread.jar, &prepared.route.balancer_arn, group, now)),
        };
        let choice = group.choose(&ask)?;
        if avoid != Some(choice.target.state.id) {
            prepared.exchange.chosen(self.thread.index, &self.node, group, &choice, first);
        }
        Some(choice.target)
    }

    async fn attempt(&mut self, prepared: &mut Prepared, way: &Way<'_>, target: &TargetLocal, fresh: bool) -> After {
        let thread = self.thread.clone();
        let _flight = Flight::new(target, thread.index);
        self.watch.set_doing(Doing::Target(target.state.id));
        let idle = if fresh { None } else { target.pool.take() };
        let connected = match idle {
            Some(stream) => Ok((stream, true)),
            None => Box::pin(open(&thread, target, &self.watch, fresh)).await,
        };
        let (stream, reused) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                prepared.exchange.connect_failed(thread.index, &self.node, target, error.is_tls());
                return match error {
                    ConnectError::Failed | ConnectError::Interrupted(Interrupt::Cut) => After::Unreachable,
                    ConnectError::Interrupted(Interrupt::Timeout)
                    | ConnectError::HandshakeInterrupted(Interrupt::Timeout) => After::Page(504),
                    ConnectError::Interrupted(Interrupt::Closing)
                    | ConnectError::HandshakeInterrupted(_)
                    | ConnectError::Handshake => After::Page(502),
                };
            }
        };
        let may_repeat = reused && prepared.info.is_idempotent && prepared.info.body == Body::Empty;
        let mut relay = Relay::new(self, prepared, way, target, stream);
        let end = poll_fn(|context| relay.poll(context)).await;
        match relay.finish(end) {
            End::Complete { keep_client } => {
                // The target answered before the client had sent everything.
                if !keep_client && !prepared.body.is_done() {
                    Box::pin(self.linger()).await;
                }
                After::Answered(keep_client)
            }
            End::NoAnswer { silent: true } if may_repeat => After::Stale,
            // Nothing happened with it, so any method may go again while its body is all there.
            End::Refused if prepared.body == prepared.info.body => After::Stale,
            End::NoAnswer { .. } | End::Refused | End::BadAnswer | End::Cut => After::Page(502),
            End::Late => After::Page(504),
            End::BadBody | End::ShortBody => After::Page(400),
            End::ClientGone => After::Gone(460),
            End::Broken => After::Answered(false),
        }
    }
}
