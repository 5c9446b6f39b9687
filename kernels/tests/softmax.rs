//! Softmax and its relatives against f64, and their gradients against numerical ones.

mod common;

use common::same;
use slimfit_kernels::{Error, Level, softmax};

/// Numbers from -spread to spread, without a pattern.
fn data(len: usize, spread: f32) -> Vec<f32> {
    let mut state = 0x2545_f491u32;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32 * 2.0 - 1.0) * spread
        })
        .collect()
}

fn log_sum_exp_f64(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + libm::log(row.iter().map(|x| libm::exp(x - max)).sum::<f64>())
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|x| f64::from(*x)).collect()
}

const COLS: [usize; 14] = [1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 33, 67, 1000];

#[test]
fn values() {
    for level in Level::available() {
        for cols in COLS {
            for spread in [0.1, 3.0, 30.0, 1000.0] {
                // Short rows go in groups of up to sixteen, and what is left one by one.
                let rows = if cols <= 16 { 37 } else { 5 };
                let x = data(cols * rows, spread);
                let mut probabilities = vec![7.0; x.len()];
                let mut logs = vec![7.0; x.len()];
                let mut sums = vec![7.0; rows];
                softmax::softmax(level, &x, cols, &mut probabilities).unwrap();
                softmax::log_softmax(level, &x, cols, &mut logs).unwrap();
                softmax::log_sum_exp(level, &x, cols, &mut sums).unwrap();
                // x - max is rounded: half an ULP of at most 2 * spread.
                let rounding = f64::from(spread) * 1.2e-7;
                for (i, row) in x.chunks(cols).enumerate() {
                    let row = wide(row);
                    let total = log_sum_exp_f64(&row);
                    assert!(
                        (f64::from(sums[i]) - total).abs()
                            <= rounding + 4e-7 + 1e-6 * f64::from(total > 9.0)
                    );
                    for (j, x) in row.iter().enumerate() {
                        let (p, log) = (probabilities[i * cols + j], logs[i * cols + j]);
                        let want = libm::exp(x - total);
                        assert!(
                            (f64::from(p) - want).abs() <= want * (rounding + 5e-7) + 1.5e-45,
                            "{p} at {level}, not {want} ({cols} columns, spread {spread})"
                        );
                        assert!(
                            (f64::from(log) - (x - total)).abs() <= 2.0 * rounding + 6e-7,
                            "{log} at {level}, not {} ({cols} columns, spread {spread})",
                            x - total
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gradients() {
    for level in Level::available() {
        for cols in COLS {
            let x = data(cols * 3, 2.0);
            let upstream = data(cols * 4, 1.0).split_off(cols);
            let mut y = vec![0.0; x.len()];
            let mut grad = upstream.clone();
            softmax::softmax(level, &x, cols, &mut y).unwrap();
            softmax::softmax_backward(level, &y, cols, &mut grad).unwrap();
            let mut log_y = vec![0.0; x.len()];
            let mut log_grad = upstream.clone();
            softmax::log_softmax(level, &x, cols, &mut log_y).unwrap();
            softmax::log_softmax_backward(level, &log_y, cols, &mut log_grad).unwrap();
            for i in (0..x.len()).step_by(if cols > 100 { 97 } else { 1 }) {
                let row = i / cols * cols..(i / cols + 1) * cols;
                let g = wide(&upstream[row.clone()]);
                let loss = |delta: f64, log: bool| {
                    let mut x = wide(&x[row.clone()]);
                    x[i % cols] += delta;
                    let total = log_sum_exp_f64(&x);
                    let term = |x: &f64| if log { x - total } else { libm::exp(x - total) };
                    x.iter().zip(&g).map(|(x, g)| g * term(x)).sum::<f64>()
                };
                let h = 1e-5;
                for (got, log) in [(grad[i], false), (log_grad[i], true)] {
                    let want = (loss(h, log) - loss(-h, log)) / (2.0 * h);
                    assert!(
                        (f64::from(got) - want).abs() <= 1e-6,
                        "{got} at {level}, not {want} ({cols} columns, log {log})"
                    );
                }
            }
        }
    }
}

/// Everything at one level, as one list.
fn all(level: Level, x: &[f32], cols: usize) -> Vec<f32> {
    let rows = x.len() / cols;
    let mut out = vec![0.0; 4 * x.len() + rows];
    let (p, rest) = out.split_at_mut(x.len());
    let (log, rest) = rest.split_at_mut(x.len());
    let (p_grad, rest) = rest.split_at_mut(x.len());
    let (log_grad, sums) = rest.split_at_mut(x.len());
    softmax::softmax(level, x, cols, p).unwrap();
    softmax::log_softmax(level, x, cols, log).unwrap();
    p_grad.copy_from_slice(x);
    log_grad.copy_from_slice(x);
    softmax::softmax_backward(level, p, cols, p_grad).unwrap();
    softmax::log_softmax_backward(level, log, cols, log_grad).unwrap();
    softmax::log_sum_exp(level, x, cols, sums).unwrap();
    out
}

#[test]
fn fused_levels_agree_and_in_place_agrees() {
    for cols in (1..=67).chain([1000]) {
        let mut x = vec![0.0];
        x.extend(data(cols * if cols <= 16 { 37 } else { 4 }, 20.0));
        let x = &x[1..];
        let mut results =
            Level::available().filter(|level| level.is_fused()).map(|level| all(level, x, cols));
        if let Some(first) = results.next() {
            for other in results {
                assert!(first.iter().zip(&other).all(|(a, b)| same(*a, *b)), "{cols} columns");
            }
        }
        for level in Level::available() {
            let whole = all(level, x, cols);
            let mut in_place = x.to_vec();
            softmax::softmax_in_place(level, &mut in_place, cols).unwrap();
            assert_eq!(in_place, whole[..x.len()]);
            in_place.copy_from_slice(x);
            softmax::log_softmax_in_place(level, &mut in_place, cols).unwrap();
            assert_eq!(in_place, whole[x.len()..2 * x.len()]);
        }
    }
}

#[test]
fn special_values() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for level in Level::available() {
        for cols in [3, 16, 20, 40] {
            let row = |special: &[f32]| {
                let mut x = vec![0.5; cols];
                x[..special.len()].copy_from_slice(special);
                x
            };
            let apply = |x: &[f32]| {
                let (mut p, mut log, mut sum) = (vec![7.0; cols], vec![7.0; cols], [7.0]);
                softmax::softmax(level, x, cols, &mut p).unwrap();
                softmax::log_softmax(level, x, cols, &mut log).unwrap();
                softmax::log_sum_exp(level, x, cols, &mut sum).unwrap();
                (p, log, sum[0])
            };
            let (p, log, sum) = apply(&row(&[-inf, f32::MAX, -f32::MAX]));
            assert_eq!((&p[..3], &log[..3]), (&[0.0, 1.0, 0.0][..], &[-inf, 0.0, -inf][..]));
            assert_eq!(sum, f32::MAX);
            for (x, want) in [(row(&[inf]), inf), (row(&[1.0, nan]), nan), (vec![-inf; cols], -inf)]
            {
                let (p, log, sum) = apply(&x);
                assert!(p.iter().chain(&log).all(|x| x.is_nan()), "{x:?} at {level}");
                assert!(same(sum, want), "{sum} at {level}, not {want}");
            }
            let mut last = vec![0.5; cols];
            last[cols - 1] = nan;
            assert!(apply(&last).0.iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn bad_shapes_are_refused() {
    let length = |what, expected, found| Err(Error::Length { what, expected, found });
    for level in Level::available() {
        let mut out = [7.0; 6];
        let x = [1.0; 6];
        assert_eq!(softmax::softmax(level, &x, 4, &mut out), length("x", 4, 6));
        assert_eq!(softmax::softmax(level, &x, 0, &mut out), length("x", 0, 6));
        assert_eq!(softmax::softmax(level, &x, 3, &mut out[..5]), length("out", 6, 5));
        assert_eq!(softmax::log_softmax(level, &x, 3, &mut out[..5]), length("out", 6, 5));
        assert_eq!(softmax::log_sum_exp(level, &x, 3, &mut out), length("out", 2, 6));
        assert_eq!(softmax::softmax_in_place(level, &mut out, 5), length("x", 5, 6));
        assert_eq!(softmax::log_softmax_in_place(level, &mut out, 5), length("x", 5, 6));
        assert_eq!(softmax::softmax_backward(level, &x, 4, &mut out), length("y", 4, 6));
        assert_eq!(
            softmax::log_softmax_backward(level, &x, 3, &mut out[1..]),
            length("grad", 6, 5)
        );
        assert_eq!(out, [7.0; 6]);
        assert_eq!(softmax::softmax(level, &[], 0, &mut []), Ok(()));
        assert_eq!(softmax::softmax(level, &[], 3, &mut []), Ok(()));
        assert_eq!(softmax::log_sum_exp(level, &[], 0, &mut []), Ok(()));
        assert_eq!(softmax::softmax_in_place(level, &mut [], 3), Ok(()));
    }
}
