//! The network: gradients against differences, buffers, refusals, and equal bits.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use slimfit::kernels::loss::{Link, Loss, Weights};
use slimfit::kernels::optim::{AdaGrad, Adam, Momentum, Penalty, Sgd};
use slimfit::{
    Activation, Batch, KernelError, Layer, Level, Mlp, Optimizer, OptimizerState, Rayon,
    StepOptions, Workspace,
};

use crate::common;

/// Numbers in [-1, 1) that look random.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = vec![0; 4 * len];
    rand_core::Rng::fill_bytes(&mut rng, &mut bytes);
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| (u32::from_le_bytes(*word) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

const ACTIVATIONS: [Activation; 9] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Elu(1.0),
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
    Activation::Softplus,
];

fn targets(loss: Loss, rows: usize, columns: usize) -> Vec<f32> {
    match loss {
        Loss::CategoricalCrossEntropy => (0..rows).map(|row| (row % columns) as f32).collect(),
        Loss::BinaryCrossEntropy => (0..rows * columns).map(|i| (i % 2) as f32).collect(),
        _ => noise(rows * columns, 77),
    }
}

struct Net {
    layers: Vec<Layer>,
    params: Vec<f32>,
}

impl Net {
    fn new(sizes: &[usize], hidden: Activation, last: Activation) -> Self {
        let count = sizes.len() - 1;
        let layers: Vec<_> = sizes
            .windows(2)
            .enumerate()
            .map(|(l, io)| Layer::new(io[0], io[1], if l + 1 == count { last } else { hidden }))
            .collect();
        let mlp = Mlp::new(&layers).unwrap();
        let mut params = vec![f32::NAN; mlp.parameter_len()];
        mlp.init(None, &mut ChaCha8Rng::seed_from_u64(5), &mut params).unwrap();
        // Biases start at zero; others show a bias that is left out.
        for (param, noise) in params.iter_mut().zip(noise(mlp.parameter_len(), 6)) {
            *param += 0.1 * noise;
        }
        Self { layers, params }
    }

    fn mlp(&self) -> Mlp<'_> {
        Mlp::new(&self.layers).unwrap()
    }
}

/// Loss of the network in f64, straight from the definitions.
fn loss_in_f64(net: &Net, params: &[f64], loss: Loss, x: &[f32], y: &[f32]) -> f64 {
    let mut h: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let rows = x.len() / net.layers[0].inputs;
    let mut at = 0;
    for layer in &net.layers {
        let (weights, biases) =
            params[at..at + layer.parameter_len()].split_at(layer.inputs * layer.outputs);
        at += layer.parameter_len();
        h = (0..rows * layer.outputs)
            .map(|i| {
                let (row, unit) = (i / layer.outputs, i % layer.outputs);
                let z = biases[unit]
                    + (0..layer.inputs)
                        .map(|k| h[row * layer.inputs + k] * weights[k * layer.outputs + unit])
                        .sum::<f64>();
                common::activation(layer.activation, z)
            })
            .collect();
    }
    let columns = h.len() / rows;
    let sum: f64 = h
        .chunks(columns)
        .enumerate()
        .map(|(row, out)| {
            if loss == Loss::CategoricalCrossEntropy {
                let max = out.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = out.iter().map(|o| (o - max).exp()).sum();
                return max + sum.ln() - out[y[row] as usize];
            }
            let errors = out.iter().zip(&y[row * columns..]).map(|(&o, &y)| {
                let y = f64::from(y);
                match loss {
                    Loss::MeanSquaredError => (o - y).powi(2),
                    Loss::MeanAbsoluteError => (o - y).abs(),
                    Loss::Huber(delta) => {
                        let (size, delta) = ((o - y).abs(), f64::from(delta));
                        if size <= delta { size * size / 2.0 } else { delta * (size - delta / 2.0) }
                    }
                    Loss::BinaryCrossEntropy => o.max(0.0) - o * y + (-o.abs()).exp().ln_1p(),
                    other => panic!("{other:?}"),
                }
            });
            errors.sum::<f64>() / columns as f64
        })
        .sum();
    sum / rows as f64
}

fn options(loss: Loss) -> StepOptions {
    StepOptions {
        loss,
        optimizer: Optimizer::default(),
        penalty: Penalty::default(),
        clip_norm: None,
    }
}

/// The gradient by every `every`th parameter against central differences in f64.
fn check_gradient(net: &Net, loss: Loss, rows: usize, every: usize) {
    let mlp = net.mlp();
    let (x, y) = (noise(rows * mlp.inputs(), 1), targets(loss, rows, mlp.outputs()));
    let params: Vec<f64> = net.params.iter().map(|&p| f64::from(p)).collect();
    for level in Level::available() {
        let mut buffer = vec![f32::NAN; mlp.workspace_len(rows + 2, 1)];
        let mut workspace = Workspace::new(&mlp, rows + 2, &mut buffer).unwrap();
        mlp.forward(&level, &net.params, &x, &mut workspace).unwrap();
        let outputs = workspace.outputs().to_vec();
        let weights = Weights::default();
        let value = mlp.loss(&level, loss, &y, weights, &mut workspace).unwrap();
        mlp.backward(&level, &net.params, &x, &mut workspace).unwrap();
        assert_eq!(workspace.outputs(), outputs);

        let expected = loss_in_f64(net, &params, loss, &x, &y);
        assert!((f64::from(value) - expected).abs() <= 1e-6 * (1.0 + expected));
        for (p, &gradient) in workspace.gradient().iter().enumerate().step_by(every) {
            let at = |delta: f64| {
                let mut moved = params.clone();
                moved[p] += delta;
                loss_in_f64(net, &moved, loss, &x, &y)
            };
            let step = 1e-5;
            let expected = (at(step) - at(-step)) / (2.0 * step);
            let error = (f64::from(gradient) - expected).abs();
            // The differences are good to 1e-9; f32 gives the rest.
            assert!(
                error <= 2e-6 * (1.0 + expected.abs()),
                "{:?} {loss:?} {level}: parameter {p}: {gradient} for {expected}",
                net.layers
            );
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    for hidden in ACTIVATIONS {
        for (loss, outputs, last) in [
            (Loss::MeanSquaredError, 2, Activation::Identity),
            (Loss::MeanSquaredError, 3, Activation::Tanh),
            (Loss::MeanSquaredError, 1, Activation::Gelu),
            (Loss::MeanAbsoluteError, 2, Activation::Identity),
            (Loss::Huber(0.5), 2, Activation::Softplus),
            (Loss::BinaryCrossEntropy, 1, Activation::Identity),
            (Loss::CategoricalCrossEntropy, 4, Activation::Identity),
        ] {
            check_gradient(&Net::new(&[5, 19, 6, outputs], hidden, last), loss, 7, 1);
        }
    }
}

/// Of a single row, whose biases have its δ for a gradient.
#[test]
fn gradients_of_one_row() {
    for (loss, outputs) in [
        (Loss::MeanSquaredError, 3),
        (Loss::BinaryCrossEntropy, 1),
        (Loss::CategoricalCrossEntropy, 4),
    ] {
        let net = Net::new(&[5, 19, 6, outputs], Activation::Gelu, Activation::Identity);
        check_gradient(&net, loss, 1, 1);
    }
}

/// Layers too wide for a backward pass in place, above one another and above narrow ones.
#[test]
fn gradients_of_wide_layers() {
    for hidden in [Activation::Tanh, Activation::Gelu] {
        let net = Net::new(&[2, 3, 520, 514, 4, 2], hidden, Activation::Identity);
        check_gradient(&net, Loss::MeanSquaredError, 2, 1009);
    }
}

const OPTIMIZERS: [Optimizer; 5] = [
    Optimizer::Sgd(Sgd { learning_rate: 0.1 }),
    Optimizer::Momentum(Momentum { learning_rate: 0.05, momentum: 0.9, nesterov: false }),
    Optimizer::Momentum(Momentum { learning_rate: 0.05, momentum: 0.9, nesterov: true }),
    Optimizer::Adam(Adam {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.01,
    }),
    Optimizer::AdaGrad(AdaGrad { learning_rate: 0.05, epsilon: 1e-10 }),
];

/// Parameters after some steps, as bits.
fn train<E: slimfit::Executor>(
    executor: &E,
    net: &Net,
    options: &StepOptions,
    steps: usize,
) -> Vec<u32> {
    train_prepared(executor, net, options, steps, 64)
}

/// The same with products prepared for so many rows, where a step has 64.
fn train_prepared<E: slimfit::Executor>(
    executor: &E,
    net: &Net,
    options: &StepOptions,
    steps: usize,
    prepared_rows: usize,
) -> Vec<u32> {
    let mlp = net.mlp();
    let rows = 64;
    let x = noise(rows * mlp.inputs(), 3);
    let y = targets(options.loss, rows, mlp.outputs());
    let mut params = net.params.clone();
    let mut values = vec![0.0; options.optimizer.state_len(params.len())];
    let mut state = OptimizerState { values: &mut values, steps: 0 };
    let mut buffer = vec![f32::NAN; mlp.workspace_len(rows, executor.threads())];
    let products: Vec<_> = mlp.prepare(executor, prepared_rows).map(Result::unwrap).collect();
    let workspace = Workspace::new(&mlp, rows, &mut buffer).unwrap();
    let mut workspace = workspace.with_products(&products).unwrap();
    for _ in 0..steps {
        let batch = Batch { features: &x, targets: &y, weights: Weights::default() };
        mlp.step(executor, options, batch, &mut params, &mut state, &mut workspace).unwrap();
    }
    params.iter().map(|p| p.to_bits()).collect()
}

#[test]
fn fused_levels_train_to_the_same_bits() {
    let net = Net::new(&[13, 33, 17, 3], Activation::Gelu, Activation::Identity);
    for optimizer in OPTIMIZERS {
        let options = StepOptions {
            optimizer,
            penalty: Penalty { l1: 1e-4, l2: 1e-3 },
            clip_norm: Some(0.5),
            ..options(Loss::CategoricalCrossEntropy)
        };
        let fused = Level::available().filter(|level| level.is_fused());
        let bits: Vec<_> = fused.map(|level| train(&level, &net, &options, 20)).collect();
        // Two, where the machine has the wider one: then it has the narrower one.
        assert!(bits.len() >= 2 || Level::avx512().is_none());
        assert!(bits.windows(2).all(|pair| pair[0] == pair[1]), "{optimizer:?}");
    }
}

#[test]
fn prepared_products_do_not_change_a_bit() {
    for (sizes, hidden) in [
        (&[13, 33, 17, 3][..], Activation::Relu),
        (&[13, 33, 17, 3], Activation::Gelu),
        (&[30, 32, 16, 1], Activation::Relu),
        // Too wide for a product in place.
        (&[5, 20, 600, 2], Activation::Tanh),
        (&[7, 1], Activation::Relu),
    ] {
        let net = Net::new(sizes, hidden, Activation::Identity);
        let options = options(Loss::MeanSquaredError);
        for level in Level::available() {
            let plain = train_prepared(&level, &net, &options, 5, 63);
            let prepared = train_prepared(&level, &net, &options, 5, 64);
            assert!(plain == prepared, "{sizes:?} {hidden:?} at {level}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    // Large enough that products and updates are split.
    let net = Net::new(&[300, 512, 300, 10], Activation::Relu, Activation::Identity);
    for optimizer in OPTIMIZERS {
        let options = StepOptions { optimizer, ..options(Loss::CategoricalCrossEntropy) };
        for level in Level::available() {
            let alone = train(&level, &net, &options, 3);
            for threads in [2, 3, 4, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let shared = pool.install(|| train(&Rayon::here(level), &net, &options, 3));
                assert!(alone == shared, "{optimizer:?} at {level} on {threads} threads");
            }
        }
    }
}

#[test]
fn predictions_are_the_outputs_through_the_link() {
    for (loss, outputs) in [
        (Loss::MeanSquaredError, 3),
        (Loss::BinaryCrossEntropy, 1),
        (Loss::CategoricalCrossEntropy, 4),
    ] {
        let net = Net::new(&[5, 8, outputs], Activation::Silu, Activation::Identity);
        let mlp = net.mlp();
        let x = noise(9 * 5, 1);
        for level in Level::available() {
            let mut buffer = vec![f32::NAN; mlp.workspace_len(9, 1)];
            let mut workspace = Workspace::new(&mlp, 9, &mut buffer).unwrap();
            mlp.forward(&level, &net.params, &x, &mut workspace).unwrap();
            let logits = workspace.outputs().to_vec();
            let mut out = vec![f32::NAN; 9 * outputs];
            let mut space = vec![f32::NAN; mlp.predict_len(9)];
            mlp.predict(level, loss.link(), &net.params, &x, &mut out, &mut space).unwrap();
            for (logits, out) in logits.chunks(outputs).zip(out.chunks(outputs)) {
                let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
                for (&logit, &out) in logits.iter().zip(out) {
                    let logit = f64::from(logit);
                    let expected = match loss.link() {
                        Link::Identity => logit,
                        Link::Sigmoid => 1.0 / (1.0 + (-logit).exp()),
                        Link::Softmax => logit.exp() / sum,
                    };
                    assert!((f64::from(out) - expected).abs() <= 1e-6, "{loss:?} {level}");
                }
            }
        }
    }
}

#[test]
fn the_prediction_of_a_row_has_the_bits_of_a_batch_of_one() {
    for (sizes, link) in [
        (&[5, 1][..], Link::Sigmoid),
        (&[30, 32, 16, 1], Link::Sigmoid),
        (&[7, 3, 9, 2], Link::Identity),
        (&[600, 21, 4], Link::Softmax),
    ] {
        for hidden in ACTIVATIONS {
            let net = Net::new(sizes, hidden, Activation::Identity);
            let mlp = net.mlp();
            let x = noise(mlp.inputs(), 1);
            for level in Level::available() {
                let predict = |alone: bool| {
                    let mut out = vec![f32::NAN; mlp.outputs()];
                    let mut space = vec![f32::NAN; mlp.predict_len(1)];
                    let (params, x) = (&net.params, &x);
                    if alone {
                        mlp.predict_row(level, link, params, x, &mut out, &mut space).unwrap();
                    } else {
                        mlp.predict(level, link, params, x, &mut out, &mut space).unwrap();
                    }
                    out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                assert_eq!(predict(true), predict(false), "{sizes:?} {hidden:?} {level}");
            }
        }
    }
}

#[test]
fn the_prediction_of_a_row_refuses_slices_of_other_lengths() {
    let net = Net::new(&[4, 6, 3], Activation::Tanh, Activation::Identity);
    let mlp = net.mlp();
    let len = mlp.predict_len(1);
    for (params, features, outputs, space, what) in [
        (net.params.len() - 1, 4, 3, len, "parameters"),
        (net.params.len(), 3, 3, len, "features of a row"),
        // Two rows are not one.
        (net.params.len(), 8, 3, len, "features of a row"),
        (net.params.len(), 4, 4, len, "predictions"),
        (net.params.len(), 4, 3, len - 1, "workspace (at least)"),
    ] {
        let (x, mut out, mut space) = (vec![0.5; features], vec![7.0; outputs], vec![0.0; space]);
        let params = &net.params[..params];
        let level = Level::detect();
        let error = mlp.predict_row(level, Link::Identity, params, &x, &mut out, &mut space);
        assert!(
            matches!(error, Err(KernelError::Length { what: of, .. }) if of == what),
            "{what}: {error:?}"
        );
        assert!(out.iter().all(|out| *out == 7.0), "{what}");
    }
}

#[test]
fn refusals_leave_the_parameters_alone() {
    let net = Net::new(&[4, 6, 3], Activation::Tanh, Activation::Identity);
    let mlp = net.mlp();
    let level = Level::detect();
    let x = noise(8, 1);
    let good = options(Loss::CategoricalCrossEntropy);
    let state_len = good.optimizer.state_len(net.params.len());
    let space_len = mlp.workspace_len(2, 1);
    let adam = |change: fn(&mut Adam)| {
        let mut adam = Adam::default();
        change(&mut adam);
        StepOptions { optimizer: Optimizer::Adam(adam), ..good }
    };
    let attempt = |options: StepOptions, x: &[f32], y: &[f32], state_len: usize, steps: u32| {
        let mut params = net.params.clone();
        let mut values = vec![0.0; state_len];
        let mut state = OptimizerState { values: &mut values, steps };
        let mut buffer = vec![0.0; space_len];
        let mut workspace = Workspace::new(&mlp, 2, &mut buffer).unwrap();
        let batch = Batch { features: x, targets: y, weights: Weights::default() };
        let error =
            mlp.step(&level, &options, batch, &mut params, &mut state, &mut workspace).unwrap_err();
        assert_eq!(params, net.params);
        assert_eq!(state.steps, steps);
        assert!(values.iter().all(|&value| value == 0.0));
        error.to_string()
    };
    let y = [0.0, 2.0];
    for (message, named) in [
        (attempt(good, &x[..7], &y, state_len, 0), "features"),
        (attempt(good, &[], &y, state_len, 0), "features"),
        (attempt(good, &noise(12, 1), &[0.0; 3], state_len, 0), "rows of a step (at most)"),
        (attempt(good, &x, &y[..1], state_len, 0), "class indices"),
        (attempt(good, &x, &[0.0, 3.0], state_len, 0), "row 1: 3 is not a class index"),
        (attempt(good, &x, &[0.0, 0.5], state_len, 0), "row 1: 0.5 is not a class index"),
        (attempt(good, &x, &[f32::NAN, 0.0], state_len, 0), "row 0: NaN is not a class index"),
        (attempt(good, &x, &y, state_len - 1, 0), "optimizer state"),
        (attempt(adam(|a| a.learning_rate = f32::NAN), &x, &y, state_len, 0), "learning"),
        (attempt(adam(|a| a.beta1 = 1.0), &x, &y, state_len, 0), "beta1"),
        (attempt(adam(|a| a.decay = -1.0), &x, &y, state_len, 0), "decay"),
        (attempt(StepOptions { clip_norm: Some(0.0), ..good }, &x, &y, state_len, 0), "clip_norm"),
        (
            attempt(
                StepOptions { penalty: Penalty { l1: -1.0, l2: 0.0 }, ..good },
                &x,
                &y,
                state_len,
                0,
            ),
            "l1",
        ),
    ] {
        assert!(message.contains(named), "{message} / {named}");
    }

    let mut params = vec![0.0; net.params.len() - 1];
    assert!(mlp.init(None, &mut ChaCha8Rng::seed_from_u64(0), &mut params).is_err());
    assert!(Workspace::new(&mlp, 2, &mut vec![0.0; space_len - 1]).is_err());
}

#[test]
fn a_workspace_of_another_network_is_refused() {
    let net = |sizes: &[usize], hidden| Net::new(sizes, hidden, Activation::Identity);
    let one = net(&[4, 6, 3], Activation::Tanh);
    // Other lengths; the same lengths; other buffers.
    for other in [
        net(&[4, 5, 3], Activation::Tanh),
        net(&[4, 6, 3], Activation::Sigmoid),
        net(&[4, 6, 3], Activation::Gelu),
    ] {
        let (mlp, level) = (other.mlp(), Level::PORTABLE);
        let mut buffer = vec![0.0; mlp.workspace_len(2, 1)];
        let mut workspace = Workspace::new(&mlp, 2, &mut buffer).unwrap();
        let error = one.mlp().forward(&level, &one.params, &[0.0; 8], &mut workspace);
        assert!(error.unwrap_err().to_string().contains("another network"));
    }
}

#[test]
fn products_of_another_network_are_refused() {
    let net = |hidden| Net::new(&[4, 6, 3], hidden, Activation::Identity);
    let (one, other) = (net(Activation::Tanh), net(Activation::Sigmoid));
    let level = Level::PORTABLE;
    let prepare = |net: &Net, rows| -> Vec<_> {
        net.mlp().prepare(&level, rows).collect::<Result<_, _>>().unwrap()
    };
    let (of_one, of_other) = (prepare(&one, 2), prepare(&other, 2));
    let mixed = [of_one[0], prepare(&one, 3)[1]];
    // Of the layer itself, but above one with another activation.
    let above_other = [of_one[0], of_other[1]];
    let mlp = one.mlp();
    let mut buffer = vec![0.0; mlp.workspace_len(2, 1)];
    for (products, reason) in [
        (&of_other[..], "another network"),
        (&of_one[..1], "another network"),
        (&above_other, "another network"),
        (&mixed, "several sizes"),
    ] {
        let workspace = Workspace::new(&mlp, 2, &mut buffer).unwrap();
        let error = workspace.with_products(products).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(mlp.prepare(&level, usize::MAX).any(|of| of.is_err()));
}

#[test]
fn passes_want_their_order() {
    let net = Net::new(&[4, 5, 6, 3], Activation::Tanh, Activation::Identity);
    let (mlp, level, loss) = (net.mlp(), Level::detect(), Loss::CategoricalCrossEntropy);
    let (x, weights) = (noise(8, 1), Weights::default());
    let mut buffer = vec![f32::NAN; mlp.workspace_len(2, 1)];
    let mut workspace = Workspace::new(&mlp, 2, &mut buffer).unwrap();
    let mut params = net.params.clone();
    let mut values = vec![0.0; options(loss).optimizer.state_len(params.len())];
    let mut state = OptimizerState { values: &mut values, steps: 0 };
    let named = |result: Result<(), KernelError>, name: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    };

    assert!(workspace.outputs().is_empty());
    named(mlp.loss(&level, loss, &[0.0, 1.0], weights, &mut workspace).map(drop), "`forward`");
    named(mlp.backward(&level, &params, &x, &mut workspace), "`loss`");
    mlp.forward(&level, &params, &x, &mut workspace).unwrap();
    named(mlp.backward(&level, &params, &x, &mut workspace), "`loss`");
    mlp.loss(&level, loss, &[0.0, 1.0], weights, &mut workspace).unwrap();
    named(mlp.backward(&level, &params, &x[..4], &mut workspace), "feature rows");
    named(mlp.update(&level, &options(loss), &mut params, &mut state, &workspace), "`backward`");
    mlp.backward(&level, &params, &x, &mut workspace).unwrap();
    named(mlp.backward(&level, &params, &x, &mut workspace), "used up");
    let again = mlp.loss(&level, loss, &[0.0, 1.0], weights, &mut workspace);
    named(again.map(drop), "used up");
    mlp.update(&level, &options(loss), &mut params, &mut state, &workspace).unwrap();
    mlp.forward(&level, &params, &x, &mut workspace).unwrap();
    // A refused loss leaves nothing for a backward pass.
    mlp.loss(&level, loss, &[0.0, 3.0], weights, &mut workspace).unwrap_err();
    named(mlp.backward(&level, &params, &x, &mut workspace), "`loss`");
    // So does a refused forward pass.
    mlp.loss(&level, loss, &[0.0, 1.0], weights, &mut workspace).unwrap();
    mlp.forward(&level, &params, &noise(12, 1), &mut workspace).unwrap_err();
    mlp.backward(&level, &params, &x, &mut workspace).unwrap();
}

#[test]
fn layers_must_fit_together() {
    let layer = |inputs, outputs| Layer::new(inputs, outputs, Activation::Relu);
    assert!(Mlp::new(&[]).is_err());
    assert!(Mlp::new(&[layer(0, 3)]).is_err());
    assert!(Mlp::new(&[layer(3, 0)]).is_err());
    let error = Mlp::new(&[layer(3, 4), layer(5, 2)]).unwrap_err();
    assert!(error.to_string().contains("5 x 2 where 4 x 2"), "{error}");
    assert!(Mlp::new(&[Layer::new(3, 4, Activation::LeakyRelu(f32::NAN))]).is_err());
    // Sizes beyond memory are no overflow: no slice is that long.
    let huge = [layer(usize::MAX / 2, 16)];
    let huge = Mlp::new(&huge).unwrap();
    assert_eq!(huge.parameter_len(), usize::MAX);
    assert_eq!(huge.workspace_len(usize::MAX, 2), usize::MAX);
}

#[test]
fn a_cross_entropy_wants_logits() {
    let net = Net::new(&[4, 3, 1], Activation::Tanh, Activation::Sigmoid);
    let mlp = net.mlp();
    let mut buffer = vec![0.0; mlp.workspace_len(2, 1)];
    let mut workspace = Workspace::new(&mlp, 2, &mut buffer).unwrap();
    let level = Level::PORTABLE;
    mlp.forward(&level, &net.params, &noise(8, 1), &mut workspace).unwrap();
    let weights = Weights::default();
    let loss = mlp.loss(&level, Loss::BinaryCrossEntropy, &[0.0, 1.0], weights, &mut workspace);
    assert!(matches!(loss, Err(KernelError::Combination(_))));
    assert!(mlp.loss(&level, Loss::MeanSquaredError, &[0.0, 1.0], weights, &mut workspace).is_ok());
}
