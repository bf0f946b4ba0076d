//! Deadlines and interruptions of client connections. No timer per request:
//! each connection keeps its deadline in a cell that a sweep looks at.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Why a connection's wait ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Its deadline passed.
    Timeout,
    /// Its listener closes and it is between two requests.
    Closing,
    /// The target it waits for is cut off.
    Cut,
}

/// What a connection is doing, as far as interruptions care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Between two requests.
    Idle,
    /// Reading a request, or answering without a target.
    Talking,
    /// Waiting for, or passing on from, the target of this id.
    Target(u64),
    /// Carrying many requests, each with a watch of its own: it can always be
    /// told to take no more.
    Multiplexed,
}

/// One connection's deadline and wake-up.
pub(crate) struct Watch {
    /// Milliseconds of the thread's clock.
    deadline: Cell<u64>,
    doing: Cell<Doing>,
    /// The listener's serial number.
    listener: Cell<u64>,
    interrupt: Cell<Option<Interrupt>>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// Sets the deadline anew; a timeout that was not noticed yet is void.
    pub(crate) fn set_deadline(&self, deadline: u64) {
        self.deadline.set(deadline);
        if self.interrupt.get() == Some(Interrupt::Timeout) {
            self.interrupt.set(None);
        }
    }

    /// Makes it the watch of a request of another listener.
    pub(crate) fn set_listener(&self, listener: u64) {
        self.listener.set(listener);
    }

    pub(crate) fn set_doing(&self, doing: Doing) {
        self.doing.set(doing);
        self.interrupt.set(None);
    }

    /// As if the deadline had passed.
    pub(crate) fn end(&self) {
        self.interrupt(Interrupt::Timeout);
    }

    fn interrupt(&self, interrupt: Interrupt) {
        self.interrupt.set(Some(interrupt));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ready when interrupted; else the task is woken when it is.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Interrupt> {
        if let Some(interrupt) = self.interrupt.take() {
            return Poll::Ready(interrupt);
        }
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits for `work`, unless interrupted first.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll(context).map(Err),
        })
        .await
    }
}

/// All watches of one thread.
#[derive(Default)]
pub(crate) struct Watches {
    slots: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
}

impl Watches {
    /// A watch for a connection of this listener, and its place for [`Watches::remove`].
    pub(crate) fn add(&self, listener: u64, deadline: u64) -> (usize, Rc<Watch>) {
        let watch = Rc::new(Watch {
            deadline: Cell::new(deadline),
            doing: Cell::new(Doing::Idle),
            listener: Cell::new(listener),
            interrupt: Cell::new(None),
            waker: RefCell::new(None),
        });
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[slot] = Some(watch.clone());
        (slot, watch)
    }

    pub(crate) fn remove(&self, slot: usize) {
        self.slots.borrow_mut()[slot] = None;
        self.free.borrow_mut().push(slot);
    }

    /// Interrupts all connections whose deadline is not after `now`.
    pub(crate) fn sweep(&self, now: u64) {
        self.interrupt_where(Interrupt::Timeout, |watch| watch.deadline.get() <= now);
    }

    /// Interrupts the idle connections of a listener.
    pub(crate) fn close_idle(&self, listener: u64) {
        self.interrupt_where(Interrupt::Closing, |watch| {
            watch.listener.get() == listener && matches!(watch.doing.get(), Doing::Idle | Doing::Multiplexed)
        });
    }

    /// Tells connections of many requests that their listeners close.
    pub(crate) fn close_multiplexed(&self) {
        self.interrupt_where(Interrupt::Closing, |watch| watch.doing.get() == Doing::Multiplexed);
    }

    /// Interrupts the connections that use one of these targets.
    pub(crate) fn cut(&self, targets: &[u64]) {
        self.interrupt_where(Interrupt::Cut, |watch| match watch.doing.get() {
            Doing::Target(target) => targets.contains(&target),
            Doing::Idle | Doing::Talking | Doing::Multiplexed => false,
        });
    }

    fn interrupt_where(&self, interrupt: Interrupt, chosen: impl Fn(&Watch) -> bool) {
        for watch in self.slots.borrow().iter().flatten() {
            if chosen(watch) {
                watch.interrupt(interrupt);
            }
        }
    }
}
