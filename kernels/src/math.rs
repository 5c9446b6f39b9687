//! Transcendental functions, element by element.
//!
//! Each is one function generic over [`Simd`]: a range reduction, a polynomial found by
//! `kernels/scripts/minimax.py`, a reconstruction. There are no tables and no branches on data; the
//! time depends on the values only where a result is subnormal or underflows, which some machines
//! take longer over. The crate-internal forms on registers are in `generic`, for the kernels that
//! fuse them.
//!
//! # Largest error over all 2^32 inputs, in ULP
//!
//! Found by the exhaustive test (`tests/math.rs` says how to run it) against f64. `Avx2Fma` and `Avx512`
//! gave equal bits on every input.
//!
//! | function | multiply-add fused | not fused (`Portable` on SSE2) |
//! |---|---|---|
//! | exp | 0.915 | 1.192 |
//! | `exp_m1` | 0.951 | 1.037 |
//! | ln | 0.878 | 0.961 |
//! | `ln_1p` | 0.882 | 0.975 |
//! | tanh | 1.337 | 1.226 |
//! | sigmoid | 1.143 | 1.168 |
//! | erf | 1.446 | 1.753 |
//! | gelu | 2.324 | 3.986 |
//! | silu | 1.918 | 1.945 |
//! | softplus | 2.163 | 2.164 |
//!
//! An ULP is that of the exact result, 2^-149 where it is subnormal.

mod erf;
mod exp;
mod gelu;
mod ln;
mod sigmoid;
mod softplus;
mod tanh;

pub(crate) use sigmoid::Sigmoid;

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::{Simd, machine};

/// The root of one number, correctly rounded: one instruction where the FPU of a Cortex-M has it.
///
/// ```
/// assert_eq!(slimfit_kernels::math::sqrt(2.25), 1.5);
/// ```
#[must_use]
#[inline]
pub fn sqrt(x: f32) -> f32 {
    machine::sqrt(x)
}

/// The functions on registers, for use inside other kernels.
pub(crate) mod generic {
    pub(crate) use super::exp::{exp, exp_m1};
    pub(crate) use super::gelu::{gelu, gelu_with_derivative};
    pub(crate) use super::ln::{ln, ln_1p, ln_1p_of_fraction};
    pub(crate) use super::sigmoid::{sigmoid, silu, silu_with_derivative};
    pub(crate) use super::softplus::softplus;
    pub(crate) use super::tanh::tanh;
}

/// 1.5·2^23: a float of size below 2^22 added to it is rounded to a whole number, which is then in
/// the low bits of the sum.
pub(crate) const MAGIC: f32 = 12_582_912.0;

/// A function of one f32, on registers.
pub(crate) trait Function: Copy {
    /// What the missing lanes of a tail hold: an argument that raises no exception.
    const FILL: f32 = 0.0;

    /// Registers that [`Self::apply_group`] takes at a time, 2, 4 or 8, if that is quicker than one register
    /// after another: where the chain of dependent operations is so long that the processor does not
    /// see far enough past it.
    const GROUP: usize = 1;

    /// The function, lane by lane.
    fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32;

    /// The function of several registers, stage by stage.
    #[inline(always)]
    fn apply_group<S: Simd, const N: usize>(self, s: S, x: [S::F32; N]) -> [S::F32; N] {
        let mut y = x;
        for y in &mut y {
            *y = self.apply(s, *y);
        }
        y
    }
}

/// The polynomial with these coefficients, lowest power first, at `x`, by Horner's rule.
#[inline(always)]
pub(crate) fn horner<S: Simd, const D: usize>(s: S, x: S::F32, coefficients: [f32; D]) -> S::F32 {
    let [y] = horner_group(s, [x], coefficients);
    y
}

/// [`horner`] of several registers, step by step.
#[inline(always)]
fn horner_group<S: Simd, const N: usize, const D: usize>(
    s: S,
    x: [S::F32; N],
    coefficients: [f32; D],
) -> [S::F32; N] {
    let mut rest = coefficients.iter().rev();
    let mut y = [s.splat(rest.next().copied().unwrap_or(0.0)); N];
    for c in rest {
        for (y, x) in y.iter_mut().zip(x) {
            *y = s.mul_add(*y, x, s.splat(*c));
        }
    }
    y
}

/// `out = function(x)` by groups of N registers; returns what is left over.
#[inline(always)]
fn map_groups<'a, S: Simd, F: Function, const N: usize>(
    s: S,
    function: F,
    x: &'a [S::Chunk],
    out: &'a mut [S::Chunk],
) -> (&'a [S::Chunk], &'a mut [S::Chunk]) {
    let (groups, rest) = x.as_chunks::<N>();
    let (out_groups, out_rest) = out.as_chunks_mut::<N>();
    for (x, out) in groups.iter().zip(out_groups) {
        store_group(s, function.apply_group(s, load_group(s, x)), out);
    }
    (rest, out_rest)
}

/// As [`map_groups`], in place.
#[inline(always)]
fn map_groups_in_place<S: Simd, F: Function, const N: usize>(
    s: S,
    function: F,
    x: &mut [S::Chunk],
) -> &mut [S::Chunk] {
    let (groups, rest) = x.as_chunks_mut::<N>();
    for x in groups {
        store_group(s, function.apply_group(s, load_group(s, x)), x);
    }
    rest
}

#[inline(always)]
fn load_group<S: Simd, const N: usize>(s: S, x: &[S::Chunk; N]) -> [S::F32; N] {
    let mut group = [s.splat(0.0); N];
    for (v, x) in group.iter_mut().zip(x) {
        *v = s.load(x);
    }
    group
}

#[inline(always)]
fn store_group<S: Simd, const N: usize>(s: S, group: [S::F32; N], out: &mut [S::Chunk; N]) {
    for (v, out) in group.iter().zip(out) {
        s.store(*v, out);
    }
}

stamp! {
    /// `out = function(x)`, element by element.
    fn map[F: Function](function: F, x: &[f32], out: &mut [f32]) -> Result<(), Error> = map_in;
}

/// See [`map`].
#[inline(always)]
pub(crate) fn map_in<S: Simd, F: Function>(
    s: S,
    function: F,
    x: &[f32],
    out: &mut [f32],
) -> Result<(), Error> {
    check_len("out", out.len(), x.len())?;
    const { assert!(matches!(F::GROUP, 1 | 2 | 4 | 8)) };
    let (chunks, tail) = s.chunks(x);
    let (out_chunks, out_tail) = s.chunks_mut(out);
    let (chunks, out_chunks) = match group::<S, F>() {
        2 => map_groups::<S, F, 2>(s, function, chunks, out_chunks),
        4 => map_groups::<S, F, 4>(s, function, chunks, out_chunks),
        8 => map_groups::<S, F, 8>(s, function, chunks, out_chunks),
        _ => (chunks, out_chunks),
    };
    for (x, out) in chunks.iter().zip(out_chunks) {
        s.store(function.apply(s, s.load(x)), out);
    }
    if !tail.is_empty() {
        s.store_tail(function.apply(s, s.load_tail(tail, F::FILL)), out_tail);
    }
    Ok(())
}

/// [`Function::GROUP`] where there are vectors; where not, a small flash counts for more.
#[inline(always)]
const fn group<S: Simd, F: Function>() -> usize {
    if S::LANES > 1 { F::GROUP } else { 1 }
}

/// `x = function(x)`, element by element.
#[inline(always)]
pub(crate) fn map_in_place_in<S: Simd, F: Function>(s: S, function: F, x: &mut [f32]) {
    const { assert!(matches!(F::GROUP, 1 | 2 | 4 | 8)) };
    let (chunks, tail) = s.chunks_mut(x);
    let chunks = match group::<S, F>() {
        2 => map_groups_in_place::<S, F, 2>(s, function, chunks),
        4 => map_groups_in_place::<S, F, 4>(s, function, chunks),
        8 => map_groups_in_place::<S, F, 8>(s, function, chunks),
        _ => chunks,
    };
    for x in chunks {
        s.store(function.apply(s, s.load(x)), x);
    }
    if !tail.is_empty() {
        s.store_tail(function.apply(s, s.load_tail(tail, F::FILL)), tail);
    }
}

/// Public entry points: `out[i] = f(x[i])`.
macro_rules! entry_points {
    ($($(#[$attr:meta])* $name:ident = $function:expr, $at:literal => $value:literal;)*) => {$(
        $(#[$attr])*
        ///
        /// # Errors
        /// [`Error::Length`] if `x` and `out` differ in length; `out` is then left as it was.
        ///
        /// ```
        /// use slimfit_kernels::{Level, math};
        ///
        /// let mut out = [0.0];
        #[doc = concat!("math::", stringify!($name), "(Level::detect(), &[", $at, "], &mut out)?;")]
        #[doc = concat!("assert!((out[0] - ", $value, ").abs() < 1e-6);")]
        /// # Ok::<(), slimfit_kernels::Error>(())
        /// ```
        pub fn $name(level: crate::Level, x: &[f32], out: &mut [f32]) -> Result<(), Error> {
            map(level, $function, x, out)
        }
    )*};
}

entry_points! {
    /// `exp(x)` of each element.
    exp = exp::Exp, "1.0" => "2.718_281_8";
    /// `exp(x) - 1` of each element, accurate near 0.
    exp_m1 = exp::ExpM1, "1e-3" => "0.001_000_500_2";
    /// Natural logarithm of each element.
    ln = ln::Ln, "10.0" => "2.302_585_1";
    /// `ln(1 + x)` of each element, accurate near 0.
    ln_1p = ln::Ln1p, "1e-3" => "0.000_999_500_3";
    /// Hyperbolic tangent of each element.
    tanh = tanh::Tanh, "0.5" => "0.462_117_16";
    /// The logistic function `1 / (1 + exp(-x))` of each element.
    sigmoid = sigmoid::Sigmoid, "1.0" => "0.731_058_6";
    /// The error function of each element.
    erf = erf::Erf, "0.5" => "0.520_499_9";
    /// `x · Φ(x)` of each element, with the normal distribution function Φ.
    gelu = gelu::Gelu, "1.0" => "0.841_344_7";
    /// `x · sigmoid(x)` of each element.
    silu = sigmoid::Silu, "1.0" => "0.731_058_6";
    /// `ln(1 + exp(x))` of each element.
    softplus = softplus::Softplus, "1.0" => "1.313_261_7";
}
