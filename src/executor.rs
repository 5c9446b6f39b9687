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
    /// As many threads as the pool around the call has.
    #[must_use]
    pub fn here(level: Level) -> Self {
        Self { level, threads: rayon::current_num_threads() }
    }
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
