//! The choice of optimizer, and the update of a network's parameters by it.

use slimfit_kernels::optim::{self, Adam, AdamStep, Penalty, Sgd};
#[cfg(feature = "all")]
use slimfit_kernels::optim::{AdaGrad, Momentum};
use slimfit_kernels::{Error, Level};

use crate::Executor;
use crate::parallel::deal;

/// An optimizer with its settings. Its state is a slice that the caller owns, zero at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Plain gradient descent.
    Sgd(Sgd),
    /// Gradient descent with (Nesterov) momentum.
    #[cfg(feature = "all")]
    Momentum(Momentum),
    /// Adam, or AdamW where `decay` is set.
    Adam(Adam),
    /// AdaGrad.
    #[cfg(feature = "all")]
    AdaGrad(AdaGrad),
}

impl Default for Optimizer {
    /// Adam with its usual settings.
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl Optimizer {
    /// Length of the state slice for this many parameters. Adam's has two numbers a parameter, the
    /// second ones from a whole cache line on, and so up to 15 more.
    #[must_use]
    pub const fn state_len(&self, parameters: usize) -> usize {
        match self {
            Self::Sgd(_) => 0,
            #[cfg(feature = "all")]
            Self::Momentum(_) | Self::AdaGrad(_) => parameters,
            // The second half begins at a cache line if the first does.
            Self::Adam(_) => whole_lines(parameters).saturating_add(parameters),
        }
    }

    /// The first and the second number a parameter, as far as there are such.
    pub(crate) fn split_state<'s>(
        &self,
        parameters: usize,
        state: &'s mut [f32],
    ) -> (&'s mut [f32], &'s mut [f32]) {
        match self {
            Self::Adam(_) => {
                let (first, second) = state.split_at_mut(whole_lines(parameters).min(state.len()));
                (first.get_mut(..parameters).unwrap_or_default(), second)
            }
            _ => (state, &mut []),
        }
    }

    /// The learning rate.
    #[must_use]
    pub const fn learning_rate(&self) -> f32 {
        match self {
            Self::Sgd(o) => o.learning_rate,
            #[cfg(feature = "all")]
            Self::Momentum(o) => o.learning_rate,
            Self::Adam(o) => o.learning_rate,
            #[cfg(feature = "all")]
            Self::AdaGrad(o) => o.learning_rate,
        }
    }

    /// The same optimizer with another learning rate, as a schedule asks for.
    #[must_use]
    pub const fn with_learning_rate(mut self, learning_rate: f32) -> Self {
        match &mut self {
            Self::Sgd(o) => o.learning_rate = learning_rate,
            #[cfg(feature = "all")]
            Self::Momentum(o) => o.learning_rate = learning_rate,
            Self::Adam(o) => o.learning_rate = learning_rate,
            #[cfg(feature = "all")]
            Self::AdaGrad(o) => o.learning_rate = learning_rate,
        }
        self
    }

    /// Whether all settings lie in their ranges.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the one that does not.
    pub fn check(&self) -> Result<(), Error> {
        // An update of nothing checks what every update checks.
        let update = Update::of_step(self, 1, Penalty::NONE)?;
        let nothing = Segment { grad: &[], params: &mut [], first: &mut [], second: &mut [] };
        update.run_piece(Level::PORTABLE, nothing)
    }

    /// What step number `step`, counted from 1, needs, however many segments it updates.
    fn at_step(&self, step: u32) -> Result<Rule, Error> {
        Ok(match *self {
            Self::Sgd(sgd) => Rule::Sgd(sgd),
            #[cfg(feature = "all")]
            Self::Momentum(momentum) => Rule::Momentum(momentum),
            Self::Adam(adam) => Rule::Adam(adam.at_step(step)?),
            #[cfg(feature = "all")]
            Self::AdaGrad(ada_grad) => Rule::AdaGrad(ada_grad),
        })
    }
}

/// `len` f32, rounded up to whole cache lines.
const fn whole_lines(len: usize) -> usize {
    const LINE: usize = 16;
    len.saturating_add(LINE - 1) / LINE * LINE
}

/// An optimizer made ready for one step.
#[derive(Clone, Copy)]
enum Rule {
    Sgd(Sgd),
    #[cfg(feature = "all")]
    Momentum(Momentum),
    Adam(AdamStep),
    #[cfg(feature = "all")]
    AdaGrad(AdaGrad),
}

/// Parameters below which one thread updates them: forking costs more than it saves.
const PIECE: usize = 16 * 1024;

/// What one call of an optimizer works on: slices of one length, but for state that it lacks.
pub(crate) struct Segment<'a> {
    pub(crate) grad: &'a [f32],
    pub(crate) params: &'a mut [f32],
    pub(crate) first: &'a mut [f32],
    pub(crate) second: &'a mut [f32],
}

impl<'a> Segment<'a> {
    /// Cuts the first `len` elements off `self`, and of each state there is.
    pub(crate) fn split_off(&mut self, len: usize) -> Segment<'a> {
        let cut = |slice: &[f32]| ..len.min(slice.len());
        Segment {
            grad: self.grad.split_off(cut(self.grad)).unwrap_or_default(),
            params: self.params.split_off_mut(cut(self.params)).unwrap_or_default(),
            first: self.first.split_off_mut(cut(self.first)).unwrap_or_default(),
            second: self.second.split_off_mut(cut(self.second)).unwrap_or_default(),
        }
    }
}

/// What does not change between the segments of one update.
#[derive(Clone, Copy)]
pub(crate) struct Update {
    rule: Rule,
    penalty: Penalty,
    grad_scale: f32,
}

impl Update {
    /// The update of weights. `step` counts from 1.
    pub(crate) fn of_step(
        optimizer: &Optimizer,
        step: u32,
        penalty: Penalty,
    ) -> Result<Self, Error> {
        Ok(Self { rule: optimizer.at_step(step)?, penalty, grad_scale: 1.0 })
    }

    /// The update of biases, which have neither penalty nor decay, where it is another one.
    pub(crate) fn on_biases(&self) -> Option<Self> {
        let rule = match self.rule {
            Rule::Adam(step) if step.decays() => Rule::Adam(step.without_decay()),
            _ if self.penalty == Penalty::NONE => return None,
            rule => rule,
        };
        Some(Self { rule, penalty: Penalty::NONE, ..*self })
    }

    /// The same of a gradient that is scaled first.
    pub(crate) const fn scaled(self, grad_scale: f32) -> Self {
        Self { grad_scale, ..self }
    }

    /// Pieces in which so many parameters are updated; 0 or 1 for a whole.
    pub(crate) fn pieces<E: Executor>(executor: &E, len: usize) -> usize {
        (len / PIECE).min(executor.threads())
    }

    /// Updates a segment, in pieces where that pays.
    pub(crate) fn run<E: Executor>(&self, executor: &E, segment: Segment<'_>) -> Result<(), Error> {
        deal(
            executor,
            Self::pieces(executor, segment.params.len()),
            segment,
            &|mut segment, front, pieces| {
                let len = segment.params.len() / pieces * front;
                Ok((segment.split_off(whole_lines(len)), segment))
            },
            &|segment| self.run_piece(executor.level(), segment),
        )
    }

    fn run_piece(&self, level: Level, segment: Segment<'_>) -> Result<(), Error> {
        let Segment { grad, params, first, second } = segment;
        let Self { rule, penalty, grad_scale } = self;
        let (penalty, grad_scale) = (*penalty, *grad_scale);
        match rule {
            Rule::Sgd(sgd) => optim::sgd(level, sgd, penalty, grad_scale, grad, params),
            #[cfg(feature = "all")]
            Rule::Momentum(momentum) => {
                optim::momentum(level, momentum, penalty, grad_scale, grad, params, first)
            }
            Rule::Adam(step) => {
                optim::adam(level, step, penalty, grad_scale, grad, params, first, second)
            }
            #[cfg(feature = "all")]
            Rule::AdaGrad(ada_grad) => {
                optim::adagrad(level, ada_grad, penalty, grad_scale, grad, params, first)
            }
        }
    }
}
