//! The queues' threads: started, put on the processors that submit to them, and their ends reported.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use libublk::ctrl::UblkCtrl;
use libublk::io::UblkDev;
use wandisk_io::{Disk, Lane};

use crate::error::UblkError;
use crate::queue::{self, Plan};
use crate::server::Message;
use crate::sys::Mapping;
use crate::wake::Wakeups;

/// One for each queue of a device.
pub(crate) fn wakeups(dev: &UblkDev) -> Result<Vec<Arc<Wakeups>>, UblkError> {
    let make =
        |queue| Wakeups::new(dev.dev_info.queue_depth).map_err(|source| UblkError::Queue { queue, source });
    (0..dev.dev_info.nr_hw_queues).map(make).collect()
}

/// A queue's thread, and what of the queue it leaves.
pub(crate) type QueueThread = JoinHandle<Option<Mapping>>;

/// What the queues' threads are given.
pub(crate) struct Seats<'a, D> {
    pub(crate) disk: &'a Arc<D>,
    pub(crate) first_lane: usize,
    pub(crate) wakeups: Vec<Arc<Wakeups>>,
    pub(crate) own: &'a Sender<Message>,
    /// Told by each queue once whether it could be set up.
    pub(crate) ready: Sender<bool>,
}

impl<D: Disk> Seats<'_, D> {
    /// Starts the threads; each reports its end with [`Message::Ended`].
    ///
    /// # Errors
    /// If a thread could not be started; `threads` has those that were.
    pub(crate) fn spawn(
        &self,
        dev: &Arc<UblkDev>,
        ctrl: &UblkCtrl,
        threads: &mut Vec<QueueThread>,
    ) -> Result<(), UblkError> {
        let (seated, seats) = mpsc::channel();
        for (number, wakeups) in (0u16..).zip(&self.wakeups) {
            let plan = Plan {
                number,
                lane: Lane(self.first_lane + usize::from(number)),
                disk: Arc::clone(self.disk),
                wakeups: Arc::clone(wakeups),
                ready: self.ready.clone(),
            };
            let (dev, own, seated) = (Arc::clone(dev), self.own.clone(), seated.clone());
            let body = move || {
                // Also tells the kernel that this thread cleans dirty pages, so must not wait for that itself.
                let tid = UblkCtrl::init_queue_thread();
                seated.send((plan.number, tid)).ok();
                drop(seated);
                let (ended, mapping) = serve(&dev, &plan);
                let failed = ended.is_err();
                own.send(Message::Ended(plan.number, ended)).ok();
                if failed {
                    // After the reason. Else the start would wait for this queue for ever.
                    plan.ready.send(false).ok();
                }
                mapping
            };
            let name = format!("ublk{}q{number}", ctrl.dev_info().dev_id);
            let thread = std::thread::Builder::new().name(name).spawn(body);
            threads.push(thread.map_err(UblkError::Thread)?);
        }
        drop(seated);
        for (number, tid) in seats {
            ctrl.set_thread_affinity(number, tid);
        }
        Ok(())
    }
}

fn serve<D: Disk>(dev: &UblkDev, plan: &Plan<D>) -> (io::Result<queue::Ended>, Option<Mapping>) {
    let served = catch_unwind(AssertUnwindSafe(|| queue::serve(dev, plan)))
        .unwrap_or_else(|_| Err(io::Error::other("the queue's thread panicked")));
    match served {
        Ok((ended, mapping)) => (Ok(ended), mapping),
        Err(e) => (Err(e), None),
    }
}

/// Waits for the threads, and takes away what of their queues outlived them.
pub(crate) fn join(threads: &mut Vec<QueueThread>) {
    for thread in threads.drain(..) {
        match thread.join() {
            // Its ring was closed as it ended.
            Ok(mapping) => mapping.into_iter().for_each(Mapping::unmap),
            Err(_) => tracing::error!("a ublk queue's thread panicked"),
        }
    }
}
