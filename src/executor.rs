//! Where work runs: on the caller's thread, or split between rayon workers.
//!
//! Splitting never changes a bit: what is split writes disjoint elements, each computed by the same
//! operations in the same order, whoever computes it.

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
