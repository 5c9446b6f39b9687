//! The recipe: 30-32-16-1, binary cross-entropy, Adam, in buffers whose lengths the compiler knows.

use rand_pcg::Pcg32;
use slimfit::kernels::loss::Weights;
use slimfit::kernels::optim::{Adam, Penalty};
use slimfit::{
    Activation, Batch, KernelError, Layer, Level, Loss, Mlp, Optimizer, OptimizerState,
    StepOptions, Workspace,
};

/// A slice of the data set: see `build.rs`.
mod data {
    include!(concat!(env!("OUT_DIR"), "/data.rs"));
}

pub const LAYERS: [Layer; 3] = [
    Layer::new(30, 32, Activation::Relu),
    Layer::new(32, 16, Activation::Relu),
    Layer::new(16, 1, Activation::Identity),
];
pub const NETWORK: Mlp<'static> = match Mlp::new(&LAYERS) {
    Ok(mlp) => mlp,
    Err(_) => panic!("the layers do not fit together"),
};
pub const OPTIONS: StepOptions = StepOptions {
    loss: Loss::BinaryCrossEntropy,
    optimizer: Optimizer::Adam(Adam {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.0,
    }),
    penalty: Penalty::NONE,
    clip_norm: None,
};
pub const INPUTS: usize = NETWORK.inputs();
pub const PARAMETERS: usize = NETWORK.parameter_len();
pub const STATE: usize = OPTIONS.optimizer.state_len(PARAMETERS);

/// Everything that training in batches of at most `ROWS` rows writes to.
pub struct Trainer<const WORKSPACE: usize> {
    pub params: [f32; PARAMETERS],
    pub moments: [f32; STATE],
    pub steps: u32,
    pub workspace: [f32; WORKSPACE],
}

impl<const WORKSPACE: usize> Trainer<WORKSPACE> {
    /// All zero, so that a `static` of it costs no flash.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            params: [0.0; PARAMETERS],
            moments: [0.0; STATE],
            steps: 0,
            workspace: [0.0; WORKSPACE],
        }
    }

    /// Draws the weights.
    pub fn init(&mut self, seed: u64) -> Result<(), KernelError> {
        NETWORK.init(None, &mut Pcg32::new(seed, 0), &mut self.params)
    }

    /// One step; returns the loss before it.
    pub fn step(&mut self, features: &[f32], targets: &[f32]) -> Result<f32, KernelError> {
        let mut state = OptimizerState { values: &mut self.moments, steps: self.steps };
        let mut workspace = Workspace::new(&NETWORK, targets.len(), &mut self.workspace)?;
        let batch = Batch { features, targets, weights: Weights::default() };
        let level = Level::detect();
        let loss =
            NETWORK.step(&level, &OPTIONS, batch, &mut self.params, &mut state, &mut workspace)?;
        self.steps = state.steps;
        Ok(loss.data)
    }
}

impl<const WORKSPACE: usize> Default for Trainer<WORKSPACE> {
    fn default() -> Self {
        Self::new()
    }
}

/// Probabilities of the rows of `features`.
pub fn predict(
    params: &[f32],
    features: &[f32],
    out: &mut [f32],
    workspace: &mut [f32],
) -> Result<(), KernelError> {
    NETWORK.predict(Level::detect(), OPTIONS.loss.link(), params, features, out, workspace)
}

/// Probability of one row.
pub fn predict_row(
    params: &[f32],
    features: &[f32],
    workspace: &mut [f32],
) -> Result<f32, KernelError> {
    let mut out = [0.0];
    let (level, link) = (Level::detect(), OPTIONS.loss.link());
    NETWORK.predict_row(level, link, params, features, &mut out, workspace)?;
    Ok(out[0])
}

/// Rows of a batch.
pub const BATCH: usize = 32;
pub const WORKSPACE: usize = NETWORK.workspace_len(BATCH, 1);

/// The rows, [`BATCH`] at a time. (`chunks` has a division that could panic, for all the compiler knows.)
fn batches_of<'a>(
    mut features: &'a [f32],
    mut targets: &'a [f32],
) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
    core::iter::from_fn(move || {
        let rows = targets.len().min(BATCH);
        let targets = targets.split_off(..rows).filter(|targets| !targets.is_empty())?;
        Some((features.split_off(..rows * INPUTS)?, targets))
    })
}

/// Trains for `epochs` epochs in the order of the rows, telling the mean loss of each, and returns
/// the share of the test rows that is classified right.
pub fn train(
    trainer: &mut Trainer<WORKSPACE>,
    epochs: u32,
    mut tell: impl FnMut(u32, f32),
) -> Result<f32, KernelError> {
    trainer.init(42)?;
    for epoch in 0..epochs {
        let (mut sum, mut batches) = (0.0, 0.0);
        for (features, targets) in batches_of(&data::TRAIN_FEATURES, &data::TRAIN_TARGETS) {
            sum += trainer.step(features, targets)?;
            batches += 1.0;
        }
        tell(epoch, sum / batches);
    }
    let mut right = 0.0;
    for (features, targets) in batches_of(&data::TEST_FEATURES, &data::TEST_TARGETS) {
        let mut out = [0.0; BATCH];
        let out = out.get_mut(..targets.len()).unwrap_or_default();
        predict(&trainer.params, features, out, &mut trainer.workspace)?;
        for (out, target) in out.iter().zip(targets) {
            right += f32::from((*out > 0.5) == (*target > 0.5));
        }
    }
    Ok(right / data::TEST_TARGETS.len() as f32)
}

/// The first rows of the training data.
#[must_use]
pub fn rows(count: usize) -> (&'static [f32], &'static [f32]) {
    let features = data::TRAIN_FEATURES.get(..count * INPUTS).unwrap_or_default();
    (features, data::TRAIN_TARGETS.get(..count).unwrap_or_default())
}

/// FNV-1a over the bits, to compare two machines by.
pub struct Fnv(pub u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    pub fn add(&mut self, values: &[f32]) {
        for byte in values.iter().flat_map(|x| x.to_bits().to_le_bytes()) {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
}
