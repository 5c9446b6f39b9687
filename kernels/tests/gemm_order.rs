//! The order of summation that the essay of `gemm` documents, spelled out in scalar f32: every
//! fused level has exactly its bits.

mod common;

use common::Numbers;
use slimfit_kernels::gemm::{Epilogue, gemm, scratch_len};
use slimfit_kernels::{Level, MatMut, MatRef};

/// Largest block of k.
const KC: usize = 512;

/// Products of `a` and `b` in `N` chains, p modulo `N`, added as a tree of halves if `far`, of
/// neighbours otherwise.
fn chains<const N: usize>(a: &[f32], b: &[f32], far: bool) -> f32 {
    let mut sums = [0.0_f32; N];
    for (p, (a, b)) in a.iter().zip(b).enumerate() {
        sums[p % N] = a.mul_add(*b, sums[p % N]);
    }
    let mut count = N;
    while count > 1 {
        count /= 2;
        for i in 0..count {
            let [first, second] = if far { [i, i + count] } else { [2 * i, 2 * i + 1] };
            sums[i] = sums[first] + sums[second];
        }
    }
    sums[0]
}

/// One element: `a` is its row of A, `b` its column of B, `c` what was there before.
fn element(shape: (usize, usize), a: &[f32], b: &[f32], [alpha, beta, c]: [f32; 3]) -> f32 {
    let (m, n) = shape;
    let add = |sum: f32, beta: f32, c: f32| {
        if beta == 0.0 { alpha * sum } else { alpha.mul_add(sum, beta * c) }
    };
    if n == 1 {
        return add(chains::<16>(a, b, true), beta, c);
    }
    let is_small = m == 1 || m * n.div_ceil(16) < 4;
    let blocks = a.len().div_ceil(KC);
    let length = a.len().div_ceil(blocks);
    let (mut beta, mut c) = (beta, c);
    for (a, b) in a.chunks(length).zip(b.chunks(length)) {
        let sum = if is_small { chains::<4>(a, b, false) } else { chains::<1>(a, b, false) };
        c = add(sum, beta, c);
        beta = 1.0;
    }
    c
}

/// Every fused level has the oracle's bits, with A and B row-major and column-major.
fn check((m, n, k): (usize, usize, usize), numbers: &mut Numbers) {
    let (a, b) = (numbers.vec(m * k, -1.0, 1.0), numbers.vec(n * k, -1.0, 1.0));
    let (before, bias) = (numbers.vec(m * n, -1.0, 1.0), numbers.vec(n, -1.0, 1.0));
    // The rows of A are contiguous here, and so are the columns of B.
    let transpose = |x: &[f32], rows: usize| -> Vec<f32> {
        (0..rows * k).map(|i| x[i % rows * k + i / rows]).collect()
    };
    let (a_columns, b_rows) = (transpose(&a, m), transpose(&b, n));
    let lhs = [MatRef::new(&a, m, k).unwrap(), MatRef::new(&a_columns, k, m).unwrap().t()];
    let rhs = [MatRef::new(&b, n, k).unwrap().t(), MatRef::new(&b_rows, k, n).unwrap()];
    let mut scratch = vec![f32::NAN; scratch_len(m, n, k)];
    for (alpha, beta) in [(1.0, 0.0), (-0.7, 0.0), (1.0, 1.0), (0.3, -1.1)] {
        let expected: Vec<_> = (0..m * n)
            .map(|i| {
                let (row, column) = (&a[i / n * k..][..k], &b[i % n * k..][..k]);
                element((m, n), row, column, [alpha, beta, before[i]]) + bias[i % n]
            })
            .collect();
        for level in Level::available().filter(|level| level.is_fused()) {
            for (lhs, rhs) in lhs.into_iter().flat_map(|lhs| rhs.map(|rhs| (lhs, rhs))) {
                let mut c = before.clone();
                let out = MatMut::new(&mut c, m, n).unwrap();
                let epilogue = Epilogue::Bias(&bias);
                gemm(level, alpha, lhs, rhs, beta, out, epilogue, &mut scratch).unwrap();
                for (i, (found, expected)) in c.iter().zip(&expected).enumerate() {
                    assert_eq!(
                        found.to_bits(),
                        expected.to_bits(),
                        "{level} {m} x {n} x {k}, alpha {alpha}, beta {beta}: element {i} is \
                         {found:e}, not {expected:e}"
                    );
                }
            }
        }
    }
}

/// Around the blocks of k: one, two and three of them, even and not.
const DEPTHS: [usize; 15] = [1, 2, 3, 4, 5, 7, 16, 31, 511, 512, 513, 1023, 1024, 1025, 1537];

#[test]
fn a_block_is_one_chain() {
    let mut numbers = Numbers(1);
    for (m, n) in [(4, 2), (2, 17), (3, 33), (5, 16), (13, 70), (19, 10), (35, 21)] {
        for k in DEPTHS {
            check((m, n, k), &mut numbers);
        }
    }
    // Packed, in several blocks of rows.
    check((270, 130, 1024), &mut numbers);
    // B packed by the first tile of a single block of rows: in panels of which the last is not whole, and copied,
    // with a higher tile before lower ones, two blocks of k, and a number of steps that is no multiple of four.
    for shape in [(100, 94, 700), (96, 224, 301), (25, 130, 515)] {
        check(shape, &mut numbers);
    }
    if cfg!(target_arch = "x86_64") {
        // Panels packed by the tiles of those before: of one block of rows, with a last panel that is not whole; of
        // two, with a last one of half registers; of no more columns than there is room for.
        for shape in [(97, 300, 900), (130, 296, 900), (96, 64, 4100)] {
            check(shape, &mut numbers);
        }
    }
}

#[test]
fn few_elements_are_four_chains() {
    let mut numbers = Numbers(2);
    // The widest is computed in panels, and what is left of them.
    let rows = [2, 10, 16, 24, 28, 33, 60, 64, 150, 300].map(|n| (1, n));
    for (m, n) in rows.into_iter().chain([(2, 9), (3, 16)]) {
        for k in DEPTHS {
            check((m, n, k), &mut numbers);
        }
    }
}

#[test]
fn one_column_is_sixteen_lanes() {
    let mut numbers = Numbers(3);
    for m in [1, 3, 8, 37] {
        for k in DEPTHS.into_iter().chain([15, 17, 32, 33]) {
            check((m, 1, k), &mut numbers);
        }
    }
}
