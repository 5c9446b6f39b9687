//! Optimizers, one update of 4,096 (cached) and of 1,000,000 parameters (from memory), at every
//! level, beside a plain loop over the same slices as the compiler vectorises it by itself.
//!
//! `cargo bench --bench optim`; the rows are `optim/<optimizer>/<level or "loop">/<parameters>`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slimfit_kernels::Level;
use slimfit_kernels::optim::{self, AdaGrad, Adam, Momentum, Penalty, Sgd};

const SIZES: [usize; 2] = [4096, 1_000_000];

/// The slices of one update.
struct Buffers {
    grad: Vec<f32>,
    params: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Buffers {
    fn new(len: usize) -> Self {
        let grad = (0..len).map(|i| (i % 17) as f32 * 0.125 - 1.0).collect();
        Self { grad, params: vec![0.5; len], first: vec![0.0; len], second: vec![0.0; len] }
    }
}

/// One update by the kernels.
type Kernel = fn(Level, &mut Buffers);
/// The same by a loop over elements.
type Loop = fn(&mut Buffers);

const L2: Penalty = Penalty { l1: 1e-5, l2: 1e-4 };

fn sgd(level: Level, b: &mut Buffers) {
    let sgd = Sgd::default();
    optim::sgd(level, &sgd, Penalty::NONE, 1.0, &b.grad, &mut b.params).unwrap();
}

fn sgd_loop(b: &mut Buffers) {
    let rate = black_box(0.01);
    for (w, g) in b.params.iter_mut().zip(&b.grad) {
        *w -= rate * g;
    }
}

fn momentum(level: Level, b: &mut Buffers) {
    let (momentum, none) = (Momentum::default(), Penalty::NONE);
    optim::momentum(level, &momentum, none, 1.0, &b.grad, &mut b.params, &mut b.first).unwrap();
}

fn momentum_loop(b: &mut Buffers) {
    let (rate, momentum) = black_box((0.01, 0.9));
    for ((w, g), v) in b.params.iter_mut().zip(&b.grad).zip(&mut b.first) {
        *v = momentum * *v + g;
        *w -= rate * *v;
    }
}

fn adagrad(level: Level, b: &mut Buffers) {
    let (adagrad, none) = (AdaGrad::default(), Penalty::NONE);
    optim::adagrad(level, &adagrad, none, 1.0, &b.grad, &mut b.params, &mut b.first).unwrap();
}

fn adagrad_loop(b: &mut Buffers) {
    let (rate, epsilon) = black_box((0.01, 1e-10));
    for ((w, g), sum) in b.params.iter_mut().zip(&b.grad).zip(&mut b.first) {
        *sum += g * g;
        *w -= rate * g / (sum.sqrt() + epsilon);
    }
}

fn adam_with(level: Level, penalty: Penalty, b: &mut Buffers) {
    let step = Adam::default().at_step(10).unwrap();
    let Buffers { grad, params, first, second } = b;
    optim::adam(level, &step, penalty, 1.0, grad, params, first, second).unwrap();
}

fn adam(level: Level, b: &mut Buffers) {
    adam_with(level, Penalty::NONE, b);
}

fn adam_penalised(level: Level, b: &mut Buffers) {
    adam_with(level, L2, b);
}

fn adam_loop(b: &mut Buffers) {
    let (beta1, beta2, rate, epsilon) = black_box((0.9, 0.999, 1.5e-4, 1e-9));
    let states = b.first.iter_mut().zip(&mut b.second);
    for ((w, g), (m, v)) in b.params.iter_mut().zip(&b.grad).zip(states) {
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        *w -= rate * *m / (v.sqrt() + epsilon);
    }
}

fn adam_penalised_loop(b: &mut Buffers) {
    let (beta1, beta2, rate, epsilon) = black_box((0.9, 0.999, 1.5e-4, 1e-9));
    let Penalty { l1, l2 } = black_box(L2);
    let states = b.first.iter_mut().zip(&mut b.second);
    for ((w, g), (m, v)) in b.params.iter_mut().zip(&b.grad).zip(states) {
        let sign = if *w == 0.0 { 0.0 } else { w.signum() };
        let g = g + l1 * sign + 2.0 * l2 * *w;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        *w -= rate * *m / (v.sqrt() + epsilon);
    }
}

fn optimizers(criterion: &mut Criterion) {
    let rows: [(&str, Kernel, Loop); 5] = [
        ("sgd", sgd, sgd_loop),
        ("momentum", momentum, momentum_loop),
        ("adagrad", adagrad, adagrad_loop),
        ("adam", adam, adam_loop),
        ("adam_l1_l2", adam_penalised, adam_penalised_loop),
    ];
    for (name, kernel, plain) in rows {
        let mut group = criterion.benchmark_group(format!("optim/{name}"));
        for len in SIZES {
            group.throughput(Throughput::Elements(len as u64));
            for level in Level::available() {
                let mut buffers = Buffers::new(len);
                group.bench_function(BenchmarkId::new(level.name(), len), |bencher| {
                    bencher.iter(|| kernel(level, black_box(&mut buffers)));
                });
            }
            let mut buffers = Buffers::new(len);
            group.bench_function(BenchmarkId::new("loop", len), |bencher| {
                bencher.iter(|| plain(black_box(&mut buffers)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, optimizers);
criterion_main!(benches);
