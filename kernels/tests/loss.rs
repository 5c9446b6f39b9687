//! Losses against f64, at every level: values, gradients, and gradients against differences.
#![allow(clippy::cast_sign_loss, reason = "class indices are not negative")]

mod common;

use common::{Numbers, bits, close, same_bits};
use slimfit_kernels::loss::{self, Link, Loss, Weights};
use slimfit_kernels::{Error, Level};

/// Half a unit in the last place of 1.
const U: f64 = 1.0 / (1u64 << 24) as f64;

const ELEMENTWISE: [Loss; 5] = [
    Loss::MeanSquaredError,
    Loss::MeanAbsoluteError,
    Loss::Huber(1.0),
    Loss::Huber(0.3),
    Loss::BinaryCrossEntropy,
];

const CLASSES: Loss = Loss::CategoricalCrossEntropy;

/// Loss of one row in f64, from the definition, without row weight; targets as for the kernels.
fn row_loss(loss: Loss, z: &[f64], t: &[f32], class: Option<&[f32]>) -> f64 {
    let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
    let weight = |c: usize| class.map_or(1.0, |class| f64::from(class[c]));
    if loss == CLASSES {
        let c = t[0] as usize;
        // Relative to the class: the sum of the others is all that a right answer's loss is.
        let others = z.iter().enumerate().filter(|(j, _)| *j != c);
        let top = z.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let others: f64 = others.map(|(_, x)| (x - top).exp()).sum();
        let hit = (z[c] - top).exp();
        return weight(c) * ((top - z[c]) + (others + (hit - 1.0)).ln_1p());
    }
    z.iter()
        .zip(t)
        .map(|(z, t)| {
            let t = f64::from(*t);
            let d = z - t;
            match loss {
                Loss::MeanSquaredError => d * d,
                Loss::MeanAbsoluteError => d.abs(),
                Loss::Huber(delta) => {
                    let delta = f64::from(delta);
                    let size = d.abs();
                    if size <= delta { d * d / 2.0 } else { delta * (size - delta / 2.0) }
                }
                _ => {
                    let weight = t * weight(1) + (1.0 - t) * weight(0);
                    weight * (t * softplus(-z) + (1.0 - t) * softplus(*z))
                }
            }
        })
        .sum()
}

/// Slopes of one row's loss in f64, from the derivative's formula, and the absolute size of what
/// they are the sum of.
fn row_slopes(loss: Loss, z: &[f64], t: &[f32], class: Option<&[f32]>) -> Vec<(f64, f64)> {
    let weight = |c: usize| class.map_or(1.0, |class| f64::from(class[c]));
    if loss == CLASSES {
        let c = t[0] as usize;
        let top = z.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let e: Vec<_> = z.iter().map(|x| (x - top).exp()).collect();
        let others: f64 = e.iter().enumerate().filter(|(j, _)| *j != c).map(|(_, e)| e).sum();
        let of = |j| weight(c) * if j == c { -others } else { e[j] } / (others + e[c]);
        return (0..z.len()).map(|j| (of(j), of(j).abs())).collect();
    }
    let of = |(z, t): (&f64, &f32)| {
        let t = f64::from(*t);
        let d = z - t;
        let slope = match loss {
            Loss::MeanSquaredError => 2.0 * d,
            Loss::MeanAbsoluteError => {
                if d == 0.0 {
                    0.0
                } else {
                    d.signum()
                }
            }
            Loss::Huber(delta) => d.clamp(-f64::from(delta), f64::from(delta)),
            _ => {
                let weight = t * weight(1) + (1.0 - t) * weight(0);
                // σ(z) - t = (1-t)·σ(z) - t·σ(-z)
                let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
                let (up, down) = ((1.0 - t) * sigmoid(*z), t * sigmoid(-z));
                return (weight * (up - down), weight * (up + down));
            }
        };
        // The difference itself is rounded.
        (slope, slope.abs())
    };
    z.iter().zip(t).map(of).collect()
}

struct Case {
    loss: Loss,
    outputs: Vec<f32>,
    cols: usize,
    targets: Vec<f32>,
    sample: Option<Vec<f32>>,
    class: Option<Vec<f32>>,
}

impl Case {
    /// Random, with logits of up to `range`.
    fn random(n: &mut Numbers, loss: Loss, rows: usize, cols: usize, range: f32) -> Self {
        let outputs = n.vec(rows * cols, -range, range);
        let targets = match loss {
            CLASSES => (0..rows).map(|_| (n.bits() % cols as u64) as f32).collect(),
            Loss::BinaryCrossEntropy => (0..rows * cols)
                .map(|_| [0.0, 1.0, n.uniform(0.0, 1.0)][(n.bits() % 3) as usize])
                .collect(),
            _ => n.vec(rows * cols, -2.0, 2.0),
        };
        let classes = match loss {
            CLASSES => cols,
            Loss::BinaryCrossEntropy => 2,
            _ => 0,
        };
        let sample = n.bits().is_multiple_of(2).then(|| n.vec(rows, 0.0, 2.0));
        let class = (classes > 0 && n.bits().is_multiple_of(2)).then(|| n.vec(classes, 0.0, 2.0));
        Self { loss, outputs, cols, targets, sample, class }
    }

    fn weights(&self) -> Weights<'_> {
        Weights { sample: self.sample.as_deref(), class: self.class.as_deref() }
    }

    /// Value and gradient by the kernel, from slices that are not aligned.
    fn run(&self, level: Level) -> (f32, Vec<f32>) {
        let shifted = |x: &[f32]| [&[f32::NAN], x].concat();
        let (outputs, targets) = (shifted(&self.outputs), shifted(&self.targets));
        let mut grad = vec![7.0; self.outputs.len() + 2];
        let end = grad.len() - 1;
        let (outputs, targets) = (&outputs[1..], &targets[1..]);
        let (loss, cols, weights) = (self.loss, self.cols, self.weights());
        let out = &mut grad[1..end];
        let value =
            loss::loss_and_gradient(level, loss, outputs, cols, targets, weights, out).unwrap();
        assert_eq!((grad[0], grad[end]), (7.0, 7.0));
        let alone = loss::value(level, loss, outputs, cols, targets, weights).unwrap();
        assert_eq!(bits(&[alone]), bits(&[value]));
        (value, grad[1..end].to_vec())
    }

    /// Of each row: the weight that its loss has in the mean, its outputs in f64, its targets.
    fn rows(&self) -> impl Iterator<Item = (f64, Vec<f64>, &[f32])> {
        let (rows, cols) = (self.outputs.len() / self.cols, self.cols);
        let per_row = self.targets.len() / rows;
        let count = if self.loss == CLASSES { rows } else { rows * cols } as f64;
        (0..rows).map(move |i| {
            let weight = self.sample.as_ref().map_or(1.0, |sample| f64::from(sample[i])) / count;
            let outputs = &self.outputs[i * cols..(i + 1) * cols];
            let targets = &self.targets[i * per_row..(i + 1) * per_row];
            (weight, outputs.iter().map(|z| f64::from(*z)).collect(), targets)
        })
    }

    fn check(&self, level: Level, argument_error: f64) {
        let what = format!(
            "{:?}, {} outputs in {} columns, at {level}, weights {:?}",
            self.loss,
            self.outputs.len(),
            self.cols,
            (self.sample.is_some(), self.class.is_some())
        );
        let class = self.class.as_deref();
        let (value, grad) = self.run(level);
        let expected: f64 =
            self.rows().map(|(w, z, t)| w * row_loss(self.loss, &z, t, class)).sum();
        let additions = (self.targets.len() / 16).min(64) as f64;
        close(value, expected, (additions + 10.0 + argument_error) * U * expected, &what);
        for ((w, z, t), grad) in self.rows().zip(grad.chunks(self.cols)) {
            let slopes = row_slopes(self.loss, &z, t, class);
            for ((slope, size), found) in slopes.into_iter().zip(grad) {
                let tolerance = (8.0 + argument_error) * U * w * size;
                // Below the normal numbers, a few of the smallest.
                let tolerance = tolerance.max(4.0 * f64::from(f32::from_bits(1)));
                close(*found, w * slope, tolerance, &what);
            }
        }
    }
}

#[test]
fn elementwise_losses_against_f64() {
    let mut numbers = Numbers(1);
    for loss in ELEMENTWISE {
        for rows in common::lengths().skip(1) {
            for (cols, range) in [(1, 3.0), (1, 100.0), (3, 3.0)] {
                let case = Case::random(&mut numbers, loss, rows, cols, range);
                for level in Level::available() {
                    case.check(level, 0.0);
                }
            }
        }
    }
}

#[test]
fn categorical_cross_entropy_against_f64() {
    let mut numbers = Numbers(2);
    for cols in [1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 80, 96, 100, 128, 129, 1000] {
        for rows in [1, 2, 15, 16, 17, 33, 50] {
            for range in [1.0f32, 30.0] {
                let case = Case::random(&mut numbers, CLASSES, rows, cols, range);
                for level in Level::available() {
                    // The rounding of z - M is multiplied by exp; a row's sum has its additions.
                    case.check(level, f64::from(range) + cols.min(1024) as f64 / 16.0);
                }
            }
        }
    }
}

#[test]
fn wide_levels_give_equal_bits() {
    let mut numbers = Numbers(3);
    for loss in ELEMENTWISE.into_iter().chain([CLASSES]) {
        let small = [(1, 1), (7, 3), (64, 1), (33, 10), (2500, 1), (3000, 2)];
        let held = [(100, 17), (37, 40), (21, 64), (19, 90), (9, 100), (17, 128)];
        for (rows, cols) in small.into_iter().chain(held) {
            let case = Case::random(&mut numbers, loss, rows, cols, 40.0);
            same_bits("loss", false, |level| {
                let (value, mut grad) = case.run(level);
                grad.push(value);
                grad
            });
        }
    }
}

/// The kernels' gradients against central differences of the f64 losses.
#[test]
fn gradients_are_derivatives() {
    const STEP: f64 = 1e-5;
    let mut numbers = Numbers(4);
    for loss in ELEMENTWISE.into_iter().chain([CLASSES]) {
        for _ in 0..20 {
            let case = Case::random(&mut numbers, loss, 9, 5, 2.0);
            let class = case.class.as_deref();
            for level in Level::available() {
                let (_, grad) = case.run(level);
                for ((w, z, t), grad) in case.rows().zip(grad.chunks(case.cols)) {
                    for (j, found) in grad.iter().enumerate() {
                        // A difference across a kink is no derivative.
                        let kink = match loss {
                            Loss::MeanAbsoluteError => (z[j] - f64::from(t[j])).abs(),
                            Loss::Huber(delta) => (z[j] - f64::from(t[j])).abs() - f64::from(delta),
                            _ => 1.0,
                        };
                        if kink.abs() < 2.0 * STEP {
                            continue;
                        }
                        let at = |step: f64| {
                            let mut z = z.clone();
                            z[j] += step;
                            w * row_loss(loss, &z, t, class)
                        };
                        let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                        let tolerance = 10.0 * U * w * 8.0 + 1e-9;
                        close(*found, expected, tolerance, &format!("{loss:?} {j} at {level}"));
                    }
                }
            }
        }
    }
}

/// A loss of 1e-30 has as many digits as one of 1.
#[test]
fn confident_answers_keep_their_digits() {
    for margin in 0..87 {
        let margin = margin as f32;
        for (outputs, targets) in [([margin, -margin], [1.0, 0.0]), ([-margin, margin], [1.0, 0.0])]
        {
            let case = |loss, outputs: &[f32], cols, targets: &[f32]| Case {
                loss,
                outputs: outputs.to_vec(),
                cols,
                targets: targets.to_vec(),
                sample: None,
                class: None,
            };
            let rows = [outputs[0], 0.0, 0.0, outputs[0]];
            for level in Level::available() {
                case(Loss::BinaryCrossEntropy, &outputs, 1, &targets).check(level, 0.0);
                case(CLASSES, &rows, 2, &[0.0, 1.0]).check(level, 0.0);
            }
        }
    }
}

/// A wrong answer whose probability is below all f32 still has its finite loss and full slopes.
#[test]
fn hopeless_answers_have_a_finite_loss() {
    for level in Level::available() {
        for cols in [2, 16, 40] {
            let mut outputs = vec![-500.0; cols];
            outputs[cols - 1] = 300.0;
            let (mut grad, weights) = (vec![7.0; cols], Weights::default());
            let found =
                loss::loss_and_gradient(level, CLASSES, &outputs, cols, &[0.0], weights, &mut grad);
            assert_eq!(found, Ok(800.0));
            assert_eq!((grad[0], grad[cols - 1]), (-1.0, 1.0));
            assert!(grad[1..cols - 1].iter().all(|g| *g == 0.0));
        }
    }
}

#[test]
fn a_large_batch_loses_no_precision() {
    let (rows, expected) = (1_000_003, f64::from(0.1f32) * f64::from(0.1f32));
    let outputs = vec![0.1; rows];
    let targets = vec![0.0; rows];
    for level in Level::available() {
        let weights = Weights::default();
        let found =
            loss::value(level, Loss::MeanSquaredError, &outputs, 1, &targets, weights).unwrap();
        close(found, expected, 64.0 * U * expected, &level);
        let logits = vec![0.1; 3 * 300_007];
        let found = loss::value(level, CLASSES, &logits, 3, &targets[..300_007], weights).unwrap();
        close(found, 3f64.ln(), 6.0 * U * 3f64.ln(), &level);
    }
}

/// Rows of many pieces, whose largest logit is found late or early.
#[test]
fn pieces_of_a_row() {
    let mut numbers = Numbers(8);
    for cols in [1025, 9001, 140_001] {
        let mut case = Case::random(&mut numbers, CLASSES, 2, cols, 30.0);
        let (rising, falling) = case.outputs.split_at_mut(cols);
        rising.sort_by(f32::total_cmp);
        falling.sort_by(|a, b| b.total_cmp(a));
        for level in Level::available() {
            case.check(level, 2.0 * 30.0 + 64.0);
        }
        same_bits("loss", false, |level| case.run(level).1);
    }
}

/// Sixteen logits that are right and a million that each add less than the sum of their lane shows.
#[test]
fn a_wide_row_loses_no_precision() {
    let cols = 1 << 20;
    let mut outputs = vec![-16.64; cols];
    outputs[..16].fill(0.0);
    let case = Case { loss: CLASSES, outputs, cols, targets: vec![0.0], sample: None, class: None };
    for level in Level::available() {
        // A hundred roundings where a chain of the whole row would have 65,536.
        case.check(level, 100.0);
    }
}

#[test]
fn weights_multiply() {
    let (outputs, targets) = ([0.5, -1.0, 2.0, 0.25], [1.0, 0.0, 1.0, 0.0]);
    let (sample, class) = ([1.0, 2.0, 0.5, 3.0], [2.0, 4.0]);
    for level in Level::available() {
        let run = |loss, cols, targets: &[f32], weights| {
            let mut grad = [0.0; 4];
            let value =
                loss::loss_and_gradient(level, loss, &outputs, cols, targets, weights, &mut grad);
            (value.unwrap(), grad)
        };
        let weights = Weights { sample: Some(&sample), class: Some(&class) };
        // The weight of each row alone, as a sample weight without class weights.
        let product = [4.0, 4.0, 2.0, 6.0];
        let alone = Weights { sample: Some(&product), class: None };
        let loss = Loss::BinaryCrossEntropy;
        let (both, single) = (run(loss, 1, &targets, weights), run(loss, 1, &targets, alone));
        assert_eq!(both.1, single.1);
        close(both.0, f64::from(single.0), 4.0 * U * f64::from(single.0), &level);
        // Weights of one change no bit, in any number of columns.
        for loss in ELEMENTWISE {
            for cols in [1, 2, 4] {
                let ones = Weights { sample: Some(&[1.0; 4][..4 / cols]), class: None };
                assert_eq!(
                    run(loss, cols, &targets, ones),
                    run(loss, cols, &targets, Weights::default())
                );
            }
        }
        let classes = [1.0, 0.0];
        let weights = Weights { sample: Some(&[1.5, 0.5]), class: Some(&class) };
        let alone = Weights { sample: Some(&[6.0, 1.0]), class: None };
        assert_eq!(run(CLASSES, 2, &classes, weights), run(CLASSES, 2, &classes, alone));
    }
}

#[test]
fn special_values() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for level in Level::available() {
        // Seventeen rows, so that the special one meets whole blocks and tails.
        for at in [0, 5, 16] {
            let run = |loss, value: f32, target: f32| {
                let (mut outputs, mut targets) = ([1.0; 17], [0.0; 17]);
                (outputs[at], targets[at]) = (value, target);
                let (mut grad, weights) = ([0.0; 17], Weights::default());
                let found =
                    loss::loss_and_gradient(level, loss, &outputs, 1, &targets, weights, &mut grad);
                let slope = grad[at];
                grad[at] = 0.0;
                assert!(grad.iter().all(|g| g.is_finite()));
                (found.unwrap(), slope * 17.0)
            };
            for loss in ELEMENTWISE {
                let (value, slope) = run(loss, nan, 0.0);
                assert!(value.is_nan() && slope.is_nan(), "{loss:?} at {level}");
                assert_eq!(run(loss, inf, 0.0).0, inf);
            }
            let close = |(value, slope): (f32, f32), expected: (f32, f32)| {
                assert!(value == expected.0 || (value - expected.0).abs() < 1e-6);
                assert!(slope == expected.1 || (slope - expected.1).abs() < 1e-6);
            };
            close(run(Loss::MeanSquaredError, -inf, 0.0), (inf, -inf));
            close(run(Loss::MeanAbsoluteError, -inf, 0.0), (inf, -1.0));
            close(run(Loss::Huber(0.5), -inf, 0.0), (inf, -0.5));
            assert_eq!(run(Loss::MeanAbsoluteError, 0.0, 0.0).1, 0.0);
            let loss = Loss::BinaryCrossEntropy;
            let others = 16.0 * 1f32.exp().ln_1p() / 17.0;
            close(run(loss, inf, 1.0), (others, 0.0));
            close(run(loss, -inf, 0.0), (others, 0.0));
            close(run(loss, inf, 0.0), (inf, 1.0));
            close(run(loss, -inf, 1.0), (inf, -1.0));
            close(run(loss, -inf, 0.5), (inf, -0.5));
        }
        // A gradient that f32 holds, of a difference that doubled it does not.
        let (mut grad, weights) = ([0.0; 4], Weights::default());
        let (loss, outputs) = (Loss::MeanSquaredError, [2e38, 0.0, 0.0, 0.0]);
        loss::loss_and_gradient(level, loss, &outputs, 1, &[0.0; 4], weights, &mut grad).unwrap();
        assert_eq!(grad, [1e38, 0.0, 0.0, 0.0]);
        // A mean that f32 holds, of a loss that it does not.
        for cols in [3, 16, 40, 1000] {
            let mut outputs = vec![0.0; 4 * cols];
            (outputs[0], outputs[1]) = (3e38, -3e38);
            let (targets, mut grad) = ([1.0; 4], vec![0.0; 4 * cols]);
            let found = loss::loss_and_gradient(
                level, CLASSES, &outputs, cols, &targets, weights, &mut grad,
            );
            assert_eq!(found.unwrap(), 1.5e38, "{cols} columns at {level}");
            assert_eq!(grad[..3], [0.25, -0.25, 0.0]);
        }
        for cols in [3, 16, 40] {
            // No class is possible.
            let (outputs, mut grad) = (vec![-inf; cols], vec![0.0; cols]);
            let found =
                loss::loss_and_gradient(level, CLASSES, &outputs, cols, &[1.0], weights, &mut grad);
            assert!(found.unwrap().is_nan() && grad.iter().all(|g| g.is_nan()));
            let run = |class: usize, j: usize, z: f32| {
                let mut outputs = vec![0.0; 2 * cols];
                outputs[j] = z;
                let mut grad = vec![0.0; 2 * cols];
                let (targets, weights) = ([class as f32, 1.0], Weights::default());
                let found = loss::loss_and_gradient(
                    level, CLASSES, &outputs, cols, &targets, weights, &mut grad,
                );
                assert!(grad[cols..].iter().all(|g| g.is_finite()));
                grad.truncate(cols);
                (found.unwrap(), grad)
            };
            for j in [0, cols - 1] {
                for class in [0, cols - 1] {
                    for z in [nan, inf] {
                        let (value, grad) = run(class, j, z);
                        assert!(value.is_nan() && grad.iter().all(|g| g.is_nan()));
                    }
                    let (value, grad) = run(class, j, -inf);
                    assert_eq!(value == inf, j == class);
                    assert_eq!(grad[j], if j == class { -0.5 } else { 0.0 });
                }
            }
        }
    }
}

#[test]
fn bad_input_is_refused_and_nothing_written() {
    let none = Weights::default();
    for level in Level::available() {
        let refused = |loss, outputs: &[f32], cols, targets: &[f32], weights, grad: usize| {
            let mut grad = vec![7.0; grad];
            let error =
                loss::loss_and_gradient(level, loss, outputs, cols, targets, weights, &mut grad)
                    .unwrap_err();
            assert!(grad.iter().all(|g| *g == 7.0));
            if grad.len() == outputs.len() {
                let alone = loss::value(level, loss, outputs, cols, targets, weights);
                assert_eq!(format!("{alone:?}"), format!("Err({error:?})"));
            }
            error
        };
        let x = [0.5; 40];
        for loss in ELEMENTWISE.into_iter().chain([CLASSES]) {
            let targets = if loss == CLASSES { &[0.0; 20][..] } else { &[0.0; 40][..] };
            let length = |error| assert!(matches!(error, Error::Length { .. }), "{error}");
            length(refused(loss, &x, 2, targets, none, 39));
            length(refused(loss, &x, 2, &targets[1..], none, 40));
            length(refused(loss, &x[..39], 2, targets, none, 39));
            length(refused(loss, &x, 0, targets, none, 40));
            length(refused(loss, &[], 2, &[], none, 0));
            let sample = Weights { sample: Some(&x[..19]), class: None };
            length(refused(loss, &x, 2, targets, sample, 40));
            let class = Weights { sample: None, class: Some(&x[..3]) };
            let error = refused(loss, &x, 2, targets, class, 40);
            if loss.link() == Link::Identity {
                assert!(matches!(error, Error::Combination(_)));
            } else {
                length(error);
            }
        }
        for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = refused(Loss::Huber(delta), &x, 1, &x, none, 40);
            assert!(matches!(error, Error::Parameter { what: "Huber threshold", .. }));
        }
        for bad in [-1e-7, 1.000_000_1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 17, 39] {
                let mut targets = [1.0; 40];
                targets[at] = bad;
                let error = refused(Loss::BinaryCrossEntropy, &x, 1, &targets, none, 40);
                let Error::Parameter { found, .. } = error else { panic!("{error}") };
                assert_eq!(bits(&[found]), bits(&[bad]));
            }
        }
        for bad in [-1.0, 0.5, 2.0, 1e30, f32::NAN, f32::INFINITY] {
            for at in [0, 17, 19] {
                let mut targets = [1.0; 20];
                targets[at] = bad;
                let error = refused(CLASSES, &x, 2, &targets, none, 40);
                let Error::Class { row, found, classes: 2 } = error else { panic!("{error}") };
                assert_eq!((row, bits(&[found])), (at, bits(&[bad])));
            }
        }
    }
}

#[test]
fn links() {
    assert_eq!(Loss::Huber(1.0).link(), Link::Identity);
    assert_eq!(Loss::BinaryCrossEntropy.link(), Link::Sigmoid);
    assert_eq!(CLASSES.link(), Link::Softmax);
}
