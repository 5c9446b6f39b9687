//! A multilayer perceptron over flat slices: no allocation, no thread, no global state.
//!
//! Layer l computes `h_l = f_l(h_{l-1} W_l + b_l)` for a batch of rows at once. Its weights `W_l`
//! are `[inputs, outputs]`, row-major; all parameters lie in one slice as `W_0, b_0, W_1, b_1, …`.
//!
//! A training step is four calls, also to be had as one ([`Mlp::step`]):
//!
//! 1. [`Mlp::forward`] fills the outputs of every layer;
//! 2. [`Mlp::loss`] takes the loss of the last outputs, and its gradient by them;
//! 3. [`Mlp::backward`] walks down the layers. With δ the gradient by `h_{l-1} W_l + b_l`:
//!    `∂W_l = h_{l-1}ᵀ δ`, `∂b_l` = the column sums of δ, and the δ of the layer below is
//!    `(δ W_lᵀ) ∘ f'`. The gradient by the network's input is not computed;
//! 4. [`Mlp::update`] adds the penalties, clips, and lets the optimizer change the parameters.
//!
//! All buffers come from one slice, cut up by [`Workspace`]. Its length is a `const fn` of the
//! layers and the batch, so that it can be a `static`:
//!
//! ```
//! use slimfit::{Activation, Layer, Mlp};
//!
//! const LAYERS: [Layer; 2] =
//!     [Layer::new(2, 8, Activation::Tanh), Layer::new(8, 1, Activation::Identity)];
//! const XOR: Mlp<'static> = match Mlp::new(&LAYERS) {
//!     Ok(mlp) => mlp,
//!     Err(_) => panic!("the layers do not fit together"),
//! };
//! static WORKSPACE: [f32; XOR.workspace_len(4, 1)] = [0.0; XOR.workspace_len(4, 1)];
//! assert_eq!(XOR.parameter_len(), 2 * 8 + 8 + 8 * 1 + 1);
//! ```

use rand_core::Rng;
use slimfit_kernels::activation::{self, Activation, Saved};
use slimfit_kernels::gemm::{self, Epilogue};
use slimfit_kernels::loss::{self, Link, Loss, Weights};
use slimfit_kernels::optim::{self, Penalty};
use slimfit_kernels::{Error, Level, MatMut, MatRef, reduce};

mod predict;
mod products;
mod workspace;

pub use products::LayerProducts;
pub use workspace::Workspace;

use crate::init::Initializer;
use crate::optimizer::{Optimizer, Segment, Update};
use crate::{Executor, parallel};
use workspace::{
    Lengths, Stage, off_end, part_before, split_off_end, split_off_start, split_off_start_mut,
};

/// Several columns of a δ of at most so many numbers, which the nearest caches hold, are summed by a
/// product with a row of ones: less time there than the sums that carry their rounding errors.
const SMALL_DELTA: usize = 1 << 14;

/// A dense layer: `activation(x W + b)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Columns of the input.
    pub inputs: usize,
    /// Columns of the output: the units of the layer.
    pub outputs: usize,
    /// What is applied to each output.
    pub activation: Activation,
}

impl Layer {
    /// A layer of `outputs` units.
    #[must_use]
    pub const fn new(inputs: usize, outputs: usize, activation: Activation) -> Self {
        Self { inputs, outputs, activation }
    }

    /// Number of weights, biases left out.
    #[must_use]
    pub const fn weight_len(&self) -> usize {
        self.inputs.saturating_mul(self.outputs)
    }

    /// Number of weights and biases.
    #[must_use]
    pub const fn parameter_len(&self) -> usize {
        self.weight_len().saturating_add(self.outputs)
    }

    /// Whether the product of the backward pass is too long to be written in place.
    const fn is_wide(&self) -> bool {
        self.outputs > gemm::IN_PLACE_K
    }

    const fn saves_derivative(&self) -> bool {
        matches!(self.activation.saves(), Saved::Derivative)
    }
}

/// A network: layers, of which each one's outputs are the next one's inputs.
///
/// Lengths that overflow come out as `usize::MAX`, which no slice has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mlp<'a> {
    layers: &'a [Layer],
    parameter_len: usize,
}

/// The rows of one step.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[rows, inputs]`, row-major.
    pub features: &'a [f32],
    /// `[rows, outputs]`, row-major; for categorical cross-entropy one class index a row.
    pub targets: &'a [f32],
    /// Weights of the rows and classes in the loss.
    pub weights: Weights<'a>,
}

/// What a step does with the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// The loss to make small.
    pub loss: Loss,
    /// How.
    pub optimizer: Optimizer,
    /// L1 and L2 penalties on the weights (not the biases), added to the loss.
    pub penalty: Penalty,
    /// Largest L2 norm of the whole gradient, penalties included; longer ones are scaled down.
    pub clip_norm: Option<f32>,
}

/// The loss of a batch before the step's update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLoss {
    /// Mean loss over the batch.
    pub data: f32,
    /// `l1 Σ|w| + l2 Σw²` over the weights.
    pub penalty: f32,
}

impl StepLoss {
    /// What the step descends on.
    #[must_use]
    pub fn total(self) -> f32 {
        self.data + self.penalty
    }
}

/// The optimizer's memory between steps.
#[derive(Debug)]
pub struct OptimizerState<'s> {
    /// [`Optimizer::state_len`] values, zero before the first step.
    pub values: &'s mut [f32],
    /// Steps taken; zero before the first.
    pub steps: u32,
}

impl<'a> Mlp<'a> {
    /// A network of these layers.
    ///
    /// # Errors
    /// [`Error::Length`] for no layers, [`Error::Shape`] for a layer without inputs or outputs, or
    /// whose inputs are not the outputs of the one before, [`Error::Parameter`] for an activation
    /// whose setting is out of range.
    pub const fn new(layers: &'a [Layer]) -> Result<Self, Error> {
        if layers.is_empty() {
            return Err(Error::Length { what: "layers (at least)", expected: 1, found: 0 });
        }
        let mut parameter_len = 0usize;
        let mut l = 0;
        while l < layers.len() {
            let Layer { inputs, outputs, activation } = layers[l];
            if let Err(error) = activation.check() {
                return Err(error);
            }
            if inputs == 0 || outputs == 0 {
                return Err(Error::Shape {
                    what: "a layer's inputs x outputs (at least)",
                    expected: (1, 1),
                    found: (inputs, outputs),
                });
            }
            if l > 0 && layers[l - 1].outputs != inputs {
                return Err(Error::Shape {
                    what: "a layer's inputs x outputs, after the layer before it",
                    expected: (layers[l - 1].outputs, outputs),
                    found: (inputs, outputs),
                });
            }
            parameter_len = parameter_len.saturating_add(layers[l].parameter_len());
            l += 1;
        }
        Ok(Self { layers, parameter_len })
    }

    /// The layers.
    #[must_use]
    pub const fn layers(&self) -> &'a [Layer] {
        self.layers
    }

    /// Columns of the input.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        match self.layers {
            [first, ..] => first.inputs,
            [] => 0,
        }
    }

    /// Columns of the output.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.last().outputs
    }

    const fn last(&self) -> Layer {
        match self.layers {
            [.., last] => *last,
            // There is none without layers, but an index would be a panic to link.
            [] => Layer::new(0, 0, Activation::Identity),
        }
    }

    /// Number of weights and biases.
    #[must_use]
    pub const fn parameter_len(&self) -> usize {
        self.parameter_len
    }

    /// Length of the slice a [`Workspace`] for training needs: for at most `rows` rows at a time,
    /// on at most `threads` threads (1 without `std`).
    #[must_use]
    pub const fn workspace_len(&self, rows: usize, threads: usize) -> usize {
        let Lengths { outputs, derivatives, last, wide, .. } = Lengths::new(self.layers, rows);
        outputs
            .saturating_add(derivatives)
            .saturating_add(last)
            .saturating_add(wide)
            .saturating_add(self.parameter_len())
            .saturating_add(self.scratch_len(rows, true).saturating_mul(max(threads, 1)))
    }

    /// Length of the workspace slice of [`Mlp::predict`], for at most `rows` rows at a time.
    #[must_use]
    pub const fn predict_len(&self, rows: usize) -> usize {
        Lengths::new(self.layers, rows)
            .hidden
            .saturating_mul(2)
            .saturating_add(self.scratch_len(rows, false))
    }

    /// Scratch for the largest product of a pass.
    const fn scratch_len(&self, rows: usize, backward: bool) -> usize {
        let mut len = 0;
        let mut l = 0;
        while l < self.layers.len() {
            let Layer { inputs, outputs, .. } = self.layers[l];
            len = max(len, gemm::row_major_scratch_len(rows, outputs, inputs));
            if backward {
                len = max(len, gemm::row_major_scratch_len(inputs, outputs, rows));
                if l > 0 {
                    len = max(len, gemm::scratch_len(rows, inputs, outputs));
                }
            }
            l += 1;
        }
        len
    }

    /// Draws weights for every layer and sets the biases to zero.
    ///
    /// `None` chooses [`Initializer::for_activation`] layer by layer. The draws depend on the
    /// generator alone, not on the platform.
    ///
    /// # Errors
    /// [`Error::Length`] unless `params` has [`Mlp::parameter_len`] elements.
    pub fn init(
        &self,
        initializer: Option<Initializer>,
        rng: &mut impl Rng,
        params: &mut [f32],
    ) -> Result<(), Error> {
        self.check_params(params)?;
        let mut rest = params;
        for layer in self.layers {
            let weights = split_off_start_mut(&mut rest, layer.weight_len());
            let biases = split_off_start_mut(&mut rest, layer.outputs);
            initializer.unwrap_or(Initializer::for_activation(layer.activation)).fill(
                layer.inputs,
                layer.outputs,
                rng,
                weights,
            );
            biases.fill(0.0);
        }
        Ok(())
    }

    /// Computes the outputs of every layer for `features`, `[rows, inputs]` row-major.
    ///
    /// # Errors
    /// [`Error::Length`] if `features` is not whole rows, or more than the workspace has room for,
    /// or `params` is not [`Mlp::parameter_len`] long.
    pub fn forward<E: Executor>(
        &self,
        executor: &E,
        params: &[f32],
        features: &[f32],
        workspace: &mut Workspace<'_>,
    ) -> Result<(), Error> {
        self.check_params(params)?;
        let rows = self.check_features(features)?;
        workspace.start(self, rows)?;
        let products = workspace.products(executor.level());
        let mut below = features;
        let mut outputs = &mut *workspace.outputs;
        let mut derivatives = &mut *workspace.derivatives;
        let layers = self.layers.iter().zip(self.split_params(params));
        for (l, (layer, (weights, biases))) in layers.enumerate() {
            let len = rows * layer.outputs;
            let out = split_off_start_mut(&mut outputs, len);
            let mut saved =
                layer.saves_derivative().then(|| split_off_start_mut(&mut derivatives, len));
            let z = saved.as_deref_mut().unwrap_or(&mut *out);
            if let Some(of) = products.get(l) {
                of.forward.run(below, weights, z, biases, workspace.scratch)?;
            } else {
                let lhs = MatRef::new(below, rows, layer.inputs)?;
                let rhs = MatRef::new(weights, layer.inputs, layer.outputs)?;
                let c = MatMut::new(z, rows, layer.outputs)?;
                let epilogue = if layer.saves_derivative() {
                    Epilogue::Bias(biases)
                } else {
                    Epilogue::BiasActivation(biases, layer.activation)
                };
                parallel::gemm(executor, 1.0, lhs, rhs, 0.0, c, epilogue, workspace.scratch)?;
            }
            if let Some(z) = saved {
                parallel::forward_with_derivative(executor, layer.activation, z, out)?;
            }
            below = out;
        }
        workspace.stage = Stage::Forward;
        Ok(())
    }

    /// The mean loss of the last [`Mlp::forward`], whose gradient it leaves for [`Mlp::backward`].
    ///
    /// # Errors
    /// What [`loss::loss_and_gradient`] refuses, and [`Error::Combination`] if a cross-entropy,
    /// which takes logits, meets a last layer with an activation.
    pub fn loss<E: Executor>(
        &self,
        executor: &E,
        loss: Loss,
        targets: &[f32],
        weights: Weights<'_>,
        workspace: &mut Workspace<'_>,
    ) -> Result<f32, Error> {
        self.check_loss(loss)?;
        workspace.check(self, Stage::Forward)?;
        if workspace.stage == Stage::Backward {
            return Err(Error::Combination(
                "`backward` has used up what the last `forward` has left",
            ));
        }
        workspace.stage = Stage::Forward;
        let level = executor.level();
        let Workspace { rows, outputs, derivatives, delta, .. } = workspace;
        let last = self.last();
        let len = *rows * last.outputs;
        let outputs = part_before(outputs, *rows * self.output_columns(), len);
        let delta = delta.get_mut(..len).unwrap_or_default();
        let value =
            loss::loss_and_gradient(level, loss, outputs, last.outputs, targets, weights, delta)?;
        if last.activation != Activation::Identity {
            let saved = if last.saves_derivative() {
                part_before(derivatives, *rows * self.derivative_columns(), len)
            } else {
                outputs
            };
            activation::backward(level, last.activation, saved, delta)?;
        }
        workspace.stage = Stage::Loss;
        Ok(value)
    }

    /// The gradient of the last [`Mlp::loss`] by all parameters, into [`Workspace::gradient`].
    ///
    /// The δ of a layer takes the place of what the forward pass saved there, so that another pass
    /// down needs another forward pass before; the outputs of the last layer stay.
    ///
    /// # Errors
    /// As [`Mlp::forward`], whose `params` and `features` it takes again, and
    /// [`Error::Combination`] if there was no loss since the last call.
    pub fn backward<E: Executor>(
        &self,
        executor: &E,
        params: &[f32],
        features: &[f32],
        workspace: &mut Workspace<'_>,
    ) -> Result<(), Error> {
        self.check_params(params)?;
        workspace.check(self, Stage::Loss)?;
        if workspace.stage == Stage::Backward {
            return Err(Error::Combination(
                "`backward` has used up the gradient of the last `loss`",
            ));
        }
        let rows = self.check_features(features)?;
        if rows != workspace.rows {
            return Err(Error::Length {
                what: "feature rows",
                expected: workspace.rows,
                found: rows,
            });
        }
        let products = workspace.products(executor.level());
        let Workspace { outputs, derivatives, delta, wide, gradient, scratch, .. } = workspace;
        let mut outputs = outputs.get_mut(..rows * self.output_columns()).unwrap_or_default();
        let mut derivatives =
            derivatives.get_mut(..rows * self.derivative_columns()).unwrap_or_default();
        let mut gradient = &mut **gradient;
        let mut params = params;
        let mut delta = delta.get(..rows * self.outputs()).unwrap_or_default();
        let mut wide = &mut **wide;

        // From the last layer down: each takes its part off the end of every slice.
        split_off_end(&mut outputs, rows * self.outputs());
        if self.last().saves_derivative() {
            split_off_end(&mut derivatives, rows * self.outputs());
        }
        for (l, layer) in self.layers.iter().enumerate().rev() {
            let below = l.checked_sub(1).and_then(|l| self.layers.get(l));
            let Layer { inputs, outputs: units, .. } = *layer;
            let (rest, layer_params) = off_end(params, layer.parameter_len());
            params = rest;
            let weights = layer_params.get(..layer.weight_len()).unwrap_or_default();
            let mut grad_biases = split_off_end(&mut gradient, layer.parameter_len());
            let grad_weights = split_off_start_mut(&mut grad_biases, layer.weight_len());

            let below_outputs = match below {
                Some(_) => split_off_end(&mut outputs, rows * inputs),
                None => &mut [],
            };
            let x = if below.is_some() { &*below_outputs } else { features };
            let of = products.get(l);
            if let Some(of) = of {
                of.weights.run(x, delta, grad_weights, &[], scratch)?;
            } else {
                let lhs = MatRef::new(x, rows, inputs)?.t();
                let rhs = MatRef::new(delta, rows, units)?;
                let c = MatMut::new(grad_weights, inputs, units)?;
                parallel::gemm(executor, 1.0, lhs, rhs, 0.0, c, Epilogue::None, scratch)?;
            }
            bias_gradient(executor, of, delta, rows, grad_biases, scratch)?;

            if let Some(below) = below {
                let saved = if below.saves_derivative() {
                    split_off_end(&mut derivatives, rows * inputs)
                } else {
                    below_outputs
                };
                let (out, saved): (&mut [f32], &[f32]) = if layer.is_wide() {
                    (split_off_end(&mut wide, rows * inputs), saved)
                } else {
                    (saved, &[])
                };
                if let Some(product) = of.and_then(|of| of.below.as_ref()) {
                    product.run(delta, weights, out, saved, scratch)?;
                } else {
                    let epilogue = if layer.is_wide() {
                        let saved = MatRef::new(saved, rows, inputs)?;
                        Epilogue::Derivative(below.activation, saved)
                    } else {
                        Epilogue::DerivativeInPlace(below.activation)
                    };
                    let lhs = MatRef::new(delta, rows, units)?;
                    let rhs = MatRef::new(weights, inputs, units)?.t();
                    let c = MatMut::new(out, rows, inputs)?;
                    parallel::gemm(executor, 1.0, lhs, rhs, 0.0, c, epilogue, scratch)?;
                }
                delta = out;
            }
        }
        workspace.stage = Stage::Backward;
        Ok(())
    }

    /// Lets the optimizer change the parameters by [`Workspace::gradient`].
    ///
    /// # Errors
    /// [`Error::Length`] for slices of the wrong length, [`Error::Parameter`] for settings out of
    /// range; nothing is changed then.
    pub fn update<E: Executor>(
        &self,
        executor: &E,
        options: &StepOptions,
        params: &mut [f32],
        state: &mut OptimizerState<'_>,
        workspace: &Workspace<'_>,
    ) -> Result<(), Error> {
        self.check_params(params)?;
        self.check_state(options, state)?;
        let step = state.steps.saturating_add(1);
        let update = Update::of_step(&options.optimizer, step, options.penalty)?;
        self.update_by(executor, options, update, params, state, workspace)
    }

    /// [`Mlp::update`] by that of the weights, after the checks.
    ///
    /// Inlined, and with one call of the optimizer, so that of a program whose options are constants
    /// nothing is linked but what these ask for.
    #[inline(always)]
    fn update_by<E: Executor>(
        &self,
        executor: &E,
        options: &StepOptions,
        update: Update,
        params: &mut [f32],
        state: &mut OptimizerState<'_>,
        workspace: &Workspace<'_>,
    ) -> Result<(), Error> {
        let StepOptions { optimizer, penalty, clip_norm, .. } = *options;
        workspace.check(self, Stage::Backward)?;
        let grad = workspace.gradient();
        let grad_scale = match clip_norm {
            Some(limit) => self.clip_scale(executor.level(), penalty, limit, grad, params)?,
            None => 1.0,
        };
        let on_weights = update.scaled(grad_scale);
        let (first, second) = optimizer.split_state(params.len(), state.values);
        let mut rest = Segment { grad, params, first, second };
        let on_biases = match on_weights.on_biases() {
            // Each thread then updates the rows of weights whose gradient it has computed, if that was by rows.
            None if Update::pieces(executor, grad.len()) > 1 => Some(on_weights),
            on_biases => on_biases,
        };
        // All at once if biases are updated like weights, else the weights and biases of each layer.
        let parts = if on_biases.is_some() { 2 * self.layers.len() } else { 1 };
        for part in 0..parts {
            let (update, len) = match (&on_biases, self.layers.get(part / 2)) {
                (Some(on_biases), Some(layer)) if part % 2 == 1 => (on_biases, layer.outputs),
                (Some(_), Some(layer)) => (&on_weights, layer.weight_len()),
                _ => (&on_weights, grad.len()),
            };
            update.run(executor, rest.split_off(len))?;
        }
        state.steps = state.steps.saturating_add(1);
        Ok(())
    }

    /// Forward, loss, backward, update.
    ///
    /// # Errors
    /// As the four calls; the parameters and the optimizer's state are unchanged then. A loss that is
    /// not finite is no error: the update goes on with what comes of it.
    pub fn step<E: Executor>(
        &self,
        executor: &E,
        options: &StepOptions,
        batch: Batch<'_>,
        params: &mut [f32],
        state: &mut OptimizerState<'_>,
        workspace: &mut Workspace<'_>,
    ) -> Result<StepLoss, Error> {
        self.check_state(options, state)?;
        // First, as it is a chain of scalar functions: the products go on beside it.
        let step = state.steps.saturating_add(1);
        let update = Update::of_step(&options.optimizer, step, options.penalty)?;
        self.forward(executor, params, batch.features, workspace)?;
        let level = executor.level();
        let data = self.loss(executor, options.loss, batch.targets, batch.weights, workspace)?;
        let penalty = self.penalty(level, options.penalty, params)?;
        self.backward(executor, params, batch.features, workspace)?;
        self.update_by(executor, options, update, params, state, workspace)?;
        Ok(StepLoss { data, penalty })
    }

    /// `l1 Σ|w| + l2 Σw²` over all weights.
    ///
    /// # Errors
    /// [`Error::Length`] unless `params` has [`Mlp::parameter_len`] elements, [`Error::Parameter`]
    /// for a negative or NaN factor.
    pub fn penalty(&self, level: Level, penalty: Penalty, params: &[f32]) -> Result<f32, Error> {
        self.check_params(params)?;
        let mut sum = 0.0;
        if penalty != Penalty::default() {
            for (weights, _) in self.split_params(params) {
                sum += optim::penalty(level, weights, penalty)?;
            }
        }
        Ok(sum)
    }

    /// The factor that brings the gradient's norm, penalties included, down to `limit`.
    fn clip_scale(
        &self,
        level: Level,
        penalty: Penalty,
        limit: f32,
        grad: &[f32],
        params: &[f32],
    ) -> Result<f32, Error> {
        let mut squares = 0.0;
        for ((weights, _), (grad_weights, grad_biases)) in
            self.split_params(params).zip(self.split_params(grad))
        {
            squares += optim::gradient_sum_squares(level, grad_weights, weights, penalty)?;
            squares += reduce::sum_squares(level, grad_biases);
        }
        optim::clip_scale(squares, limit)
    }

    /// Each layer's weights and biases.
    fn split_params<'p>(
        &self,
        mut params: &'p [f32],
    ) -> impl Iterator<Item = (&'p [f32], &'p [f32])> {
        self.layers.iter().map(move |layer| {
            let weights = split_off_start(&mut params, layer.weight_len());
            (weights, split_off_start(&mut params, layer.outputs))
        })
    }

    fn output_columns(&self) -> usize {
        self.layers.iter().map(|layer| layer.outputs).sum()
    }

    fn derivative_columns(&self) -> usize {
        self.layers.iter().filter(|layer| layer.saves_derivative()).map(|layer| layer.outputs).sum()
    }

    pub(crate) fn check_params(&self, params: &[f32]) -> Result<(), Error> {
        let (expected, found) = (self.parameter_len(), params.len());
        if expected == found {
            Ok(())
        } else {
            Err(Error::Length { what: "parameters", expected, found })
        }
    }

    fn check_features(&self, features: &[f32]) -> Result<usize, Error> {
        let inputs = self.inputs();
        let rows = features.len().checked_div(inputs).unwrap_or(0);
        if rows == 0 || rows * inputs != features.len() {
            let expected = rows.saturating_add(1).saturating_mul(inputs);
            return Err(Error::Length {
                what: "features (whole rows)",
                expected,
                found: features.len(),
            });
        }
        Ok(rows)
    }

    pub(crate) fn check_loss(&self, loss: Loss) -> Result<(), Error> {
        if loss.link() == Link::Identity || self.last().activation == Activation::Identity {
            return Ok(());
        }
        Err(Error::Combination(
            "a cross-entropy takes logits: the last layer's activation must be the identity \
             (sigmoid and softmax are applied by the loss and by `predict`)",
        ))
    }

    fn check_state(&self, options: &StepOptions, state: &OptimizerState<'_>) -> Result<(), Error> {
        let expected = options.optimizer.state_len(self.parameter_len());
        let found = state.values.len();
        if expected != found {
            return Err(Error::Length { what: "optimizer state", expected, found });
        }
        // `clip_scale` would say so too, but under its own name and after the work.
        match options.clip_norm {
            Some(limit) if !(limit > 0.0) => {
                Err(Error::Parameter { what: "clip_norm", expected: "above 0", found: limit })
            }
            _ => Ok(()),
        }
    }
}

/// The column sums of δ, which has `rows` rows.
#[inline]
fn bias_gradient<E: Executor>(
    executor: &E,
    prepared: Option<&LayerProducts>,
    delta: &[f32],
    rows: usize,
    out: &mut [f32],
    scratch: &mut [f32],
) -> Result<(), Error> {
    if rows == 1 {
        // A sum begins with zero, which turns -0 into 0.
        for (sum, delta) in out.iter_mut().zip(delta) {
            *sum = *delta + 0.0;
        }
        return Ok(());
    }
    let units = out.len();
    if delta.len() > SMALL_DELTA {
        return parallel::column_sums(executor, MatRef::new(delta, rows, units)?, out);
    }
    match (out, prepared) {
        ([sum], _) => {
            *sum = reduce::sum(executor.level(), delta);
            Ok(())
        }
        (out, Some(of)) => of.biases.run(&[1.0], delta, out, &[], scratch),
        (out, None) => {
            let ones = MatRef::with_strides(&[1.0], 1, rows, 0, 0)?;
            let delta = MatRef::new(delta, rows, units)?;
            let out = MatMut::new(out, 1, units)?;
            parallel::gemm(executor, 1.0, ones, delta, 0.0, out, Epilogue::None, scratch)
        }
    }
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}
