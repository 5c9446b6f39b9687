//! Optimizers against their recursions in f64, at every level.

mod common;

use common::{Numbers, bits, close, lengths, same_bits};
use slimfit_kernels::optim::{self, AdaGrad, Adam, Momentum, Penalty, Sgd};
use slimfit_kernels::{Error, Level};

/// Half a unit in the last place of 1.
const U: f64 = 1.0 / (1u64 << 24) as f64;

#[derive(Clone, Copy, Debug)]
enum Optimizer {
    Sgd(Sgd),
    Momentum(Momentum),
    AdaGrad(AdaGrad),
    Adam(Adam),
}
use Optimizer::{AdaGrad as A, Adam as D, Momentum as M, Sgd as G};

fn optimizers() -> [Optimizer; 7] {
    [
        G(Sgd { learning_rate: 0.1 }),
        M(Momentum { learning_rate: 0.1, ..Default::default() }),
        M(Momentum { learning_rate: 0.05, momentum: 0.5, nesterov: true }),
        A(AdaGrad { learning_rate: 0.1, ..Default::default() }),
        D(Adam { learning_rate: 0.1, ..Default::default() }),
        D(Adam { learning_rate: 0.1, decay: 0.1, ..Default::default() }),
        D(Adam { learning_rate: 0.1, beta1: 0.0, beta2: 0.5, epsilon: 0.1, decay: 0.0 }),
    ]
}

impl Optimizer {
    /// Step number `step` by the kernels; `state` is two slices for all.
    fn step(
        self,
        level: Level,
        step: u32,
        (penalty, scale): (Penalty, f32),
        grad: &[f32],
        params: &mut [f32],
        [first, second]: [&mut [f32]; 2],
    ) -> Result<(), Error> {
        match self {
            G(sgd) => optim::sgd(level, &sgd, penalty, scale, grad, params),
            M(momentum) => optim::momentum(level, &momentum, penalty, scale, grad, params, first),
            A(adagrad) => optim::adagrad(level, &adagrad, penalty, scale, grad, params, first),
            D(adam) => {
                let step = adam.at_step(step)?;
                optim::adam(level, &step, penalty, scale, grad, params, first, second)
            }
        }
    }

    /// The same for one parameter, as the papers write it, in f64.
    fn oracle(self, step: u32, g: f64, w: &mut f64, first: &mut f64, second: &mut f64) {
        match self {
            G(Sgd { learning_rate }) => *w -= f64::from(learning_rate) * g,
            M(Momentum { learning_rate, momentum, nesterov }) => {
                let (lr, mu) = (f64::from(learning_rate), f64::from(momentum));
                *first = mu * *first + g;
                *w -= lr * if nesterov { g + mu * *first } else { *first };
            }
            A(AdaGrad { learning_rate, epsilon }) => {
                *first += g * g;
                *w -= f64::from(learning_rate) * g / (first.sqrt() + f64::from(epsilon));
            }
            D(Adam { learning_rate, beta1, beta2, epsilon, decay }) => {
                let (lr, epsilon) = (f64::from(learning_rate), f64::from(epsilon));
                let (beta1, beta2) = (f64::from(beta1), f64::from(beta2));
                *w -= lr * f64::from(decay) * *w;
                *first = beta1 * *first + (1.0 - beta1) * g;
                *second = beta2 * *second + (1.0 - beta2) * g * g;
                let power = i32::try_from(step).unwrap();
                let mean = *first / (1.0 - beta1.powi(power));
                let square = *second / (1.0 - beta2.powi(power));
                *w -= lr * mean / (square.sqrt() + epsilon);
            }
        }
    }
}

fn penalised(penalty: Penalty, g: f32, w: f64) -> f64 {
    let sign = if w == 0.0 { 0.0 } else { w.signum() };
    f64::from(g) + f64::from(penalty.l1) * sign + 2.0 * f64::from(penalty.l2) * w
}

const REGULARISED: [(Penalty, f32); 4] = [
    (Penalty::NONE, 1.0),
    (Penalty::NONE, 0.3),
    (Penalty { l1: 0.02, l2: 0.0 }, 1.0),
    (Penalty { l1: 0.01, l2: 0.05 }, 0.7),
];

#[test]
fn steps_follow_the_recursion() {
    let mut numbers = Numbers(1);
    for optimizer in optimizers() {
        for regularised in REGULARISED {
            let (penalty, scale) = regularised;
            for len in lengths() {
                let offset = len % 3;
                // Far enough from zero that f32 and f64 do not differ in a sign on the way.
                let mut start = numbers.vec(len + offset, 3.0, 4.0);
                start.iter_mut().step_by(3).for_each(|w| *w = -*w);
                let grads: Vec<_> = (0..4).map(|_| numbers.vec(len, -1.0, 1.0)).collect();
                let zeros = vec![0.0f64; len];
                let (mut first, mut second) = (zeros.clone(), zeros);
                let mut expected: Vec<_> = start[offset..].iter().map(|w| f64::from(*w)).collect();
                for (step, grad) in (1..).zip(&grads) {
                    let states = first.iter_mut().zip(&mut second);
                    for ((w, g), (m, v)) in expected.iter_mut().zip(grad).zip(states) {
                        let g = f64::from(scale) * penalised(penalty, *g, *w);
                        optimizer.oracle(step, g, w, m, v);
                    }
                }
                let run = |level| {
                    let mut params = start.clone();
                    let (mut m, mut v) = (vec![0.0; len + 1], vec![0.0; len + 2]);
                    for (step, grad) in (1..).zip(&grads) {
                        let state = [&mut m[1..], &mut v[2..]];
                        let params = &mut params[offset..];
                        optimizer.step(level, step, regularised, grad, params, state).unwrap();
                    }
                    assert_eq!(params[..offset], start[..offset]);
                    [&params[offset..], &m[1..], &v[2..]].concat()
                };
                for level in Level::available() {
                    let found = run(level);
                    let (params, state) = found.split_at(len);
                    let what = format!("{optimizer:?} {regularised:?} {len} at {level}");
                    for (found, expected) in params.iter().zip(&expected) {
                        // Four roundings of a parameter below 4.6, and of steps below 1.
                        close(*found, *expected, 4.0 * (4.0 + 1.0) * U, &what);
                    }
                    for (found, expected) in state.iter().zip(first.iter().chain(&second)) {
                        // As many of state that may have been near two, and cancelled.
                        close(*found, *expected, 4.0 * 2.0 * U * expected.abs().max(1.0), &what);
                    }
                }
                same_bits("optimizer", false, run);
            }
        }
    }
}

/// The corrections for the bias, seen through one step from known state.
#[test]
fn bias_corrections_are_accurate_at_every_step() {
    let steps = (1..100).chain([999, 1000, 12_345, 1_000_000, u32::MAX]);
    for step in steps {
        for beta1 in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0 - f32::EPSILON / 2.0] {
            for beta2 in [0.0, 0.3, 0.9, 0.999, 0.9999, 1.0 - f32::EPSILON / 2.0] {
                let adam = Adam { learning_rate: 1.0, beta1, beta2, ..Default::default() };
                let prepared = adam.at_step(step).unwrap();
                let (mut w, mut m, mut v) = ([0.0], [1.0], [1.0]);
                let none = Penalty::NONE;
                let level = Level::detect();
                optim::adam(level, &prepared, none, 1.0, &[1.0], &mut w, &mut m, &mut v).unwrap();
                let correction = |beta: f32| -(f64::from(step) * f64::from(beta).ln()).exp_m1();
                let root = (1.0 / correction(beta2)).sqrt() + f64::from(adam.epsilon);
                let expected = -1.0 / correction(beta1) / root;
                let what = format!("step {step}, betas {beta1}, {beta2}");
                close(w[0], expected, 6.0 * U * expected.abs(), &what);
            }
        }
    }
}

#[test]
fn cutting_a_slice_changes_no_bit() {
    let mut numbers = Numbers(3);
    // The longer one is asked for ahead of its loop, and its parts are not.
    for cuts in [&[0, 1, 8, 50, 67, 160, 203][..], &[0, 30_000, 60_001, (1 << 16) + 3]] {
        let len = cuts[cuts.len() - 1];
        let (start, grad) = (numbers.vec(len, -1.0, 1.0), numbers.vec(len, -1.0, 1.0));
        for optimizer in optimizers() {
            for level in Level::available() {
                let run = |cuts: &[usize]| {
                    let (mut w, mut m, mut v) = (start.clone(), vec![0.1; len], vec![0.2; len]);
                    for cut in cuts.windows(2) {
                        let part = cut[0]..cut[1];
                        let state = [&mut m[part.clone()], &mut v[part.clone()]];
                        let (grad, params) = (&grad[part.clone()], &mut w[part]);
                        optimizer.step(level, 2, REGULARISED[3], grad, params, state).unwrap();
                    }
                    [w, m, v].concat()
                };
                assert!(run(&[0, len]) == run(cuts), "{optimizer:?} {level}, {len} parameters");
            }
        }
    }
}

#[test]
fn special_values() {
    for optimizer in optimizers() {
        for level in Level::available() {
            let run = |grad: f32, w: f32, regularised| {
                let (mut w, mut m, mut v) = ([1.0, w, 1.0], [0.0; 3], [0.0; 3]);
                let grad = [1.0, grad, 1.0];
                let state = [&mut m[..], &mut v[..]];
                optimizer.step(level, 1, regularised, &grad, &mut w, state).unwrap();
                assert_eq!(w[0].to_bits(), w[2].to_bits());
                w
            };
            let l1 = Penalty { l1: 0.5, l2: 0.0 };
            let l2 = Penalty { l1: 0.0, l2: 0.5 };
            for penalty in [Penalty::NONE, l1, l2] {
                for w in [run(f32::NAN, 1.0, (penalty, 1.0)), run(1.0, f32::NAN, (penalty, 1.0))] {
                    assert!(w[1].is_nan() && w[0].is_finite(), "{optimizer:?} {level}");
                }
                assert!(run(1.0, 1.0, (penalty, f32::NAN))[1].is_nan());
            }
            // No sign, no step; and no state, no division of zero by zero.
            for zero in [0.0, -0.0] {
                assert_eq!(run(zero, zero, (l1, 1.0))[1], 0.0);
                assert_eq!(run(zero, zero, (Penalty::NONE, 1.0))[1], 0.0);
            }
            // An infinite parameter stays, unless a share of it is taken away.
            if !matches!(optimizer, D(Adam { decay, .. }) if decay > 0.0) {
                for w in [f32::INFINITY, f32::NEG_INFINITY] {
                    for penalty in [Penalty::NONE, l1] {
                        let what = format!("{optimizer:?} {penalty:?} {level}");
                        assert_eq!(run(1.0, w, (penalty, 1.0))[1], w, "{what}");
                    }
                }
            }
            // An infinite gradient moves infinitely far, or by ∞/∞.
            let w = run(f32::INFINITY, 1.0, (Penalty::NONE, 1.0))[1];
            assert_eq!(w.is_nan(), matches!(optimizer, A(_) | D(_)), "{optimizer:?} {level}");
            assert!(w.is_nan() || w == f32::NEG_INFINITY, "{optimizer:?} {level}");
            // The penalty alone pulls towards zero, from subnormal numbers too.
            for w in [1.0, f32::from_bits(1)] {
                assert!(run(0.0, w, (l1, 1.0))[1] < w);
                assert!(run(-0.0, -w, (l1, 1.0))[1] > -w);
            }
        }
    }
}

#[test]
fn huge_gradients_stop_adaptive_optimizers() {
    for level in Level::available() {
        let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
        let step = Adam::default().at_step(1).unwrap();
        let none = Penalty::NONE;
        optim::adam(level, &step, none, 1.0, &[1e30], &mut w, &mut m, &mut v).unwrap();
        assert_eq!((w, v), ([1.0], [f32::INFINITY]));
        // Nor does the learning rate make the gradient overflow on the way.
        let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
        let step = Adam { learning_rate: 1e4, ..Default::default() }.at_step(1).unwrap();
        optim::adam(level, &step, none, 1.0, &[-1e38], &mut w, &mut m, &mut v).unwrap();
        assert_eq!((w, v), ([1.0], [f32::INFINITY]));
        let (mut w, mut sum) = ([1.0], [0.0]);
        let adagrad = AdaGrad { learning_rate: 10.0, ..Default::default() };
        optim::adagrad(level, &adagrad, none, 1.0, &[1e38], &mut w, &mut sum).unwrap();
        assert_eq!((w, sum), ([1.0], [f32::INFINITY]));
        // The smallest epsilon still keeps zero state from dividing by zero.
        let adam = Adam { epsilon: f32::from_bits(1), ..Default::default() };
        let (mut w, mut m, mut v) = ([1.0], [0.0], [0.0]);
        let step = adam.at_step(1).unwrap();
        optim::adam(level, &step, none, 1.0, &[0.0], &mut w, &mut m, &mut v).unwrap();
        assert_eq!(w, [1.0]);
    }
}

#[test]
fn penalties_and_norms_against_f64() {
    let mut numbers = Numbers(4);
    for len in lengths().chain([20_001]) {
        let (grad, w) = (numbers.vec(len, -1.0, 1.0), numbers.vec(len, -2.0, 2.0));
        for (penalty, _) in REGULARISED {
            let (l1, l2) = (f64::from(penalty.l1), f64::from(penalty.l2));
            let weight = |w: &f32| f64::from(*w);
            let expected: f64 = w.iter().map(weight).map(|w| l1 * w.abs() + l2 * w * w).sum();
            let squares: f64 =
                grad.iter().zip(&w).map(|(g, w)| penalised(penalty, *g, weight(w)).powi(2)).sum();
            // The parts of a gradient may cancel, their rounding errors do not.
            let parts: f64 = grad
                .iter()
                .zip(&w)
                .map(|(g, w)| penalised(penalty, g.abs(), weight(w).abs()).powi(2))
                .sum();
            let additions = (len.min(16_384) / 64 + 14) as f64;
            for level in Level::available() {
                let what = format!("{penalty:?} of {len} at {level}");
                let found = optim::penalty(level, &w, penalty).unwrap();
                close(found, expected, additions * U * expected, &what);
                let found = optim::gradient_sum_squares(level, &grad, &w, penalty).unwrap();
                close(found, squares, additions * U * parts, &what);
            }
            same_bits("penalty", false, |level| {
                let squares = optim::gradient_sum_squares(level, &grad, &w, penalty).unwrap();
                vec![optim::penalty(level, &w, penalty).unwrap(), squares]
            });
        }
    }
    for level in Level::available() {
        let l1 = Penalty { l1: 1.0, l2: 0.0 };
        let squares = |g, w| optim::gradient_sum_squares(level, &[g], &[w], l1).unwrap();
        assert_eq!(squares(2.0, 0.0), 4.0);
        assert!(squares(f32::NAN, 1.0).is_nan());
        assert!(squares(1.0, f32::NAN).is_nan());
        assert_eq!(squares(2.0, f32::NEG_INFINITY), 1.0);
        assert!(optim::penalty(level, &[f32::NAN], l1).unwrap().is_nan());
        assert_eq!(optim::penalty(level, &[f32::NEG_INFINITY], l1), Ok(f32::INFINITY));
        let l2 = Penalty { l1: 0.0, l2: f32::MAX / 2.0 };
        assert_eq!(optim::gradient_sum_squares(level, &[1.0], &[0.0], l2), Ok(1.0));
        assert_eq!(optim::penalty(level, &[f32::NAN], Penalty::NONE), Ok(0.0));
    }
}

#[test]
fn clipping_bounds_the_step() {
    let grad = [3.0, 4.0];
    for level in Level::available() {
        for (max_norm, expected) in [(1.0, [-0.6, -0.8]), (5.0, [-3.0, -4.0]), (9.0, [-3.0, -4.0])]
        {
            let mut params = [0.0; 2];
            let squares =
                optim::gradient_sum_squares(level, &grad, &params, Penalty::NONE).unwrap();
            let scale = optim::clip_scale(squares, max_norm).unwrap();
            let sgd = Sgd { learning_rate: 1.0 };
            optim::sgd(level, &sgd, Penalty::NONE, scale, &grad, &mut params).unwrap();
            for (found, expected) in params.into_iter().zip(expected) {
                close(found, expected, 4.0 * U * 4.0, &max_norm);
            }
        }
    }
    assert!(optim::clip_scale(f32::NAN, 1.0).unwrap().is_nan());
    assert_eq!(optim::clip_scale(f32::INFINITY, 1.0), Ok(0.0));
    assert_eq!(optim::clip_scale(0.0, 1.0), Ok(1.0));
    for max_norm in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(optim::clip_scale(1.0, max_norm), Err(Error::Parameter { .. })));
    }
}

#[test]
fn bad_settings_are_refused_and_nothing_written() {
    let none = Penalty::NONE;
    let bad = [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let mut cases = Vec::new();
    for bad in bad {
        cases.push((G(Sgd { learning_rate: bad }), none));
        cases.push((M(Momentum { learning_rate: bad, ..Default::default() }), none));
        cases.push((M(Momentum { momentum: bad, ..Default::default() }), none));
        cases.push((A(AdaGrad { learning_rate: bad, ..Default::default() }), none));
        cases.push((A(AdaGrad { epsilon: bad, ..Default::default() }), none));
        cases.push((D(Adam { learning_rate: bad, ..Default::default() }), none));
        cases.push((D(Adam { beta1: bad, ..Default::default() }), none));
        cases.push((D(Adam { beta2: bad, ..Default::default() }), none));
        cases.push((D(Adam { epsilon: bad, ..Default::default() }), none));
        cases.push((D(Adam { decay: bad, ..Default::default() }), none));
        for optimizer in optimizers() {
            cases.push((optimizer, Penalty { l1: bad, l2: 0.0 }));
            cases.push((optimizer, Penalty { l1: 0.0, l2: bad }));
        }
        let penalty = Penalty { l1: bad, l2: 0.0 };
        assert!(optim::gradient_sum_squares(Level::PORTABLE, &[], &[], penalty).is_err());
        assert!(optim::penalty(Level::PORTABLE, &[], penalty).is_err());
    }
    // Finite settings whose product is not.
    cases.push((D(Adam { learning_rate: 3e38, beta1: 0.999, ..Default::default() }), none));
    cases.push((D(Adam { learning_rate: 1e20, decay: 1e20, ..Default::default() }), none));
    for optimizer in optimizers() {
        cases.push((optimizer, Penalty { l1: 0.0, l2: f32::MAX }));
    }
    cases.push((M(Momentum { momentum: 1.0, ..Default::default() }), none));
    cases.push((A(AdaGrad { epsilon: 0.0, ..Default::default() }), none));
    cases.push((D(Adam { beta1: 1.0, ..Default::default() }), none));
    cases.push((D(Adam { beta2: 1.0, ..Default::default() }), none));
    cases.push((D(Adam { epsilon: 0.0, ..Default::default() }), none));
    for level in Level::available() {
        for (optimizer, penalty) in &cases {
            let (mut w, mut m, mut v) = ([1.0; 20], [2.0; 20], [3.0; 20]);
            let state = [&mut m[..], &mut v[..]];
            let found = optimizer.step(level, 1, (*penalty, 1.0), &[1.0; 20], &mut w, state);
            assert!(matches!(found, Err(Error::Parameter { .. })), "{optimizer:?} {penalty:?}");
            assert_eq!((w, m, v), ([1.0; 20], [2.0; 20], [3.0; 20]));
        }
        for optimizer in optimizers() {
            for wrong in 0..4 {
                let mut lens = [20; 4];
                lens[wrong] = 19;
                // What does not use a slice cannot refuse its length.
                let slices = match optimizer {
                    G(_) => 2,
                    M(_) | A(_) => 3,
                    D(_) => 4,
                };
                let (grad, mut w) = ([1.0; 20], [1.0; 20]);
                let (mut m, mut v) = ([2.0; 20], [3.0; 20]);
                let state = [&mut m[..lens[2]], &mut v[..lens[3]]];
                let (grad, params) = (&grad[..lens[0]], &mut w[..lens[1]]);
                let found = optimizer.step(level, 1, (none, 1.0), grad, params, state);
                assert_eq!(found.is_err(), wrong < slices, "{optimizer:?} {wrong}");
                if wrong < slices {
                    assert!(matches!(found, Err(Error::Length { .. })));
                    assert_eq!(bits(&w), bits(&[1.0; 20]));
                    assert_eq!((m, v), ([2.0; 20], [3.0; 20]));
                }
            }
        }
        assert!(matches!(
            optim::gradient_sum_squares(level, &[1.0; 3], &[1.0; 4], none),
            Err(Error::Length { .. })
        ));
    }
    assert!(matches!(Adam::default().at_step(0), Err(Error::Parameter { what: "step", .. })));
}

/// Without gradient the mean decays to zero, not to a subnormal number that stays.
#[test]
fn the_mean_gradient_of_adam_leaves_no_subnormal() {
    for level in Level::available() {
        let (mut params, mut second) = (vec![0.5_f32; 19], vec![1e-6_f32; 19]);
        let mut first: Vec<f32> = (0..19).map(|i| f32::MIN_POSITIVE * (i as f32 - 9.0)).collect();
        let step = Adam::default().at_step(100).unwrap();
        let mut run = |first: &mut [f32]| {
            let grad = [0.0; 19];
            optim::adam(level, &step, Penalty::NONE, 1.0, &grad, &mut params, first, &mut second)
                .unwrap();
        };
        run(&mut first);
        for (i, &m) in first.iter().enumerate() {
            let expected = 0.9 * (f32::MIN_POSITIVE * (i as f32 - 9.0));
            let kept = i.abs_diff(9) > 1;
            assert_eq!(m, if kept { expected } else { 0.0 }, "{level} {i}");
        }
        (0..40).for_each(|_| run(&mut first));
        assert!(first.iter().all(|&m| m == 0.0), "{level}");
    }
}
