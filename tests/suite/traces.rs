//! Step by step against training runs that PyTorch computed in float64; see
//! `tests/data/traces/README.md`.

use std::path::Path;

use safetensors::{SafeTensors, tensor::Metadata};
use serde_json::Value;
use slimfit::kernels::loss::{Loss, Weights};
use slimfit::kernels::optim::{AdaGrad, Adam, Momentum, Penalty, Sgd};
use slimfit::{
    Activation, Batch, Layer, Level, Mlp, Optimizer, OptimizerState, StepOptions, Workspace,
};

/// Largest relative error of a step's loss.
const LOSS_TOLERANCE: f64 = 5e-6;
/// Largest error of a final parameter, relative to the largest of them.
const PARAMETER_TOLERANCE: f64 = 1e-5;

struct Trace {
    layers: Vec<Layer>,
    options: StepOptions,
    batch: usize,
    steps: usize,
    bytes: Vec<u8>,
}

impl Trace {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/data/traces/{name}.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata): (usize, Metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = &metadata.metadata().as_ref().unwrap()["config"];
        let config: Value = serde_json::from_str(config).unwrap();
        let number = |value: &Value| value.as_f64().unwrap() as f32;
        let count = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();

        let dims: Vec<usize> = config["dims"].as_array().unwrap().iter().map(count).collect();
        let activations =
            config["acts"].as_array().unwrap().iter().map(|name| match name.as_str().unwrap() {
                "relu" => Activation::Relu,
                "tanh" => Activation::Tanh,
                "sigmoid" => Activation::Sigmoid,
                "elu" => Activation::Elu(1.0),
                "gelu" => Activation::Gelu,
                "silu" => Activation::Silu,
                "softplus" => Activation::Softplus,
                other => panic!("activation {other}"),
            });
        let layers = dims
            .windows(2)
            .zip(activations.chain([Activation::Identity]))
            .map(|(io, activation)| Layer::new(io[0], io[1], activation))
            .collect();

        let opt = &config["opt"];
        let learning_rate = number(&opt["lr"]);
        let optimizer = match opt["kind"].as_str().unwrap() {
            "sgd" if number(&opt["momentum"]) == 0.0 => Optimizer::Sgd(Sgd { learning_rate }),
            "sgd" => Optimizer::Momentum(Momentum {
                learning_rate,
                momentum: number(&opt["momentum"]),
                nesterov: opt["nesterov"].as_bool().unwrap(),
            }),
            "adam" => Optimizer::Adam(Adam {
                learning_rate,
                beta1: number(&opt["b1"]),
                beta2: number(&opt["b2"]),
                epsilon: number(&opt["eps"]),
                decay: number(&opt["decay"]),
            }),
            "adagrad" => {
                Optimizer::AdaGrad(AdaGrad { learning_rate, epsilon: number(&opt["eps"]) })
            }
            other => panic!("optimizer {other}"),
        };
        let loss = match config["loss"].as_str().unwrap() {
            "bce" => Loss::BinaryCrossEntropy,
            "ce" => Loss::CategoricalCrossEntropy,
            "mse" => Loss::MeanSquaredError,
            other => panic!("loss {other}"),
        };
        let penalty = Penalty { l1: number(&config["l1"]), l2: number(&config["l2"]) };
        let clip_norm = config["clip"].as_f64().map(|clip| clip as f32);
        let options = StepOptions { loss, optimizer, penalty, clip_norm };
        Self {
            layers,
            options,
            batch: count(&config["batch"]),
            steps: count(&config["steps"]),
            bytes,
        }
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// `w0, b0, w1, b1, …`, each with `suffix`.
    fn parameters(&self, suffix: &str) -> Vec<f32> {
        (0..self.layers.len())
            .flat_map(|l| [format!("w{l}{suffix}"), format!("b{l}{suffix}")])
            .flat_map(|name| self.tensor(&name))
            .collect()
    }

    /// Trains along the trace; returns the largest errors of a loss and of a final parameter.
    fn follow(&self, level: Level) -> (f64, f64) {
        let mlp = Mlp::new(&self.layers).unwrap();
        let (x, y) = (self.tensor("x"), self.tensor("y"));
        let (data_losses, total_losses) = (self.tensor("data_loss"), self.tensor("total_loss"));
        assert_eq!(data_losses.len(), self.steps);
        let rows = x.len() / mlp.inputs();
        let target_columns = y.len() / rows;
        // All batches of these traces are runs of rows that do not wrap around within the batch.
        assert_eq!(rows % self.batch, 0);

        let mut params = self.parameters("");
        let mut values = vec![0.0; self.options.optimizer.state_len(params.len())];
        let mut state = OptimizerState { values: &mut values, steps: 0 };
        let mut buffer = vec![f32::NAN; mlp.workspace_len(self.batch, 1)];
        let mut workspace = Workspace::new(&mlp, self.batch, &mut buffer).unwrap();
        let mut worst_loss = 0.0f64;
        for step in 0..self.steps {
            let from = step * self.batch % rows;
            let to = from + self.batch;
            let batch = Batch {
                features: &x[from * mlp.inputs()..to * mlp.inputs()],
                targets: &y[from * target_columns..to * target_columns],
                weights: Weights::default(),
            };
            let loss = mlp
                .step(&level, &self.options, batch, &mut params, &mut state, &mut workspace)
                .unwrap();
            for (found, expected) in
                [(loss.data, data_losses[step]), (loss.total(), total_losses[step])]
            {
                let error = f64::from(found - expected).abs() / f64::from(expected);
                assert!(!error.is_nan(), "step {step}: {found} for {expected}");
                worst_loss = worst_loss.max(error);
            }
        }
        let expected = self.parameters("_end");
        assert_eq!(params.len(), expected.len());
        assert!(params.iter().all(|param| param.is_finite()));
        let largest = expected.iter().fold(0.0f32, |max, w| max.max(w.abs()));
        let worst = params.iter().zip(&expected).fold(0.0f32, |max, (w, e)| max.max((w - e).abs()));
        (worst_loss, f64::from(worst / largest))
    }
}

fn check(name: &str) {
    let trace = Trace::read(name);
    for level in Level::available() {
        let (loss, parameter) = trace.follow(level);
        println!("{name:24} {level:9} loss {loss:.1e}  parameters {parameter:.1e}");
        assert!(loss <= LOSS_TOLERANCE, "{name} at {level}: loss is off by {loss:e}");
        assert!(parameter <= PARAMETER_TOLERANCE, "{name} at {level}: parameters by {parameter:e}");
    }
}

macro_rules! traces {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}

traces! {
    seed_bce_adam
    seed_bce_sgd_l1
    seed_bce_gd_full_batch
    mse_momentum_l2
    mse_nesterov_elastic
    ce_adamw_gelu
    ce_adagrad_silu
    ce_adam_sigmoid_clip
}
