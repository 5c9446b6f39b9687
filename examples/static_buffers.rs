//! Training as a microcontroller does it: every buffer is an array whose length the compiler knows,
//! nothing is allocated, and nothing here needs `std` but the printing.
//!
//! ```sh
//! cargo run --release --example static_buffers
//! ```

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use slimfit::kernels::loss::Weights;
use slimfit::kernels::optim::{Adam, Penalty};
use slimfit::{
    Activation, Batch, KernelError, Layer, Level, Loss, Mlp, Optimizer, OptimizerState,
    StepOptions, Workspace,
};

const LAYERS: [Layer; 2] =
    [Layer::new(2, 8, Activation::Tanh), Layer::new(8, 1, Activation::Identity)];
const XOR: Mlp<'static> = match Mlp::new(&LAYERS) {
    Ok(mlp) => mlp,
    Err(_) => panic!("the layers do not fit together"),
};
const ROWS: usize = 4;
const PARAMETERS: usize = XOR.parameter_len();
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

fn main() -> Result<(), KernelError> {
    let features = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let targets = [0.0, 1.0, 1.0, 0.0];
    let mut params = [0.0; PARAMETERS];
    let mut moments = [0.0; OPTIONS.optimizer.state_len(PARAMETERS)];
    let mut buffer = [0.0; XOR.workspace_len(ROWS, 1)];
    println!(
        "{PARAMETERS} parameters; {} bytes in all",
        4 * (params.len() + moments.len() + buffer.len())
    );

    let level = Level::detect();
    XOR.init(None, &mut ChaCha8Rng::seed_from_u64(1), &mut params)?;
    let mut state = OptimizerState { values: &mut moments, steps: 0 };
    let mut workspace = Workspace::new(&XOR, ROWS, &mut buffer)?;
    let batch = Batch { features: &features, targets: &targets, weights: Weights::default() };
    for step in 0..=300 {
        let loss = XOR.step(&level, &OPTIONS, batch, &mut params, &mut state, &mut workspace)?;
        if step % 100 == 0 {
            println!("step {step}: loss {:.4}", loss.data);
        }
    }

    let mut probabilities = [0.0; ROWS];
    let mut space = [0.0; XOR.predict_len(ROWS)];
    let link = OPTIONS.loss.link();
    XOR.predict(level, link, &params, &features, &mut probabilities, &mut space)?;
    println!("probabilities {probabilities:.3?} for {targets:?}");
    Ok(())
}
