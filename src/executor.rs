//! Where work runs: on the caller's thread, or split between rayon workers.
//!
//! Splitting never changes a bit: what is split writes disjoint elements, each computed by the same
//! operations in the same order, whoever computes it.
//!
//! An idle worker of rayon falls asleep within some tens of microseconds, and to wake it takes as long
//! again, which a step of training would wait for at most of its forks. A pool that works on nothing
//! else is therefore kept awake by [`Awake::run`]: its forks take one microsecond.

#[cfg(feature = "std")]
use std::sync::atomic::{AtomicBool, Ordering};

use slimfit_kernels::Level;

/// Runs kernels at one [`Level`], on one thread or more.
///
/// A [`Level`] is itself an executor: the caller's thread.
pub trait Executor: Sync {
    /// The instruction set to use.
    fn level(&self) -> Level;

    /// How many pieces are worth making.
    fn threads(&self) -> usize {
        1
    }

    /// Multiply-adds that a piece must have for a fork to pay: by default some tens of microseconds, for
    /// workers that sleep.
    fn piece(&self) -> usize {
        crate::parallel::PIECE
    }

    /// Runs both, perhaps at the same time.
    fn join<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        (a(), b())
    }
}

impl Executor for Level {
    fn level(&self) -> Level {
        *self
    }
}

/// Splits work between the workers of the rayon pool that the caller runs in.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct Rayon {
    /// The instruction set to use.
    pub level: Level,
    /// Pieces to make at most.
    pub threads: usize,
}

#[cfg(feature = "std")]
impl Rayon {
    /// As many threads as the pool around the call has; outside any, rayon's global pool. If that
    /// cannot be started, one.
    #[must_use]
    pub fn here(level: Level) -> Self {
        let threads = match rayon::current_thread_index() {
            Some(_) => rayon::current_num_threads(),
            None => global_threads(),
        };
        Self { level, threads }
    }
}

/// Threads of rayon's global pool, which this starts unless it runs.
#[cfg(feature = "std")]
fn global_threads() -> usize {
    use std::error::Error as _;
    static THREADS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *THREADS.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        // The system would not start threads; any call into the pool would panic.
        Err(error) if error.source().is_some() => 1,
        // Started now, or before by someone else.
        _ => rayon::current_num_threads(),
    })
}

#[cfg(feature = "std")]
impl Executor for Rayon {
    fn level(&self) -> Level {
        self.level
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn join<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        rayon::join(a, b)
    }
}

/// The workers of a pool that has no other work, none of them asleep.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awake {
    pool: Rayon,
}

#[cfg(feature = "std")]
impl Awake {
    /// Runs `work` while the other workers of the pool around the call look for pieces of it without a
    /// pause.
    ///
    /// Nothing else may run in the pool meanwhile: two such calls could wait for each other.
    pub(crate) fn run<T>(pool: Rayon, work: impl FnOnce(Self) -> T) -> T {
        let ended = AtomicBool::new(false);
        let caller = rayon::current_thread_index();
        rayon::in_place_scope(|scope| {
            scope.spawn_broadcast(|_, worker| {
                while caller != Some(worker.index()) && !ended.load(Ordering::Relaxed) {
                    look_for_work();
                }
            });
            let _end = SetOnDrop(&ended);
            work(Self { pool })
        })
    }
}

#[cfg(feature = "std")]
impl Executor for Awake {
    fn level(&self) -> Level {
        self.pool.level
    }

    fn threads(&self) -> usize {
        self.pool.threads
    }

    fn piece(&self) -> usize {
        1 << 17
    }

    fn join<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        rayon::join(
            || {
                let a = a();
                // Rayon's own wait would fall asleep.
                while begun.load(Ordering::Relaxed) && !ended.load(Ordering::Relaxed) {
                    look_for_work();
                }
                a
            },
            || {
                begun.store(true, Ordering::Relaxed);
                let _end = SetOnDrop(&ended);
                b()
            },
        )
    }
}

/// Does what another worker has put up, or lets another thread have the processor, if one is waiting
/// for it.
#[cfg(feature = "std")]
fn look_for_work() {
    /// Looks before a call of the system, which takes longer than all of them.
    const LOOKS: usize = 8;
    for _ in 0..LOOKS {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            return;
        }
        std::hint::spin_loop();
    }
    std::thread::yield_now();
}

/// Says so when it goes out of scope, in a panic too: others wait for it.
#[cfg(feature = "std")]
struct SetOnDrop<'a>(&'a AtomicBool);

#[cfg(feature = "std")]
impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce(Awake) -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let executor = Rayon { level: Level::PORTABLE, threads };
        pool.install(|| Awake::run(executor, work))
    }

    fn leaves(executor: &Awake, depth: usize) -> usize {
        if depth == 0 {
            return 1;
        }
        let (a, b) = executor.join(|| leaves(executor, depth - 1), || leaves(executor, depth - 1));
        a + b
    }

    #[test]
    fn awake_workers_do_all_pieces_once() {
        for threads in [1, 2, 5] {
            let found = in_pool(threads, |awake| (0..50).map(|_| leaves(&awake, 7)).sum::<usize>());
            assert_eq!(found, 50 << 7, "{threads} threads");
        }
    }

    #[test]
    fn a_panic_in_a_piece_ends_the_wait_for_it() {
        for threads in [1, 2] {
            let run = || in_pool(threads, |awake| awake.join(|| (), || panic!("on purpose")));
            assert!(std::panic::catch_unwind(run).is_err(), "{threads} threads");
        }
    }
}
