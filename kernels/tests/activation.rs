//! Activations against their f64 forms, whose derivatives are taken numerically.

mod common;

use common::{same, stratified};
use slimfit_kernels::activation::{self, Activation, Saved};
use slimfit_kernels::{Error, Level, math};

const ALL: [Activation; 12] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu(0.0),
    Activation::LeakyRelu(0.01),
    Activation::LeakyRelu(1.5),
    Activation::Elu(1.0),
    Activation::Elu(0.25),
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::Silu,
    Activation::Softplus,
];

fn oracle(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu(slope) => z.max(0.0) + f64::from(slope) * z.min(0.0),
        Activation::Elu(alpha) => z.max(0.0) + f64::from(alpha) * libm::expm1(z.min(0.0)),
        Activation::Sigmoid => 1.0 / (1.0 + libm::exp(-z)),
        Activation::Tanh => libm::tanh(z),
        Activation::Gelu => 0.5 * z * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2),
        Activation::Silu => z / (1.0 + libm::exp(-z)),
        Activation::Softplus => z.max(0.0) + libm::log1p(libm::exp(-z.abs())),
        _ => unreachable!(),
    }
}

/// The derivative of the oracle by central differences, good to 1e-10 away from a kink.
fn slope(activation: Activation, z: f64) -> f64 {
    let h = 1e-5;
    (oracle(activation, z + h) - oracle(activation, z - h)) / (2.0 * h)
}

/// f(z) and f'(z) by way of `backward` on a gradient of ones.
fn through_backward(level: Level, activation: Activation, z: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut grad = vec![1.0; z.len()];
    let mut out = vec![7.0; z.len()];
    match activation.saves() {
        Saved::Output => {
            activation::forward(level, activation, z, &mut out).unwrap();
            activation::backward(level, activation, &out, &mut grad).unwrap();
        }
        Saved::Derivative => {
            let mut saved = z.to_vec();
            activation::forward_with_derivative(level, activation, &mut saved, &mut out).unwrap();
            activation::backward(level, activation, &saved, &mut grad).unwrap();
        }
    }
    (out, grad)
}

#[test]
fn values_and_gradients_agree_with_numerical_ones() {
    // No point within h of a kink.
    let z: Vec<f32> = (0..4001).map(|i| (i as f32 - 2000.3) * 0.0101).collect();
    for level in Level::available() {
        for activation in ALL {
            let (out, grad) = through_backward(level, activation, &z);
            for ((&z, &y), &g) in z.iter().zip(&out).zip(&grad) {
                let want = oracle(activation, f64::from(z));
                let error = (f64::from(y) - want).abs();
                assert!(
                    error <= want.abs() * if level.is_fused() { 3e-7 } else { 4e-7 } + 1.5e-45,
                    "{activation:?}({z}) = {y} at {level}, not {want}"
                );
                let want = slope(activation, f64::from(z));
                assert!(
                    (f64::from(g) - want).abs() <= 3e-7,
                    "{activation:?}'({z}) = {g} at {level}, not {want}"
                );
            }
        }
    }
}

/// Where the derivative is tiny it keeps its relative accuracy, if it is kept itself.
#[test]
fn left_tails_of_kept_derivatives() {
    let closed = |activation, z: f64| match activation {
        Activation::Gelu => {
            let density = libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt();
            0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2) + z * density
        }
        Activation::Silu => {
            let sigma = 1.0 / (1.0 + libm::exp(-z));
            sigma * (1.0 + z * (1.0 - sigma))
        }
        _ => 1.0 / (1.0 + libm::exp(-z)),
    };
    for level in Level::available().filter(|level| level.is_fused()) {
        for (activation, from, to) in [
            (Activation::Gelu, -13.0, -2.0),
            (Activation::Silu, -85.0, -3.0),
            (Activation::Softplus, -85.0, 3.0),
        ] {
            let z: Vec<f32> = (0..=1000).map(|i| from + (to - from) * i as f32 / 1000.0).collect();
            let (_, grad) = through_backward(level, activation, &z);
            for (z, g) in z.iter().zip(grad) {
                let want = closed(activation, f64::from(*z));
                let error = (f64::from(g) / want - 1.0).abs();
                assert!(error <= 4e-7, "{activation:?}'({z}) = {g} at {level}, not {want}");
            }
        }
    }
}

#[test]
fn all_forms_agree() {
    let x = stratified(40);
    for level in Level::available() {
        for activation in ALL {
            let mut out = vec![7.0; x.len()];
            activation::forward(level, activation, &x, &mut out).unwrap();
            let mut in_place = x.clone();
            activation::forward_in_place(level, activation, &mut in_place).unwrap();
            let (mut derivative, mut also_out) = (x.clone(), vec![7.0; x.len()]);
            activation::forward_with_derivative(level, activation, &mut derivative, &mut also_out)
                .unwrap();
            for i in 0..x.len() {
                assert!(same(out[i], in_place[i]), "{activation:?}({:e}) at {level}", x[i]);
                assert!(same(out[i], also_out[i]), "{activation:?}({:e}) at {level}", x[i]);
            }
            let (_, grad) = through_backward(level, activation, &x);
            assert!(derivative.iter().zip(&grad).all(|(a, b)| same(*a, *b)), "{activation:?}");

            let by_math = match activation {
                Activation::Sigmoid => math::sigmoid,
                Activation::Tanh => math::tanh,
                Activation::Gelu => math::gelu,
                Activation::Silu => math::silu,
                Activation::Softplus => math::softplus,
                _ => continue,
            };
            by_math(level, &x, &mut in_place).unwrap();
            assert!(out.iter().zip(&in_place).all(|(a, b)| same(*a, *b)), "{activation:?}");
        }
    }
}

#[test]
fn fused_levels_agree() {
    let x = stratified(300);
    for activation in ALL {
        let mut results = Level::available()
            .filter(|level| level.is_fused())
            .map(|level| through_backward(level, activation, &x));
        let Some((out, grad)) = results.next() else { return };
        for (other_out, other_grad) in results {
            for i in 0..x.len() {
                assert!(same(out[i], other_out[i]), "{activation:?}({:e})", x[i]);
                assert!(same(grad[i], other_grad[i]), "{activation:?}'({:e})", x[i]);
            }
        }
    }
}

#[test]
fn lengths_and_alignments() {
    let data: Vec<f32> = (0..400).map(|i| (i as f32 - 200.0) * 0.037).collect();
    for level in Level::available() {
        for activation in ALL {
            let (want, want_grad) = through_backward(level, activation, &data);
            for len in (0..=67).chain([131]) {
                for offset in [1, 2, 5] {
                    let range = offset..offset + len;
                    let mut z = data.clone();
                    let mut out = vec![7.0; data.len()];
                    activation::forward_with_derivative(
                        level,
                        activation,
                        &mut z[range.clone()],
                        &mut out[range.clone()],
                    )
                    .unwrap();
                    let mut grad = vec![1.0; data.len()];
                    let saved = match activation.saves() {
                        Saved::Output => &out,
                        Saved::Derivative => &z,
                    };
                    let part = &mut grad[range.clone()];
                    activation::backward(level, activation, &saved[range.clone()], part).unwrap();
                    for i in 0..data.len() {
                        let inside = range.contains(&i);
                        assert!(same(out[i], if inside { want[i] } else { 7.0 }));
                        assert!(same(z[i], if inside { want_grad[i] } else { data[i] }));
                        assert!(same(grad[i], if inside { want_grad[i] } else { 1.0 }));
                    }
                }
            }
        }
    }
}

/// z, f(z), f'(z)
type Case = (f32, f32, f32);

#[test]
fn special_values_and_kinks() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let cases: [(Activation, &[Case]); 10] = [
        (
            Activation::Relu,
            &[(-inf, 0.0, 0.0), (0.0, 0.0, 0.0), (1e-45, 1e-45, 1.0), (inf, inf, 1.0)],
        ),
        (
            Activation::LeakyRelu(0.5),
            &[(-inf, -inf, 0.5), (0.0, 0.0, 0.5), (-0.0, -0.0, 0.5), (inf, inf, 1.0)],
        ),
        (Activation::LeakyRelu(0.0), &[(-inf, 0.0, 0.0), (-1.0, 0.0, 0.0), (inf, inf, 1.0)]),
        (Activation::Elu(0.0), &[(-inf, 0.0, 0.0), (-1.0, 0.0, 0.0), (inf, inf, 1.0)]),
        (Activation::Elu(2.0), &[(-inf, -2.0, 0.0), (0.0, 0.0, 2.0), (inf, inf, 1.0)]),
        (Activation::Sigmoid, &[(-inf, 0.0, 0.0), (0.0, 0.5, 0.25), (inf, 1.0, 0.0)]),
        (Activation::Tanh, &[(-inf, -1.0, 0.0), (-0.0, -0.0, 1.0), (inf, 1.0, 0.0)]),
        (
            Activation::Gelu,
            &[
                (-inf, -0.0, 0.0),
                (-1e30, -0.0, 0.0),
                (0.0, 0.0, 0.5),
                (1e20, 1e20, 1.0),
                (1e30, 1e30, 1.0),
                (inf, inf, 1.0),
            ],
        ),
        (
            Activation::Silu,
            &[
                (-inf, -0.0, 0.0),
                (-1e30, -0.0, 0.0),
                (0.0, 0.0, 0.5),
                (1e20, 1e20, 1.0),
                (1e30, 1e30, 1.0),
                (inf, inf, 1.0),
            ],
        ),
        (Activation::Softplus, &[(-inf, 0.0, 0.0), (1e20, 1e20, 1.0), (inf, inf, 1.0)]),
    ];
    for level in Level::available() {
        for (activation, cases) in cases {
            for &(z, want, want_grad) in cases {
                let (out, grad) = through_backward(level, activation, &[z]);
                assert_eq!(out[0], want, "{activation:?}({z}) at {level}");
                assert_eq!(grad[0].abs(), want_grad, "{activation:?}'({z}) at {level}");
            }
            let (out, grad) = through_backward(level, activation, &[nan]);
            assert!(out[0].is_nan() && grad[0].is_nan(), "{activation:?}(NaN) at {level}");
        }
    }
}

#[test]
fn bad_arguments_are_refused() {
    for level in Level::available() {
        let mut out = [7.0; 3];
        let error = activation::forward(level, Activation::Tanh, &[1.0; 2], &mut out).unwrap_err();
        assert_eq!(error, Error::Length { what: "out", expected: 2, found: 3 });
        let mut z = [1.0; 2];
        activation::forward_with_derivative(level, Activation::Tanh, &mut z, &mut out).unwrap_err();
        assert_eq!(z, [1.0; 2]);
        activation::backward(level, Activation::Identity, &[1.0; 2], &mut out).unwrap_err();
        for parameter in [f32::NAN, -0.5, f32::INFINITY] {
            for activation in [Activation::LeakyRelu(parameter), Activation::Elu(parameter)] {
                let mut z = [1.0; 3];
                assert!(matches!(
                    activation::forward_in_place(level, activation, &mut z),
                    Err(Error::Parameter { .. })
                ));
                activation::forward(level, activation, &z, &mut out).unwrap_err();
                activation::backward(level, activation, &z, &mut out).unwrap_err();
                activation::forward_with_derivative(level, activation, &mut z, &mut out)
                    .unwrap_err();
                assert_eq!(z, [1.0; 3]);
            }
        }
        assert_eq!(out, [7.0; 3]);
    }
}
