//! Time of the element-wise functions: a group a function, a row a level and length.
//!
//! `cargo bench --bench elementwise -- exp/` measures one group.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use slimfit_kernels::activation::{self, Activation};
use slimfit_kernels::{Error, Level, math, softmax};

type Entry = fn(Level, &[f32], &mut [f32]) -> Result<(), Error>;

/// 4,096 stay in the first cache; 1,048,576 stream.
const LENGTHS: [usize; 2] = [4096, 1_048_576];

/// Numbers spread over `from..to`.
fn data(len: usize, from: f32, to: f32) -> Vec<f32> {
    let golden = 0.618_034;
    (0..len).map(|i| from + (to - from) * (i as f32 * golden).fract()).collect()
}

/// One row a level and length; `run` writes `out` from `x`.
fn rows(
    group: &mut BenchmarkGroup<WallTime>,
    lengths: &[usize],
    (from, to): (f32, f32),
    run: impl Fn(Level, &[f32], &mut [f32]),
) {
    for &len in lengths {
        let x = data(len, from, to);
        let mut out = vec![0.0; len];
        group.throughput(Throughput::Elements(len as u64));
        for level in Level::available() {
            group.bench_function(BenchmarkId::new(level.name(), len), |bencher| {
                bencher.iter(|| run(level, black_box(&x), black_box(&mut out)));
            });
        }
    }
}

fn functions(criterion: &mut Criterion) {
    let functions: [(&str, Entry, (f32, f32)); 10] = [
        ("exp", math::exp, (-80.0, 80.0)),
        ("exp_m1", math::exp_m1, (-10.0, 80.0)),
        ("ln", math::ln, (1e-3, 1e3)),
        ("ln_1p", math::ln_1p, (-0.9, 1e3)),
        ("tanh", math::tanh, (-8.0, 8.0)),
        ("sigmoid", math::sigmoid, (-20.0, 20.0)),
        ("erf", math::erf, (-4.0, 4.0)),
        ("gelu", math::gelu, (-8.0, 8.0)),
        ("silu", math::silu, (-20.0, 20.0)),
        ("softplus", math::softplus, (-20.0, 20.0)),
    ];
    for (name, entry, range) in functions {
        let mut group = criterion.benchmark_group(name);
        rows(&mut group, &LENGTHS, range, |level, x, out| entry(level, x, out).unwrap());
        group.finish();
    }
}

fn derivatives(criterion: &mut Criterion) {
    for (name, activation) in [
        ("gelu_with_derivative", Activation::Gelu),
        ("silu_with_derivative", Activation::Silu),
        ("softplus_with_derivative", Activation::Softplus),
    ] {
        let mut group = criterion.benchmark_group(name);
        rows(&mut group, &LENGTHS, (-8.0, 8.0), |level, x, out| {
            // The pass overwrites its input: the copy is part of the time.
            let mut z = [0.0; 1024];
            for (x, out) in x.chunks(z.len()).zip(out.chunks_mut(z.len())) {
                z[..x.len()].copy_from_slice(x);
                activation::forward_with_derivative(level, activation, &mut z[..x.len()], out)
                    .unwrap();
            }
        });
        group.finish();
    }
}

fn softmax_rows(criterion: &mut Criterion) {
    for cols in [10, 16, 64, 1000] {
        let rows_of = [4096 / cols * cols, 1_048_576 / cols * cols];
        let mut group = criterion.benchmark_group(format!("softmax_{cols}"));
        rows(&mut group, &rows_of, (-5.0, 5.0), |level, x, out| {
            softmax::softmax(level, x, cols, out).unwrap();
        });
        group.finish();
        let mut group = criterion.benchmark_group(format!("log_sum_exp_{cols}"));
        rows(&mut group, &rows_of, (-5.0, 5.0), |level, x, out| {
            softmax::log_sum_exp(level, x, cols, &mut out[..x.len() / cols]).unwrap();
        });
        group.finish();
    }
}

criterion_group!(benches, functions, derivatives, softmax_rows);
criterion_main!(benches);
