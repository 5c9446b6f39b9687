//! Optimizers: one pass over parameters, gradient and state.
//!
//! Every update first forms the total gradient of an element,
//!
//! > g = scale · (gradient + l1 · sign(w) + 2 · l2 · w),
//!
//! with the penalty's part of it ([`Penalty`]) and the factor of global-norm clipping
//! ([`clip_scale`]), and then moves the parameter:
//!
//! | | state | update |
//! |---|---|---|
//! | [`sgd()`] | none | w ← w - lr·g |
//! | [`momentum()`] | v | v ← μ·v + g; w ← w - lr·v, or with Nesterov w - lr·(g + μ·v) |
//! | [`adagrad()`] | s | s ← s + g²; w ← w - lr·g / (√s + ε) |
//! | [`adam()`] | m, v | see [`Adam`] |
//!
//! State starts as zeros. The forms are those of PyTorch, the penalty is that of Keras: with it,
//! the loss grows by l1·Σ|w| + l2·Σw² ([`penalty()`]).
//!
//! Each element is read once and written once, by itself: there is no order to keep, and a slice
//! may be cut anywhere without changing a bit. From a few thousand elements on, the time is that
//! of the memory.
//!
//! # Special values
//! A NaN in the gradient, the scale, the parameter or the state makes that parameter a NaN. A
//! square beyond f32 (gradients above 1.8e19) makes the state of [`adam()`] and [`adagrad()`] infinite
//! and their step zero; an infinite gradient makes the parameter a NaN, as ∞/∞ is, and so does the
//! step of [`adam()`] after the infinite state if `beta2` is zero. A penalty or a decay of zero adds
//! nothing, not even to an infinite parameter.

mod adagrad;
mod adam;
mod momentum;
mod pass;
mod penalty;
mod sgd;

pub use adagrad::{AdaGrad, adagrad};
pub use adam::{Adam, AdamStep, adam};
pub use momentum::{Momentum, momentum};
pub use penalty::{Penalty, clip_scale, gradient_sum_squares, penalty};
pub use sgd::{Sgd, sgd};

use crate::Error;

/// `Ok` if a setting lies in its range.
fn check(
    what: &'static str,
    found: f32,
    expected: &'static str,
    within: bool,
) -> Result<(), Error> {
    if within { Ok(()) } else { Err(Error::Parameter { what, expected, found }) }
}

/// A rate or strength: zero or more, and finite.
fn check_rate(what: &'static str, found: f32) -> Result<(), Error> {
    check(what, found, "finite and not negative", found >= 0.0 && found.is_finite())
}

/// A factor of decay: at least zero and below one.
fn check_decay(what: &'static str, found: f32) -> Result<(), Error> {
    check(what, found, "at least 0 and below 1", (0.0..1.0).contains(&found))
}

/// What keeps a quotient finite.
fn check_epsilon(found: f32) -> Result<(), Error> {
    check("epsilon", found, "finite and above 0", found > 0.0 && found.is_finite())
}
