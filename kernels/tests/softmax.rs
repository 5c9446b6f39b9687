//! Softmax and its relatives against f64, and their gradients.

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

const COLS: [usize; 20] =
    [1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 67, 80, 96, 100, 128, 129, 1000];

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

/// Rows of many pieces, whose largest element is found late, or which have parts that count for nothing.
#[test]
fn pieces_of_a_row() {
    for (cols, spread) in [(1025, 3.0), (9001, 30.0), (9001, 1000.0), (140_001, 50.0)] {
        let mut rising = data(cols, spread);
        rising.sort_by(f32::total_cmp);
        let mut falling = rising.clone();
        falling.reverse();
        let mut gap = data(cols, spread);
        gap[..cols / 2].fill(f32::NEG_INFINITY);
        let masked = gap.iter().map(|x| x.max(f32::MIN)).collect();
        for x in [rising, falling, gap, masked] {
            let row = wide(&x);
            let total = log_sum_exp_f64(&row);
            // The shift of a piece and the difference of the shifts are rounded.
            let rounding = 2.0 * f64::from(spread) * 1.2e-7;
            for level in Level::available() {
                let (mut p, mut log, mut sum) = (vec![7.0; cols], vec![7.0; cols], [7.0]);
                softmax::softmax(level, &x, cols, &mut p).unwrap();
                softmax::log_softmax(level, &x, cols, &mut log).unwrap();
                softmax::log_sum_exp(level, &x, cols, &mut sum).unwrap();
                assert!((f64::from(sum[0]) / total - 1.0).abs() <= 1e-6, "{} {total}", sum[0]);
                for ((x, p), log) in row.iter().zip(&p).zip(&log) {
                    let want = libm::exp(x - total);
                    assert!(
                        (f64::from(*p) - want).abs() <= want * (rounding + 1e-6) + 1e-44,
                        "{p} at {level}, not {want} ({cols} columns, spread {spread})"
                    );
                    let want = x - total;
                    assert!(
                        same(*log, want as f32)
                            || (f64::from(*log) - want).abs() <= rounding + 1e-6,
                        "{log} at {level}, not {want} ({cols} columns, spread {spread})"
                    );
                }
                let mut in_place = x.clone();
                softmax::softmax_in_place(level, &mut in_place, cols).unwrap();
                assert_eq!(in_place, p);
            }
        }
    }
}

/// A million terms whose largest grows by little, again and again.
#[test]
fn a_rising_row_loses_no_precision() {
    let cols = 1 << 20;
    let step = 1.0 / (1 << 25) as f32;
    let x: Vec<_> = (0..cols).map(|i| 0.25 + (i / 1024) as f32 * step).collect();
    let total = log_sum_exp_f64(&wide(&x));
    for level in Level::available() {
        let mut sum = [0.0];
        softmax::log_sum_exp(level, &x, cols, &mut sum).unwrap();
        assert!((f64::from(sum[0]) - total).abs() <= 4e-6, "{} at {level}, not {total}", sum[0]);
    }
}

/// A million terms that each add less than the sum of their lane shows.
#[test]
fn a_wide_row_loses_no_precision() {
    let cols = 1 << 20;
    let mut x = vec![-16.64; cols];
    x[..16].fill(0.0);
    let total = log_sum_exp_f64(&wide(&x));
    // 63 terms of the piece with the ones vanish: that many units, and a few.
    let tolerance = 70.0 / f64::from(1 << 24);
    for level in Level::available() {
        let (mut p, mut log, mut sum) = (vec![0.0; cols], vec![0.0; cols], [0.0]);
        softmax::softmax(level, &x, cols, &mut p).unwrap();
        softmax::log_softmax(level, &x, cols, &mut log).unwrap();
        softmax::log_sum_exp(level, &x, cols, &mut sum).unwrap();
        for (found, want) in [(p[0], libm::exp(-total)), (log[0], -total), (sum[0], total)] {
            let error = (f64::from(found) / want - 1.0).abs();
            assert!(error <= tolerance, "{found} at {level}, not {want}");
        }
        // 16 + (2^20 - 16) / 2^24, in the sum of either gradient.
        let mut grad = vec![1.0 / (1 << 24) as f32; cols];
        grad[..16].fill(1.0);
        let sum = 16.0 + (cols - 16) as f64 / f64::from(1 << 24);
        let mut log_grad = grad.clone();
        let y = vec![1.0; cols];
        softmax::softmax_backward(level, &y, cols, &mut grad).unwrap();
        softmax::log_softmax_backward(level, &vec![0.0; cols], cols, &mut log_grad).unwrap();
        for found in [grad[0], log_grad[0]] {
            let want = 1.0 - sum;
            let error = (f64::from(found) / want - 1.0).abs();
            assert!(error <= tolerance, "{found} at {level}, not {want}");
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
            // The formulas, from the output as it was rounded; the error is relative to the terms.
            let u = 1.0 / f64::from(1 << 24);
            for row in (0..x.len()).step_by(cols) {
                let row = row..row + cols;
                let (y, log_y) = (wide(&y[row.clone()]), wide(&log_y[row.clone()]));
                let g = wide(&upstream[row.clone()]);
                let products = || y.iter().zip(&g).map(|(y, g)| y * g);
                let (dot, dot_size) =
                    (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
                let (sum, size) = (g.iter().sum::<f64>(), g.iter().map(|g| g.abs()).sum::<f64>());
                // Additions down a lane and its tree, and what comes after them.
                let roundings = (cols.div_ceil(16) + 4 + 4) as f64;
                for (i, j) in row.enumerate() {
                    let (p, log_p, g) = (y[i], log_y[i], g[i]);
                    let (want, tolerance) =
                        (p * (g - dot), roundings * u * p * (g.abs() + dot_size));
                    assert!(
                        (f64::from(grad[j]) - want).abs() <= tolerance + 1.5e-45,
                        "{} at {level}, not {want} ({cols} columns)",
                        grad[j]
                    );
                    let p = libm::exp(log_p);
                    let (want, tolerance) = (g - p * sum, roundings * u * (g.abs() + p * size));
                    assert!(
                        (f64::from(log_grad[j]) - want).abs() <= tolerance + 1.5e-45,
                        "{} at {level}, not {want} ({cols} columns, log)",
                        log_grad[j]
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
    for cols in (1..=130).chain([1000, 9001]) {
        let rows = match cols {
            ..=16 => 37,
            17..=130 => 19,
            _ => 4,
        };
        let mut x = vec![0.0];
        x.extend(data(cols * rows, 20.0));
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
        for cols in [3, 16, 20, 40, 5000] {
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
            for special in [nan, inf] {
                let mut last = vec![0.5; cols];
                last[cols - 1] = special;
                let (p, log, sum) = apply(&last);
                assert!(p.iter().chain(&log).all(|x| x.is_nan()), "{special} last, at {level}");
                assert!(same(sum, special), "{sum} at {level}, not {special}");
            }
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
