//! The smallest problem that needs a hidden layer.

use rand_pcg::Pcg32;
use slimfit::kernels::loss::{Link, Weights};
use slimfit::kernels::optim::{Adam, Penalty};
use slimfit::{
    Activation, Batch, KernelError, Layer, Level, Loss, Mlp, Optimizer, OptimizerState,
    StepOptions, Workspace,
};

const LAYERS: [Layer; 2] =
    [Layer::new(2, 8, Activation::Relu), Layer::new(8, 1, Activation::Identity)];
const NETWORK: Mlp<'static> = match Mlp::new(&LAYERS) {
    Ok(mlp) => mlp,
    Err(_) => panic!("the layers do not fit together"),
};
const OPTIONS: StepOptions = StepOptions {
    loss: Loss::BinaryCrossEntropy,
    optimizer: Optimizer::Adam(Adam {
        learning_rate: 0.05,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.0,
    }),
    penalty: Penalty::NONE,
    clip_norm: None,
};
const PARAMETERS: usize = NETWORK.parameter_len();
const ROWS: usize = 4;

/// Trains for `steps` steps; returns the last loss and how many of the four answers are right.
pub fn train(steps: u32) -> Result<(f32, u32), KernelError> {
    let features = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let targets = [0.0, 1.0, 1.0, 0.0];
    let level = Level::detect();
    let mut params = [0.0; PARAMETERS];
    let mut moments = [0.0; OPTIONS.optimizer.state_len(PARAMETERS)];
    let mut buffer = [0.0; NETWORK.workspace_len(ROWS, 1)];
    NETWORK.init(None, &mut Pcg32::new(7, 0), &mut params)?;
    let mut loss = 0.0;
    let mut state = OptimizerState { values: &mut moments, steps: 0 };
    let mut workspace = Workspace::new(&NETWORK, ROWS, &mut buffer)?;
    let batch = Batch { features: &features, targets: &targets, weights: Weights::default() };
    for _ in 0..steps {
        let found =
            NETWORK.step(&level, &OPTIONS, batch, &mut params, &mut state, &mut workspace)?;
        loss = found.data;
    }
    let mut answers = [0.0; ROWS];
    NETWORK.predict(level, Link::Sigmoid, &params, &features, &mut answers, &mut buffer)?;
    let right = answers.iter().zip(targets).filter(|(found, t)| (**found > 0.5) == (*t > 0.5));
    Ok((loss, right.count() as u32))
}
