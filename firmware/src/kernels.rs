//! Products and updates of many shapes, for two machines to be compared by a hash of the results.

use rand_core::Rng;
use rand_pcg::Pcg32;
use slimfit::kernels::gemm::{Epilogue, dense_row, gemm, scratch_len};
use slimfit::kernels::optim::{Adam, Penalty, adam};
use slimfit::kernels::{MatMut, MatRef};
use slimfit::{Activation, KernelError, Level};

use crate::cancer::Fnv;

/// Rows and columns of C, at most.
const EDGE: usize = 9;
/// Products an element, at most.
const DEPTH: usize = 33;
const SCRATCH: usize = scratch_len(EDGE, EDGE, DEPTH);
/// Columns of a single row, at most.
const WIDTH: usize = 37;
const ROW_SCRATCH: usize = scratch_len(1, WIDTH, DEPTH);

/// Numbers between -1 and 1.
fn fill(rng: &mut Pcg32, values: &mut [f32]) {
    for x in values {
        *x = rng.next_u32().cast_signed() as f32 / 2_147_483_648.0;
    }
}

/// All shapes up to some edge, A and B along and across k, and what layers do with the sums.
pub fn products() -> Result<u32, KernelError> {
    let (mut a, mut b, mut bias) = ([0.0; EDGE * DEPTH], [0.0; EDGE * DEPTH], [0.0; EDGE]);
    let (mut start, mut scratch) = ([0.0; EDGE * EDGE], [0.0; SCRATCH]);
    let mut rng = Pcg32::new(7, 0);
    for values in [&mut a[..], &mut b, &mut bias, &mut start] {
        fill(&mut rng, values);
    }
    let mut hash = Fnv::default();
    for k in [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 32, DEPTH] {
        for (m, n) in (1..=EDGE).flat_map(|m| (1..=EDGE).map(move |n| (m, n))) {
            for case in 0..16 {
                let lhs = a.get(..m * k).unwrap_or_default();
                let rhs = b.get(..k * n).unwrap_or_default();
                let lhs = match case & 1 {
                    0 => MatRef::new(lhs, m, k)?,
                    _ => MatRef::new(lhs, k, m)?.t(),
                };
                let rhs = match case & 2 {
                    0 => MatRef::new(rhs, k, n)?,
                    _ => MatRef::new(rhs, n, k)?.t(),
                };
                let bias = bias.get(..n).unwrap_or_default();
                let (alpha, beta, epilogue) = match case >> 2 {
                    0 => (1.0, 0.0, Epilogue::None),
                    1 => (1.0, 0.0, Epilogue::BiasActivation(bias, Activation::Relu)),
                    2 => (1.0, 0.0, Epilogue::DerivativeInPlace(Activation::Relu)),
                    _ => (0.5, 0.25, Epilogue::BiasActivation(bias, Activation::Sigmoid)),
                };
                let mut c = start;
                if case >> 2 == 2 {
                    // NaN among what was saved stays.
                    let [first, ..] = &mut c;
                    *first = f32::NAN;
                }
                let out = c.get_mut(..m * n).unwrap_or_default();
                let out = MatMut::new(out, m, n)?;
                gemm(Level::detect(), alpha, lhs, rhs, beta, out, epilogue, &mut scratch)?;
                // What lies behind C too: nobody may write there.
                hash.add(&c);
            }
        }
        // One number for a whole row, as in sums of columns.
        let ones = MatRef::with_strides(&[1.0], 1, k, 0, 0)?;
        let rhs = MatRef::new(b.get(..k * EDGE).unwrap_or_default(), k, EDGE)?;
        let out = MatMut::new(&mut bias, 1, EDGE)?;
        gemm(Level::detect(), 1.0, ones, rhs, 0.0, out, Epilogue::None, &mut scratch)?;
        hash.add(&bias);
    }
    Ok(hash.0)
}

/// A single row of A, and one number for all of it, times many columns of B.
pub fn rows() -> Result<u32, KernelError> {
    let (mut a, mut b, mut bias) = ([0.0; DEPTH], [0.0; DEPTH * WIDTH], [0.0; WIDTH]);
    let (mut start, mut scratch) = ([0.0; WIDTH], [0.0; ROW_SCRATCH]);
    let mut rng = Pcg32::new(9, 0);
    for values in [&mut a[..], &mut b, &mut bias, &mut start] {
        fill(&mut rng, values);
    }
    let mut hash = Fnv::default();
    for (k, n) in (0..=DEPTH).flat_map(|k| [12, 16, 20, 23, 32, WIDTH].map(|n| (k, n))) {
        for case in 0..4 {
            let lhs = match case & 1 {
                0 => MatRef::new(a.get(..k).unwrap_or_default(), 1, k)?,
                _ => MatRef::with_strides(&[0.3], 1, k, 0, 0)?,
            };
            let rhs = MatRef::new(b.get(..k * n).unwrap_or_default(), k, n)?;
            let epilogue = match case & 2 {
                0 => Epilogue::None,
                _ => {
                    let bias = bias.get(..n).unwrap_or_default();
                    Epilogue::BiasActivation(bias, Activation::Relu)
                }
            };
            let mut c = start;
            let out = MatMut::new(c.get_mut(..n).unwrap_or_default(), 1, n)?;
            gemm(Level::detect(), 1.0, lhs, rhs, 0.0, out, epilogue, &mut scratch)?;
            hash.add(&c);
        }
    }
    Ok(hash.0)
}

/// Single rows through a dense layer, of few and of many columns, and of several blocks of k.
pub fn dense_rows() -> Result<u32, KernelError> {
    /// Products an element, at most, and columns where there are so many.
    const LONG: usize = 530;
    const NARROW: usize = 9;
    let (mut x, mut weights) = ([0.0; LONG], [0.0; LONG * NARROW]);
    let (mut bias, mut start) = ([0.0; WIDTH], [0.0; WIDTH]);
    let mut rng = Pcg32::new(10, 0);
    for values in [&mut x[..], &mut weights, &mut bias, &mut start] {
        fill(&mut rng, values);
    }
    let mut hash = Fnv::default();
    let short = (0..=DEPTH).flat_map(|k| (1..=WIDTH).map(move |n| (k, n)));
    let long = (1..=NARROW).flat_map(|n| [512, LONG - 1, LONG].map(|k| (k, n)));
    for (k, n) in short.chain(long) {
        for activation in [Activation::Identity, Activation::Relu, Activation::Sigmoid] {
            let mut out = start;
            dense_row(
                Level::detect(),
                x.get(..k).unwrap_or_default(),
                weights.get(..k * n).unwrap_or_default(),
                bias.get(..n).unwrap_or_default(),
                activation,
                out.get_mut(..n).unwrap_or_default(),
            )?;
            hash.add(&out);
        }
    }
    Ok(hash.0)
}

/// Steps of Adam on slices of several lengths, with gradients from huge ones to those whose mean is
/// subnormal or zero.
pub fn updates() -> Result<u32, KernelError> {
    const LEN: usize = 11;
    let mut rng = Pcg32::new(8, 0);
    let mut hash = Fnv::default();
    for len in 1..=LEN {
        for (decay, scale) in [(0.0, 1.0), (0.0, 0.37), (0.01, 1.0)] {
            let (mut grad, mut params) = ([0.0; LEN], [0.0; LEN]);
            let (mut first, mut second) = ([0.0; LEN], [0.0; LEN]);
            fill(&mut rng, &mut params);
            for step in 1..60 {
                fill(&mut rng, &mut grad);
                let size = f32::from_bits((rng.next_u32() % 160 + 1) << 23);
                for (i, grad) in grad.iter_mut().enumerate() {
                    // Now and then none, for long enough to let a mean die out.
                    *grad *= if i % 3 == 0 && step > 9 { 0.0 } else { size };
                }
                let at = Adam { decay, ..Adam::default() }.at_step(step)?;
                adam(
                    Level::detect(),
                    &at,
                    Penalty::NONE,
                    scale,
                    grad.get(..len).unwrap_or_default(),
                    params.get_mut(..len).unwrap_or_default(),
                    first.get_mut(..len).unwrap_or_default(),
                    second.get_mut(..len).unwrap_or_default(),
                )?;
                for values in [&params, &first, &second] {
                    hash.add(values);
                }
            }
        }
    }
    Ok(hash.0)
}
