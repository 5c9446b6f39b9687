//! Categorical cross-entropy of a row of logits z with a class index c.
//!
//! With the row's largest logit M, the hit `H = exp(z[c] - M)` and the others, `R`, the sum of
//! `exp(z[j] - M)` over all j but c:
//!
//! > `l = ln((H + R) / H)`, `∂l/∂z[j] = exp(z[j] - M) / (H + R)`, `∂l/∂z[c] = -R / (H + R)`
//!
//! R leaves the class out from the start, so that a row that is right has its slope with all
//! digits, where `H / (H + R) - 1` would have lost them. The loss is `ln1p(R / H)` for R ≤ H, and
//! `(M - z[c]) + ln1p(H + R - 1)` otherwise, where H may have underflowed.
//!
//! Rows go in groups of sixteen. A row is read twice: for its maximum, and for the exponentials,
//! which are left in the gradient's row. The logarithm, the division and H are those of the
//! sixteen rows at once; then each row of the gradient is scaled, as it still lies in the cache.

use super::Weights;
use crate::Error;
use crate::math::generic::{exp, ln_1p};
use crate::reduce::Total;
use crate::simd::{BLOCK, Simd};

/// The number of each virtual lane.
const LANE: [f32; BLOCK] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// What a pass reads.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) outputs: &'a [f32],
    pub(super) cols: usize,
    pub(super) targets: &'a [f32],
    pub(super) weights: Weights<'a>,
}

/// `Ok` if all targets are whole numbers below the number of classes.
pub(super) fn check_classes(targets: &[f32], classes: usize) -> Result<(), Error> {
    for (row, found) in targets.iter().enumerate() {
        let class = index(*found);
        if class as f32 != *found || class >= classes {
            return Err(Error::Class { row, found: *found, classes });
        }
    }
    Ok(())
}

/// The class of a checked target.
#[inline(always)]
#[allow(clippy::cast_sign_loss, reason = "a negative target saturates to zero, and is refused")]
fn index(target: f32) -> usize {
    target as usize
}

/// Mean loss; the gradient goes to `grad` unless that is empty.
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, rows: Rows<'_>, grad: &mut [f32]) -> f32 {
    let Rows { outputs, cols, targets, weights } = rows;
    let count = targets.len() as f32;
    let scale = s.splat(1.0 / count);
    let mut samples = weights.sample.map(|sample| sample.chunks(BLOCK));
    // A group's length cannot overflow: where it would, there are fewer rows than sixteen.
    let mut grads = grad.chunks_mut(cols.saturating_mul(BLOCK));
    let mut total = Total::default();
    for (outputs, targets) in outputs.chunks(cols.saturating_mul(BLOCK)).zip(targets.chunks(BLOCK))
    {
        let grad = grads.next().unwrap_or_default();
        let sample = samples.as_mut().and_then(Iterator::next);
        let weight = group_weights(targets, sample, weights.class);

        let (mut shift, mut others) = ([0.0; BLOCK], [0.0; BLOCK]);
        let mut grad_rows = grad.chunks_mut(cols);
        let group = outputs.chunks(cols).zip(targets).zip(shift.iter_mut().zip(&mut others));
        for ((row, target), (shift, others)) in group {
            let class = index(*target);
            let max = row_max(s, row);
            *shift = row.get(class).map_or(f32::NAN, |z| z - max);
            *others = exponentials(s, row, class, max, grad_rows.next().unwrap_or_default());
        }

        let mut losses = s.load_block(&shift);
        let (mut factors, mut slopes) = (s.load_block(&others), s.load_block(&weight));
        let group = factors.as_mut().iter_mut().zip(slopes.as_mut());
        for (loss, (factor, slope)) in losses.as_mut().iter_mut().zip(group) {
            let (shift, others, weight) = (*loss, *factor, *slope);
            let hit = exp(s, shift);
            let sum = s.add(hit, others);
            let right = s.le(others, hit);
            let ratio = s.select(right, s.div(others, hit), s.sub(sum, s.splat(1.0)));
            let base = s.select(right, s.splat(0.0), s.neg(shift));
            *loss = s.mul(weight, s.add(base, ln_1p(s, ratio)));
            *factor = s.div(s.mul(weight, scale), sum);
            *slope = s.neg(s.mul(*factor, others));
        }
        total.add(s.sum_block(losses));

        let (factors, slopes) = (to_array(s, &factors), to_array(s, &slopes));
        let group = targets.iter().zip(factors.iter().zip(&slopes));
        for (row, (target, (factor, slope))) in grad.chunks_mut(cols).zip(group) {
            scale_row(s, *factor, row);
            if let Some(out) = row.get_mut(index(*target)) {
                *out = *slope;
            }
        }
    }
    total.value() / count
}

/// Weights of a group's rows; zero for those that are missing.
fn group_weights(targets: &[f32], sample: Option<&[f32]>, class: Option<&[f32]>) -> [f32; BLOCK] {
    let mut weights = [0.0; BLOCK];
    for (weight, target) in weights.iter_mut().zip(targets) {
        *weight = class.and_then(|class| class.get(index(*target))).copied().unwrap_or(1.0);
    }
    for (weight, sample) in weights.iter_mut().zip(sample.unwrap_or(&[])) {
        *weight *= sample;
    }
    weights
}

/// The largest of a row. A NaN may go unseen here: the row's sum is NaN all the same.
#[inline(always)]
fn row_max<S: Simd>(s: S, row: &[f32]) -> f32 {
    let (blocks, tail) = row.as_chunks::<BLOCK>();
    let mut max = s.load_block_tail(tail, f32::NEG_INFINITY);
    for block in blocks {
        for (max, z) in max.as_mut().iter_mut().zip(s.load_block(block).as_ref()) {
            *max = s.max(*max, *z);
        }
    }
    s.max_block(max)
}

/// Sum of exp(z - max) over a row without its class; the terms go to `out` unless that is empty.
#[inline(always)]
fn exponentials<S: Simd>(s: S, row: &[f32], class: usize, max: f32, out: &mut [f32]) -> f32 {
    let max = s.splat(max);
    let mut sum = s.splat_block(0.0);
    let mut outs = out.chunks_mut(BLOCK);
    for (start, row) in (0..).step_by(BLOCK).zip(row.chunks(BLOCK)) {
        let mut terms = match row.first_chunk() {
            Some(block) => s.load_block(block),
            None => s.load_block_tail(row, f32::NEG_INFINITY),
        };
        if (start..start + BLOCK).contains(&class) {
            let class = s.splat((class - start) as f32);
            for (term, lane) in terms.as_mut().iter_mut().zip(s.load_block(&LANE).as_ref()) {
                *term = s.select(s.eq(*lane, class), s.splat(f32::NEG_INFINITY), *term);
            }
        }
        for (sum, term) in sum.as_mut().iter_mut().zip(terms.as_mut()) {
            *term = exp(s, s.sub(*term, max));
            *sum = s.add(*sum, *term);
        }
        for (out, term) in outs.next().unwrap_or_default().chunks_mut(S::LANES).zip(terms.as_ref())
        {
            s.store_tail(*term, out);
        }
    }
    s.sum_block(sum)
}

#[inline(always)]
fn scale_row<S: Simd>(s: S, factor: f32, row: &mut [f32]) {
    let factor = s.splat(factor);
    let (chunks, tail) = s.chunks_mut(row);
    for chunk in chunks {
        s.store(s.mul(s.load(chunk), factor), chunk);
    }
    s.store_tail(s.mul(s.load_tail(tail, 0.0), factor), tail);
}

#[inline(always)]
fn to_array<S: Simd>(s: S, block: &S::Block) -> [f32; BLOCK] {
    let mut lanes = [0.0; BLOCK];
    let (chunks, _) = s.chunks_mut(&mut lanes);
    for (v, chunk) in block.as_ref().iter().zip(chunks) {
        s.store(*v, chunk);
    }
    lanes
}
