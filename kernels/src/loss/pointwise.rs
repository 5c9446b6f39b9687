//! Losses of one output and one target, element by element, and the pass that they share.

use super::PIECE;
use crate::reduce::Total;
use crate::simd::{BLOCK, Kernel, Simd, first_lane};

/// One element's loss and its derivative by the output, which is left to multiply by a constant.
pub(super) trait Pointwise: Copy {
    /// That constant; part of the scale, so that the slope alone does not overflow.
    const FACTOR: f32 = 1.0;

    fn loss_and_slope<S: Simd>(self, s: S, output: S::F32, target: S::F32) -> (S::F32, S::F32);
}

/// d²
#[derive(Clone, Copy)]
pub(super) struct Squared;
impl Pointwise for Squared {
    const FACTOR: f32 = 2.0;

    #[inline(always)]
    fn loss_and_slope<S: Simd>(self, s: S, output: S::F32, target: S::F32) -> (S::F32, S::F32) {
        let d = s.sub(output, target);
        (s.mul(d, d), d)
    }
}

/// |d|
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(super) struct Absolute;
#[cfg(feature = "all")]
impl Pointwise for Absolute {
    #[inline(always)]
    fn loss_and_slope<S: Simd>(self, s: S, output: S::F32, target: S::F32) -> (S::F32, S::F32) {
        let d = s.sub(output, target);
        let size = s.abs(d);
        let has_sign = s.lt(s.splat(0.0), size);
        // Where there is no sign, d is the zero or the NaN that the slope should be.
        (size, s.select(has_sign, s.copysign(s.splat(1.0), d), d))
    }
}

/// c·(|d| - c/2) with c = min(|d|, δ), which is both branches of the definition.
#[cfg(feature = "all")]
#[derive(Clone, Copy)]
pub(super) struct Huber {
    pub(super) delta: f32,
}
#[cfg(feature = "all")]
impl Pointwise for Huber {
    #[inline(always)]
    fn loss_and_slope<S: Simd>(self, s: S, output: S::F32, target: S::F32) -> (S::F32, S::F32) {
        let d = s.sub(output, target);
        let size = s.abs(d);
        let clamped = s.min(s.splat(self.delta), size);
        let loss = s.mul(clamped, s.neg_mul_add(s.splat(0.5), clamped, size));
        (loss, s.copysign(clamped, d))
    }
}

/// What a pass reads.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) outputs: &'a [f32],
    pub(super) cols: usize,
    pub(super) targets: &'a [f32],
    pub(super) sample: Option<&'a [f32]>,
}

/// Mean loss; the gradient goes to `grad` unless that is empty.
#[inline(always)]
pub(super) fn run<S: Simd, P: Pointwise>(s: S, loss: P, batch: Batch<'_>, grad: &mut [f32]) -> f32 {
    if S::LANES == 1 {
        return run_one_by_one(s, loss, batch, grad);
    }
    let Batch { mut outputs, cols, mut targets, sample } = batch;
    let count = outputs.len() as f32;
    let pass = Pass { s, loss, scale: s.splat(P::FACTOR / count) };
    let mut weights = ElementWeights::new(sample, cols);
    let mut grads = grad.chunks_mut(PIECE);
    let mut total = Total::default();
    while !outputs.is_empty() {
        let (piece, rest) = outputs.split_at(outputs.len().min(PIECE));
        let (piece_targets, rest_targets) = targets.split_at(targets.len().min(PIECE));
        (outputs, targets) = (rest, rest_targets);
        let mut sum = s.splat_block(0.0);
        let (output_blocks, output_tail) = piece.as_chunks::<BLOCK>();
        let (target_blocks, target_tail) = piece_targets.as_chunks::<BLOCK>();
        let (grad_blocks, grad) = grads.next().unwrap_or_default().as_chunks_mut::<BLOCK>();
        let mut grad_blocks = grad_blocks.iter_mut();
        for (outputs, targets) in output_blocks.iter().zip(target_blocks) {
            let weight = weights.next_block(s);
            let (outputs, targets) = (s.load_block(outputs), s.load_block(targets));
            let slope = pass.add_block(outputs, targets, weight, &mut sum);
            if let Some(out) = grad_blocks.next() {
                let (out, _) = s.chunks_mut(out);
                for (out, slope) in out.iter_mut().zip(slope.as_ref()) {
                    s.store(*slope, out);
                }
            }
        }
        if !output_tail.is_empty() {
            let weight = weights.next_tail(s, output_tail.len());
            let outputs = s.load_block_tail(output_tail, 0.0);
            let targets = s.load_block_tail(target_tail, 0.0);
            let slope = pass.add_block(outputs, targets, weight, &mut sum);
            for (out, slope) in grad.chunks_mut(S::LANES).zip(slope.as_ref()) {
                s.store_tail(*slope, out);
            }
        }
        total.add(s.sum_block(sum));
    }
    total.value() / count
}

/// [`run`] where a register holds one number: one loop and one function for every element, as flash
/// is dear there.
#[inline(always)]
fn run_one_by_one<S: Simd, P: Pointwise>(s: S, loss: P, batch: Batch<'_>, grad: &mut [f32]) -> f32 {
    let Batch { outputs, cols, targets, sample } = batch;
    let count = outputs.len() as f32;
    let scale = s.splat(P::FACTOR / count);
    let mut elements = outputs.iter().zip(targets);
    let mut sample = sample.map(<[f32]>::iter);
    let (mut weight, mut left) = (1.0, 0);
    let mut grad = grad.iter_mut();
    let mut total = Total::default();
    while elements.len() > 0 {
        let mut sums = s.splat_block(0.0);
        for (i, (output, target)) in elements.by_ref().take(PIECE).enumerate() {
            if let Some(rows) = &mut sample {
                if left == 0 {
                    weight = rows.next().copied().unwrap_or(0.0);
                    left = cols;
                }
                left -= 1;
            }
            let weight = s.splat(weight);
            let (loss, slope) = s.call(Element(loss, *output, *target));
            let (loss, slope) = (s.splat(loss), s.splat(slope));
            if let Some(sum) = sums.as_mut().get_mut(i % BLOCK) {
                *sum = s.mul_add(weight, loss, *sum);
            }
            if let Some(grad) = grad.next() {
                s.store_tail(s.mul(s.mul(weight, scale), slope), core::slice::from_mut(grad));
            }
        }
        total.add(s.sum_block(sums));
    }
    total.value() / count
}

/// Loss and slope of one output and its target.
struct Element<P>(P, f32, f32);

impl<P: Pointwise> Kernel for Element<P> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let Self(loss, output, target) = self;
        let (loss, slope) = loss.loss_and_slope(s, s.splat(output), s.splat(target));
        (first_lane(s, loss), first_lane(s, slope))
    }
}

/// What all blocks of a pass share.
#[derive(Clone, Copy)]
struct Pass<S: Simd, P: Pointwise> {
    s: S,
    loss: P,
    scale: S::F32,
}

impl<S: Simd, P: Pointwise> Pass<S, P> {
    /// Adds sixteen weighted losses to `sum`, and returns the gradient.
    #[inline(always)]
    fn add_block(
        self,
        mut outputs: S::Block,
        targets: S::Block,
        weights: S::Block,
        sum: &mut S::Block,
    ) -> S::Block {
        let Self { s, loss, scale } = self;
        let inputs = targets.as_ref().iter().zip(weights.as_ref());
        for ((output, sum), (target, weight)) in
            outputs.as_mut().iter_mut().zip(sum.as_mut()).zip(inputs)
        {
            let (loss, slope) = loss.loss_and_slope(s, *output, *target);
            *sum = s.mul_add(*weight, loss, *sum);
            *output = s.mul(s.mul(*weight, scale), slope);
        }
        outputs
    }
}

/// The weights of rows, spread over their elements.
enum ElementWeights<'a> {
    /// One everywhere.
    None,
    /// One column: a row is an element.
    Column(&'a [f32]),
    /// Several columns; the next row's weights, and what is left of the current row.
    Rows { rows: core::slice::Iter<'a, f32>, weight: f32, left: usize, cols: usize },
}

impl<'a> ElementWeights<'a> {
    fn new(sample: Option<&'a [f32]>, cols: usize) -> Self {
        match sample {
            None => Self::None,
            Some(sample) if cols == 1 => Self::Column(sample),
            Some(sample) => Self::Rows { rows: sample.iter(), weight: 0.0, left: 0, cols },
        }
    }

    /// The weights of the next sixteen elements.
    #[inline(always)]
    fn next_block<S: Simd>(&mut self, s: S) -> S::Block {
        match self {
            Self::None => s.splat_block(1.0),
            Self::Column(column) => match column.split_first_chunk() {
                Some((block, rest)) => {
                    *column = rest;
                    s.load_block(block)
                }
                None => s.splat_block(0.0),
            },
            Self::Rows { .. } => self.next_tail(s, BLOCK),
        }
    }

    /// The weights of the next `len` elements, at most sixteen; zero after them.
    #[inline(always)]
    fn next_tail<S: Simd>(&mut self, s: S, len: usize) -> S::Block {
        match self {
            Self::None => s.load_block_tail([1.0; BLOCK].get(..len).unwrap_or(&[]), 0.0),
            Self::Column(column) => s.load_block_tail(column, 0.0),
            Self::Rows { rows, weight, left, cols } => {
                let mut lanes = [0.0; BLOCK];
                for lane in lanes.iter_mut().take(len) {
                    if *left == 0 {
                        *weight = rows.next().copied().unwrap_or(0.0);
                        *left = *cols;
                    }
                    *left -= 1;
                    *lane = *weight;
                }
                s.load_block(&lanes)
            }
        }
    }
}
