//! The buffers of training steps, and which pass has filled them.

use super::{Layer, Mlp, max};
use slimfit_kernels::Error;

/// The passes of a step, in their order; each needs what the one before has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Stage {
    /// Nothing can be read.
    Empty,
    /// The outputs and derivatives of all layers are there.
    Forward,
    /// So is the gradient by the last layer's sums.
    Loss,
    /// The gradient by the parameters is there, and has used up that of the loss.
    Backward,
}

/// The buffers of training steps, cut out of one slice.
#[derive(Debug)]
pub struct Workspace<'w> {
    /// The network that the slice was cut for.
    mlp: Mlp<'w>,
    capacity: usize,
    /// Rows of the last forward pass.
    pub(super) rows: usize,
    pub(super) stage: Stage,
    /// `[rows, outputs]` of each layer, one after the other.
    pub(super) outputs: &'w mut [f32],
    /// The same for the layers whose activation saves its derivative.
    pub(super) derivatives: &'w mut [f32],
    pub(super) delta: &'w mut [f32],
    pub(super) delta_below: &'w mut [f32],
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
        let Lengths { outputs, derivatives, delta, .. } = Lengths::new(mlp.layers(), rows);
        let (outputs, slice) = slice.split_at_mut(outputs);
        let (derivatives, slice) = slice.split_at_mut(derivatives);
        let (delta, slice) = slice.split_at_mut(delta);
        let (delta_below, slice) = slice.split_at_mut(delta.len());
        let (gradient, scratch) = slice.split_at_mut(mlp.parameter_len());
        Ok(Self {
            mlp: *mlp,
            capacity: rows,
            rows: 0,
            stage: Stage::Empty,
            outputs,
            derivatives,
            delta,
            delta_below,
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
    /// cross-entropies. Empty before.
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
        if self.mlp == *mlp {
            Ok(())
        } else {
            Err(Error::Combination("the workspace was cut for another network"))
        }
    }
}

/// `slice` without its last `len` elements, and these; all of it if there are fewer.
pub(super) fn off_end(slice: &[f32], len: usize) -> (&[f32], &[f32]) {
    slice.split_at(slice.len().saturating_sub(len))
}

/// The `len` elements before index `end`.
pub(super) fn part_before(slice: &[f32], end: usize, len: usize) -> &[f32] {
    off_end(slice.get(..end).unwrap_or_default(), len).1
}

/// Lengths of a workspace's parts; `usize::MAX` for one that overflows.
pub(super) struct Lengths {
    pub(super) outputs: usize,
    pub(super) derivatives: usize,
    pub(super) delta: usize,
    /// The largest output of a layer that is not the last.
    pub(super) hidden: usize,
}

impl Lengths {
    pub(super) const fn new(layers: &[Layer], rows: usize) -> Self {
        let mut lengths = Self { outputs: 0, derivatives: 0, delta: 0, hidden: 0 };
        let mut l = 0;
        while l < layers.len() {
            let layer = &layers[l];
            let len = layer.outputs.saturating_mul(rows);
            lengths.outputs = lengths.outputs.saturating_add(len);
            if layer.saves_derivative() {
                lengths.derivatives = lengths.derivatives.saturating_add(len);
            }
            lengths.delta = max(lengths.delta, len);
            if l + 1 < layers.len() {
                lengths.hidden = max(lengths.hidden, len);
            }
            l += 1;
        }
        lengths
    }
}
