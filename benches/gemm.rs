//! The matrix product at every level, on squares and on the products of three networks.
//!
//! Group names: `gemm/square`, `gemm/30-32-16-1`, `gemm/784-512-256-10`, `gemm/784-2048-2048-10`.
//! Rows: level and shape, for layers with `forward` (A B), `dW` (A transposed), `dX` (B transposed).
//! Throughput counts multiplications and additions: elements a second are FLOP/s.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slimfit_kernels::gemm::{Epilogue, gemm, scratch_len};
use slimfit_kernels::{Level, MatMut, MatRef};

/// A shape, and which of A and B are stored transposed.
#[derive(Clone, Copy)]
struct Product {
    m: usize,
    n: usize,
    k: usize,
    lhs_transposed: bool,
    rhs_transposed: bool,
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn view(data: &[f32], rows: usize, cols: usize, transposed: bool) -> MatRef<'_> {
    let view = if transposed {
        MatRef::new(data, cols, rows).map(MatRef::t)
    } else {
        MatRef::new(data, rows, cols)
    };
    view.expect("data of this shape")
}

fn bench_product(c: &mut Criterion, group: &str, name: &str, product: Product) {
    let Product { m, n, k, lhs_transposed, rhs_transposed } = product;
    let (a, b, mut out) = (values(m * k), values(k * n), vec![0.0; m * n]);
    let lhs = view(&a, m, k, lhs_transposed);
    let rhs = view(&b, k, n, rhs_transposed);
    let mut scratch = vec![0.0; scratch_len(m, n, k)];
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
    for level in Level::available() {
        let id = BenchmarkId::new(level.name(), format_args!("{name}{m}x{n}x{k}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let (lhs, rhs) = black_box((lhs, rhs));
                let c = MatMut::new(&mut out, m, n).expect("C of this shape");
                gemm(level, 1.0, lhs, rhs, 0.0, c, Epilogue::None, &mut scratch)
            });
        });
    }
    group.finish();
}

fn squares(c: &mut Criterion) {
    for n in [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048] {
        let product = Product { m: n, n, k: n, lhs_transposed: false, rhs_transposed: false };
        bench_product(c, "gemm/square", "", product);
    }
}

fn layers(c: &mut Criterion) {
    for (widths, batch) in
        [(&[30, 32, 16, 1][..], 32), (&[784, 512, 256, 10], 128), (&[784, 2048, 2048, 10], 1024)]
    {
        let names: Vec<_> = widths.iter().map(ToString::to_string).collect();
        let group = format!("gemm/{}", names.join("-"));
        for (layer, pair) in widths.windows(2).enumerate() {
            let &[inputs, outputs] = pair else { unreachable!("windows of two") };
            let forward = Product {
                m: batch,
                n: outputs,
                k: inputs,
                lhs_transposed: false,
                rhs_transposed: false,
            };
            bench_product(c, &group, "forward/", forward);
            let weights =
                Product { m: inputs, n: outputs, k: batch, lhs_transposed: true, ..forward };
            bench_product(c, &group, "dW/", weights);
            if layer > 0 {
                let input =
                    Product { m: batch, n: inputs, k: outputs, rhs_transposed: true, ..forward };
                bench_product(c, &group, "dX/", input);
            }
        }
    }
}

criterion_group!(benches, squares, layers);
criterion_main!(benches);
