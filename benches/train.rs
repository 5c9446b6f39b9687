//! One training step: forward, loss, backward, update.
//!
//! A group for every network and batch, a row for every level on one thread, and one for the widest
//! level on all threads. Time is that of a step; throughput counts rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use slimfit::kernels::loss::Weights;
use slimfit::kernels::optim::Penalty;
use slimfit::{
    Activation, Batch, Executor, Layer, Level, Loss, Mlp, Optimizer, OptimizerState, Rayon,
    StepOptions, Workspace,
};

/// A network with data and all buffers of a step.
struct Bench {
    layers: Vec<Layer>,
    options: StepOptions,
    rows: usize,
    features: Vec<f32>,
    targets: Vec<f32>,
}

impl Bench {
    fn new(sizes: &[usize], rows: usize, loss: Loss) -> Self {
        let last = sizes.len() - 2;
        let layers: Vec<_> = sizes
            .windows(2)
            .enumerate()
            .map(|(l, io)| {
                let activation = if l == last { Activation::Identity } else { Activation::Relu };
                Layer::new(io[0], io[1], activation)
            })
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut uniform = || (rng.next_u32() >> 8) as f32 / 8_388_608.0 - 1.0;
        let features = (0..rows * sizes[0]).map(|_| uniform()).collect();
        let classes = sizes[last + 1].max(2);
        let targets = (0..rows).map(|row| (row % classes) as f32).collect();
        let options = StepOptions {
            loss,
            optimizer: Optimizer::default(),
            penalty: Penalty::NONE,
            clip_norm: None,
        };
        Self { layers, options, rows, features, targets }
    }

    fn run<E: Executor>(&self, executor: &E, bencher: &mut criterion::Bencher<'_>) {
        let mlp = Mlp::new(&self.layers).unwrap();
        let mut params = vec![0.0; mlp.parameter_len()];
        mlp.init(None, &mut ChaCha8Rng::seed_from_u64(2), &mut params).unwrap();
        let mut values = vec![0.0; self.options.optimizer.state_len(params.len())];
        let mut state = OptimizerState { values: &mut values, steps: 0 };
        let mut buffer = vec![0.0; mlp.workspace_len(self.rows, executor.threads())];
        let mut workspace = Workspace::new(&mlp, self.rows, &mut buffer).unwrap();
        let batch =
            Batch { features: &self.features, targets: &self.targets, weights: Weights::default() };
        bencher.iter(|| {
            let loss =
                mlp.step(executor, &self.options, batch, &mut params, &mut state, &mut workspace);
            black_box(loss.unwrap())
        });
    }
}

fn train(criterion: &mut Criterion) {
    for (name, sizes, rows, loss) in [
        ("30-32-16-1 batch 32", &[30, 32, 16, 1][..], 32, Loss::BinaryCrossEntropy),
        ("784-512-256-10 batch 128", &[784, 512, 256, 10], 128, Loss::CategoricalCrossEntropy),
        (
            "784-2048-2048-10 batch 1024",
            &[784, 2048, 2048, 10],
            1024,
            Loss::CategoricalCrossEntropy,
        ),
    ] {
        let mut group = criterion.benchmark_group(format!("train {name}"));
        group.throughput(Throughput::Elements(rows as u64)).sample_size(10);
        let bench = Bench::new(sizes, rows, loss);
        for level in Level::available() {
            group.bench_function(level.name(), |bencher| bench.run(&level, bencher));
        }
        let level = Level::detect();
        let threads = rayon::current_num_threads();
        group.bench_function(format!("{level} on {threads} threads"), |bencher| {
            rayon::scope(|_| bench.run(&Rayon::here(level), bencher));
        });
        group.finish();
    }
}

criterion_group!(benches, train);
criterion_main!(benches);
