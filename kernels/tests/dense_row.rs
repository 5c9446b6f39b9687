//! One row through a dense layer has the bits of the product, and refuses what does not fit.

mod common;

use common::{Numbers, bits};
use slimfit_kernels::activation::Activation;
use slimfit_kernels::gemm::{Epilogue, dense_row, gemm, row_major_scratch_len};
use slimfit_kernels::{Error, Level, MatMut, MatRef};

const ACTIVATIONS: [Activation; 10] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::LeakyRelu(0.0),
    Activation::Elu(1.5),
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
    Activation::Softplus,
];

fn by_gemm(level: Level, x: &[f32], w: &[f32], bias: &[f32], f: Activation) -> Vec<f32> {
    let (k, n) = (x.len(), bias.len());
    let mut out = vec![f32::NAN; n];
    assert_eq!(row_major_scratch_len(1, n, k), 0);
    gemm(
        level,
        1.0,
        MatRef::new(x, 1, k).unwrap(),
        MatRef::new(w, k, n).unwrap(),
        0.0,
        MatMut::new(&mut out, 1, n).unwrap(),
        Epilogue::BiasActivation(bias, f),
        &mut [],
    )
    .unwrap();
    out
}

/// The same bits at every level, and nothing written beside `out`.
fn check(x: &[f32], w: &[f32], bias: &[f32], f: Activation) {
    let (k, n) = (x.len(), bias.len());
    for level in Level::available() {
        let mut around = vec![-7.25; n + 2];
        dense_row(level, x, w, bias, f, &mut around[1..=n]).unwrap();
        let expected = by_gemm(level, x, w, bias, f);
        assert_eq!(bits(&around[1..=n]), bits(&expected), "1 x {n} x {k}, {f:?} at {level}");
        assert_eq!((around[0], around[n + 1]), (-7.25, -7.25), "1 x {n} x {k} at {level}");
    }
}

#[test]
fn bits_of_the_product() {
    let mut numbers = Numbers(1);
    // Blocks of k: one up to 512, then two of equal length or nearly so, then three.
    for k in (0..=36).chain([64, 511, 512, 513, 1024, 1027]) {
        for n in (0..=21).chain([31, 32, 33, 49, 64, 100]) {
            let mut vec = |len| numbers.vec(len, -1.0, 1.0);
            let (x, w, bias) = (vec(k), vec(k * n), vec(n));
            for f in [Activation::Identity, Activation::Relu, ACTIVATIONS[(k + n) % 10]] {
                check(&x, &w, &bias, f);
            }
        }
    }
}

#[test]
fn bits_of_special_values() {
    let mut numbers = Numbers(2);
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, f32::MAX, 1e-42];
    for round in 0..400 {
        let (k, n) = (1 + round % 19, 1 + round / 19);
        let mut vec = |len| -> Vec<f32> {
            let mut vec = numbers.vec(len, -1.0, 1.0);
            for x in &mut vec {
                let bits = numbers.bits() as usize;
                if bits.is_multiple_of(8) {
                    *x = special[bits / 8 % special.len()];
                }
            }
            vec
        };
        let (x, w, bias) = (vec(k), vec(k * n), vec(n));
        check(&x, &w, &bias, ACTIVATIONS[round % 10]);
    }
    // A sum of -0 keeps its sign where each chain has a product, and bias and floor let it pass.
    check(&[-0.0; 4], &[1.0; 4 * 6], &[-0.0; 6], Activation::Identity);
    check(&[-0.0; 16], &[1.0; 16], &[-0.0], Activation::Relu);
}

#[test]
fn misfits_are_refused_before_anything_is_written() {
    let (x, w, bias) = ([1.0; 3], [1.0; 7], [1.0; 3]);
    for level in Level::available() {
        let mut out = [-7.25; 2];
        let mut refused = |x: &[f32], w: &[f32], bias: &[f32], f| {
            let error = dense_row(level, x, w, bias, f, &mut out).unwrap_err();
            assert_eq!(out, [-7.25; 2]);
            error
        };
        let relu = Activation::Relu;
        for len in [0, 5, 7] {
            let error = refused(&x, &w[..len], &bias[..2], relu);
            assert_eq!(error, Error::Length { what: "weights", expected: 6, found: len });
        }
        for len in [0, 1, 3] {
            let error = refused(&x, &w[..6], &bias[..len], relu);
            assert_eq!(error, Error::Length { what: "bias", expected: 2, found: len });
        }
        let error = refused(&x, &w[..6], &bias[..2], Activation::Elu(-1.0));
        assert!(matches!(error, Error::Parameter { .. }), "{error}");
    }
}
