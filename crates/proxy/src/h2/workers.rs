//! Tasks that serve the requests of HTTP/2 clients, one after the other. A
//! task with its watch costs as much to make as a small request costs to
//! serve, so they are kept for the next request, whichever connection it is of.

use super::client::ClientStream;
use super::server::{Client, Ticket};
use crate::connection::Connection;
use crate::http::headers::ClientProtocol;
use crate::metrics::Count;
use crate::stream::Stream;
use crate::thread::Thread;
use crate::watch::{Doing, Watch};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Tasks of a thread that wait for requests: two connections' worth of
/// streams; more of them end when they have nothing to do.
const IDLE_MAX: usize = 256;

/// A request to be served.
pub(super) struct Job {
    pub(super) client: Rc<Client>,
    pub(super) stream: Box<ClientStream>,
    pub(super) ticket: Ticket,
}

/// Where an idle worker gets its next request.
#[derive(Default)]
struct Seat {
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
}

/// The idle workers of a thread, the one that worked last at the end.
#[derive(Default)]
pub(crate) struct Workers {
    idle: RefCell<Vec<Rc<Seat>>>,
    /// Memory for the heads of requests; empty.
    texts: RefCell<Vec<Vec<u8>>>,
}

impl Workers {
    /// Has a request served by an idle worker, or by a new one.
    pub(super) fn serve(&self, job: Job) {
        let Some(seat) = self.idle.borrow_mut().pop() else {
            return spawn(job);
        };
        seat.job.set(Some(job));
        if let Some(waker) = seat.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Memory for the head of a request; empty.
    pub(super) fn text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes that memory back.
    fn keep_text(&self, text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() < IDLE_MAX {
            texts.push(text);
        }
    }

    /// Whether there is room for another idle worker; then this one is idle.
    fn rest(&self, seat: &Rc<Seat>) -> bool {
        let mut idle = self.idle.borrow_mut();
        let has_room = idle.len() < IDLE_MAX;
        if has_room {
            idle.push(seat.clone());
        }
        has_room
    }
}

/// A watch with its place, given back when dropped.
pub(super) struct Watched {
    thread: Rc<Thread>,
    slot: usize,
    pub(super) watch: Rc<Watch>,
}

impl Watched {
    pub(super) fn new(client: &Client) -> Watched {
        let thread = client.thread.clone();
        let deadline = thread.deadline_in(client.route().idle_ms);
        let (slot, watch) = thread.watches.add(client.listener.serial, deadline);
        Watched { thread, slot, watch }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.thread.watches.remove(self.slot);
    }
}

fn spawn(first: Job) {
    let watched = Watched::new(&first.client);
    let seat = Rc::new(Seat::default());
    seat.job.set(Some(first));
    tokio::task::spawn_local(async move {
        loop {
            let job = next_job(&seat).await;
            carry_out(job, &watched.watch).await;
            // Nothing interrupts a worker that waits for work.
            watched.watch.set_doing(Doing::Idle);
            watched.watch.set_deadline(u64::MAX);
            if !watched.thread.workers.rest(&seat) {
                return;
            }
        }
    });
}

async fn next_job(seat: &Seat) -> Job {
    poll_fn(|context| {
        if let Some(job) = seat.job.take() {
            return Poll::Ready(job);
        }
        let mut waker = seat.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    })
    .await
}

/// Serves one request as a connection of its own.
async fn carry_out(job: Job, watch: &Rc<Watch>) {
    let Job { client, stream, ticket } = job;
    let protocol = stream.protocol();
    if protocol == ClientProtocol::Grpc {
        client.node.state.ledger.add(client.thread.index, Count::GrpcRequests, 1);
    }
    watch.set_listener(client.listener.serial);
    let Client { thread, listener, node, peer } = &*client;
    let mut connection = Connection::new(
        thread.clone(),
        listener.clone(),
        node.clone(),
        watch.clone(),
        Stream::Http2(stream),
        peer.clone(),
        protocol,
    );
    connection.serve_one().await;
    if let Stream::Http2(stream) = &mut connection.client {
        ticket.ended(stream.is_answered());
        thread.workers.keep_text(stream.take_buffer());
    }
}
