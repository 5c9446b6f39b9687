//! The buffers of training steps, and which pass has filled them.

use super::{Layer, LayerProducts, Mlp, max};
use slimfit_kernels::Error;

/// The passes of a step, in their order; each needs what the one before has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Stage {
    /// Nothing can be read.
    Empty,
    /// What the layers put out and save is there.
    Forward,
    /// So is the gradient by the last layer's sums.
    Loss,
    /// The gradient by the parameters is there, and has used up the rest but for the last outputs.
    Backward,
}

/// The buffers of training steps, cut out of one slice.
#[derive(Debug)]
pub struct Workspace<'w> {
    /// The network that the slice was cut for.
    pub(super) mlp: Mlp<'w>,
    /// See [`Workspace::with_products`]; empty without.
    pub(super) products: &'w [LayerProducts],
    capacity: usize,
    /// Rows of the last forward pass.
    pub(super) rows: usize,
    pub(super) stage: Stage,
    /// `[rows, outputs]` of each layer, one after the other.
    pub(super) outputs: &'w mut [f32],
    /// The same for the layers whose activation saves its derivative.
    pub(super) derivatives: &'w mut [f32],
    /// The gradient by the sums of the last layer.
    pub(super) delta: &'w mut [f32],
    /// The gradients by the inputs of wide layers; others take the place of what is saved there.
    pub(super) wide: &'w mut [f32],
    pub(super) gradient: &'w mut [f32],
    pub(super) scratch: &'w mut [f32],
}

impl<'w> Workspace<'w> {
    /// Cuts up `slice`, of at least [`Mlp::workspace_len`] elements, for steps of at most `rows`
    /// rows.
    ///
    /// # Errors
    /// [`Error::Length`] if the slice is too short.
    pub fn new(mlp: &Mlp<'w>, rows: usize, slice: &'w mut [f32]) -> Result<Self, Error> {
        let expected = mlp.workspace_len(rows, 1);
        if slice.len() < expected {
            let found = slice.len();
            return Err(Error::Length { what: "workspace (at least)", expected, found });
        }
        let Lengths { outputs, derivatives, last, wide, .. } = Lengths::new(mlp.layers(), rows);
        let mut scratch = slice;
        let mut cut = |len| split_off_start_mut(&mut scratch, len);
        let (outputs, derivatives) = (cut(outputs), cut(derivatives));
        let (delta, wide) = (cut(last), cut(wide));
        let gradient = cut(mlp.parameter_len());
        Ok(Self {
            mlp: *mlp,
            products: &[],
            capacity: rows,
            rows: 0,
            stage: Stage::Empty,
            outputs,
            derivatives,
            delta,
            wide,
            gradient,
            scratch,
        })
    }

    /// The gradient by all parameters, in their order, after [`Mlp::backward`]; without penalties.
    #[must_use]
    pub fn gradient(&self) -> &[f32] {
        self.gradient
    }

    /// The outputs of the last layer after [`Mlp::forward`], `[rows, outputs]`: logits for the
    /// cross-entropies. Empty before; they stay until the next forward pass.
    #[must_use]
    pub fn outputs(&self) -> &[f32] {
        let end = self.rows * self.mlp.output_columns();
        part_before(self.outputs, end, self.rows * self.mlp.outputs())
    }

    /// Makes ready for a forward pass of `mlp` over `rows` rows.
    pub(super) fn start(&mut self, mlp: &Mlp<'_>, rows: usize) -> Result<(), Error> {
        self.check_network(mlp)?;
        if rows > self.capacity {
            let (expected, found) = (self.capacity, rows);
            return Err(Error::Length { what: "rows of a step (at most)", expected, found });
        }
        self.rows = rows;
        self.stage = Stage::Empty;
        Ok(())
    }

    /// Whether `mlp` has run the pass `stage`, or one after it.
    pub(super) fn check(&self, mlp: &Mlp<'_>, stage: Stage) -> Result<(), Error> {
        self.check_network(mlp)?;
        if self.stage >= stage {
            return Ok(());
        }
        Err(Error::Combination(match stage {
            Stage::Empty | Stage::Forward => "the workspace needs a call of `forward` before",
            Stage::Loss => "the workspace needs a call of `loss` before",
            Stage::Backward => "the workspace needs a call of `backward` before",
        }))
    }

    fn check_network(&self, mlp: &Mlp<'_>) -> Result<(), Error> {
        // As a rule the layers are the same slice; to compare them costs as much as a small product.
        if core::ptr::eq(self.mlp.layers(), mlp.layers()) || self.mlp == *mlp {
            Ok(())
        } else {
            Err(Error::Combination("the workspace was cut for another network"))
        }
    }
}

/// Cuts the first `len` elements off `slice`; all if there are fewer, as none of this file's cuts may
/// panic.
#[inline]
pub(super) fn split_off_start<'s>(slice: &mut &'s [f32], len: usize) -> &'s [f32] {
    slice.split_off(..len.min(slice.len())).unwrap_or_default()
}

/// The same of a slice to write to.
#[expect(clippy::mut_mut, reason = "as `split_off_mut` of a slice")]
#[inline]
pub(super) fn split_off_start_mut<'s>(slice: &mut &'s mut [f32], len: usize) -> &'s mut [f32] {
    slice.split_off_mut(..len.min(slice.len())).unwrap_or_default()
}

/// `slice` without its last `len` elements, and these; all of it if there are fewer.
#[inline]
pub(super) fn off_end(slice: &[f32], len: usize) -> (&[f32], &[f32]) {
    slice.split_at(slice.len().saturating_sub(len))
}

/// Cuts the last `len` elements off `slice`; all if there are fewer.
#[expect(clippy::mut_mut, reason = "as `split_off_mut` of a slice")]
#[inline]
pub(super) fn split_off_end<'s>(slice: &mut &'s mut [f32], len: usize) -> &'s mut [f32] {
    slice.split_off_mut(slice.len().saturating_sub(len)..).unwrap_or_default()
}

/// The `len` elements before index `end`.
#[inline]
pub(super) fn part_before(slice: &[f32], end: usize, len: usize) -> &[f32] {
    off_end(slice.get(..end).unwrap_or_default(), len).1
}

/// Lengths of a workspace's parts; `usize::MAX` for one that overflows.
pub(super) struct Lengths {
    pub(super) outputs: usize,
    pub(super) derivatives: usize,
    /// The outputs of the last layer.
    pub(super) last: usize,
    /// The inputs of wide layers above the first.
    pub(super) wide: usize,
    /// The largest output of a layer that is not the last.
    pub(super) hidden: usize,
}

impl Lengths {
    pub(super) const fn new(layers: &[Layer], rows: usize) -> Self {
        let mut lengths = Self { outputs: 0, derivatives: 0, last: 0, wide: 0, hidden: 0 };
        let mut l = 0;
        while l < layers.len() {
            let layer = &layers[l];
            let len = layer.outputs.saturating_mul(rows);
            lengths.outputs = lengths.outputs.saturating_add(len);
            if layer.saves_derivative() {
                lengths.derivatives = lengths.derivatives.saturating_add(len);
            }
            if l > 0 && layer.is_wide() {
                let inputs = layer.inputs.saturating_mul(rows);
                lengths.wide = lengths.wide.saturating_add(inputs);
            }
            lengths.last = len;
            if l + 1 < layers.len() {
                lengths.hidden = max(lengths.hidden, len);
            }
            l += 1;
        }
        lengths
    }
}
