//! Reductions against f64, at every level.

mod common;

use common::{Numbers, bits, close, lengths, same_bits};
use slimfit_kernels::{Error, Level, MatRef, reduce};

/// Half a unit in the last place of 1.
const U: f64 = 1.0 / (1u64 << 24) as f64;

/// The error that the module's essay allows.
fn allowed(len: usize, absolute: f64) -> f64 {
    let additions = if len <= 16_384 { len / 64 + 10 } else { 266 };
    additions as f64 * U * absolute
}

type Sum = (&'static str, fn(Level, &[f32]) -> f32, fn(f64) -> f64);
const SUMS: [Sum; 3] = [
    ("sum", reduce::sum, |x| x),
    ("sum_abs", reduce::sum_abs, f64::abs),
    ("sum_squares", reduce::sum_squares, |x| x * x),
];

#[test]
fn sums_against_f64() {
    let mut numbers = Numbers(1);
    for len in lengths().chain([16_384, 16_385, 50_001]) {
        for offset in 0..3 {
            let data = numbers.vec(len + offset, -1.0, 3.0);
            let x = &data[offset..];
            for (name, sum, term) in SUMS {
                let terms = || x.iter().map(|x| term(f64::from(*x)));
                let (expected, absolute) = (terms().sum(), terms().map(f64::abs).sum());
                for level in Level::available() {
                    let what = format!("{name} of {len} at {level}");
                    close(sum(level, x), expected, allowed(len, absolute), &what);
                }
                same_bits(name, name != "sum_squares", |level| vec![sum(level, x)]);
            }
            for level in Level::available() {
                let expected = reduce::sum_squares(level, x).sqrt();
                assert_eq!(reduce::norm(level, x), expected);
            }
        }
    }
}

/// Each later piece adds less than half a unit in the last place, which a plain sum would lose.
#[test]
fn what_rounding_loses_is_carried_along() {
    for level in Level::available() {
        let mut x = vec![0.0; 41 * 16_384];
        x.iter_mut().step_by(16_384).for_each(|x| *x = 1.0);
        x[0] = 1e8;
        assert_eq!(reduce::sum(level, &x), 1e8 + 40.0);
        // Down a column it is groups of sixteen rows.
        let mut x = vec![0.0; 41 * 16 * 3];
        x.iter_mut().step_by(16 * 3).for_each(|x| *x = 1.0);
        x[0] = 1e8;
        let mut sums = [0.0; 3];
        let x = MatRef::new(&x, 41 * 16, 3).unwrap();
        reduce::column_sums(level, x, &mut sums).unwrap();
        assert_eq!(sums, [1e8 + 40.0, 0.0, 0.0]);
    }
}

#[test]
fn dot_against_f64() {
    let mut numbers = Numbers(2);
    for len in lengths().chain([33_333]) {
        let (lhs, rhs) = (numbers.vec(len + 1, -1.0, 1.0), numbers.vec(len, -1.0, 2.0));
        let lhs = &lhs[1..];
        let terms = || lhs.iter().zip(&rhs).map(|(a, b)| f64::from(*a) * f64::from(*b));
        let (expected, absolute) = (terms().sum(), terms().map(f64::abs).sum());
        for level in Level::available() {
            let found = reduce::dot(level, lhs, &rhs).unwrap();
            close(found, expected, allowed(len, absolute), &format!("dot of {len} at {level}"));
        }
        same_bits("dot", false, |level| vec![reduce::dot(level, lhs, &rhs).unwrap()]);
    }
    let error = reduce::dot(Level::PORTABLE, &[1.0; 3], &[1.0; 4]);
    assert_eq!(error, Err(Error::Length { what: "rhs", expected: 3, found: 4 }));
}

/// The order that the essay promises, spelled out with plain f32 additions.
#[test]
fn the_order_is_the_documented_one() {
    let lane_tree = |mut lanes: [f32; 16]| {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        lanes[0]
    };
    let x = Numbers(3).vec(64 * 5 + 16 * 2 + 7, -1.0, 1.0);
    let mut lanes = [0.0f32; 16];
    for (lane, acc) in lanes.iter_mut().enumerate() {
        for quad in x.chunks_exact(64) {
            let block = |b: usize| quad[16 * b + lane];
            *acc += (block(0) + block(1)) + (block(2) + block(3));
        }
        for block in x[64 * 5..].chunks(16) {
            *acc += block.get(lane).unwrap_or(&0.0);
        }
    }
    for level in Level::available() {
        assert_eq!(reduce::sum(level, &x), lane_tree(lanes), "{level}");
    }
}

#[test]
fn special_values_of_sums() {
    for len in [1, 15, 17, 64, 65, 130, 40_000] {
        for at in [0, len / 2, len - 1] {
            for level in Level::available() {
                let mut x = vec![1.0; len];
                x[at] = f32::NAN;
                for (name, sum, _) in SUMS {
                    assert!(sum(level, &x).is_nan(), "{name}");
                }
                assert!(reduce::norm(level, &x).is_nan());
                assert!(reduce::dot(level, &x, &vec![0.0; len]).unwrap().is_nan());
                x[at] = f32::NEG_INFINITY;
                assert_eq!(reduce::sum(level, &x), f32::NEG_INFINITY);
                assert_eq!(reduce::sum_abs(level, &x), f32::INFINITY);
                assert_eq!(reduce::norm(level, &x), f32::INFINITY);
                if len > 1 {
                    x[(at + 1) % len] = f32::INFINITY;
                    assert!(reduce::sum(level, &x).is_nan());
                }
            }
        }
    }
    for level in Level::available() {
        let tiny = f32::from_bits(1);
        assert_eq!(reduce::sum(level, &[tiny; 35]), f32::from_bits(35));
        assert_eq!(reduce::sum(level, &[-0.0; 35]), 0.0);
        assert_eq!(reduce::norm(level, &[1e19; 20]), f32::INFINITY);
        assert_eq!(reduce::norm(level, &[1e-30; 20]), 0.0);
        assert_eq!(reduce::norm(level, &[]), 0.0);
        // Lanes 0 and 8 overflow to both sides, though the sum is zero.
        let mut x = [0.0; 32];
        (x[0], x[16], x[8], x[24]) = (3e38, 3e38, -3e38, -3e38);
        assert!(reduce::sum(level, &x).is_nan());
        let (mut mean, mut variance) = ([0.0], [0.0]);
        let x = MatRef::new(&[3e38, -3e38], 2, 1).unwrap();
        reduce::column_moments(level, x, &mut mean, &mut variance).unwrap();
        assert!(!mean[0].is_finite() && !variance[0].is_finite());
    }
}

/// A matrix in three layouts: row-major, with gaps, and column-major.
fn layouts(rows: usize, cols: usize, at: impl Fn(usize, usize) -> f32) -> [Vec<f32>; 3] {
    let (gap, mut layouts) = (cols + 3, [const { Vec::new() }; 3]);
    layouts[0] = (0..rows * cols).map(|i| at(i / cols, i % cols)).collect();
    layouts[1] = (0..rows * gap)
        .map(|i| if i % gap < cols { at(i / gap, i % gap) } else { f32::NAN })
        .collect();
    layouts[2] = (0..rows * cols).map(|i| at(i % rows, i / rows)).collect();
    layouts
}

fn views(layouts: &[Vec<f32>; 3], rows: usize, cols: usize) -> [MatRef<'_>; 3] {
    [
        MatRef::new(&layouts[0], rows, cols).unwrap(),
        MatRef::with_strides(&layouts[1], rows, cols, cols + 3, 1).unwrap(),
        MatRef::new(&layouts[2], cols, rows).unwrap().t(),
    ]
}

fn shapes() -> impl Iterator<Item = (usize, usize)> {
    let rows = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 100];
    let cols = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 50, 64, 150];
    rows.into_iter()
        .flat_map(move |rows| cols.map(|cols| (rows, cols)))
        .chain([(5001, 3), (21, 1100)])
}

#[test]
fn column_sums_against_f64() {
    let mut numbers = Numbers(4);
    for (rows, cols) in shapes() {
        let x = numbers.vec(rows * cols, -1.0, 2.0);
        let layouts = layouts(rows, cols, |i, j| x[i * cols + j]);
        let mut first: Option<Vec<f32>> = None;
        for view in views(&layouts, rows, cols) {
            for level in Level::available() {
                let mut sums = vec![f32::NAN; cols];
                reduce::column_sums(level, view, &mut sums).unwrap();
                for (j, sum) in sums.iter().enumerate() {
                    let column = || (0..rows).map(|i| f64::from(x[i * cols + j]));
                    let absolute: f64 = column().map(f64::abs).sum();
                    close(*sum, column().sum(), 9.0 * U * absolute, &format!("{rows} x {cols}"));
                }
                // Neither the level nor the layout changes a bit.
                assert_eq!(&sums, first.get_or_insert_with(|| sums.clone()));
            }
        }
    }
}

#[test]
fn column_moments_against_f64() {
    let mut numbers = Numbers(5);
    for (rows, cols) in shapes() {
        // Offsets far above the spread, which a one-pass formula would not survive.
        let noise = numbers.vec(rows * cols, -1.0, 1.0);
        let at = |i: usize, j: usize| {
            let offset = [0.0, 1.0, -1000.0, 1e6][j % 4];
            offset + noise[i * cols + j]
        };
        let layouts = layouts(rows, cols, at);
        for view in views(&layouts, rows, cols) {
            for level in Level::available() {
                let (mut mean, mut variance) = (vec![f32::NAN; cols], vec![f32::NAN; cols]);
                reduce::column_moments(level, view, &mut mean, &mut variance).unwrap();
                for j in 0..cols {
                    let column = || (0..rows).map(|i| f64::from(at(i, j)));
                    let m = column().sum::<f64>() / rows as f64;
                    let v = column().map(|x| (x - m) * (x - m)).sum::<f64>() / rows as f64;
                    let what = format!("column {j} of {rows} x {cols} at {level}");
                    close(mean[j], m, 2.0 * U * (m.abs() + v.sqrt()), &what);
                    close(variance[j], v, 12.0 * U * v, &what);
                }
            }
        }
        let view = views(&layouts, rows, cols)[0];
        same_bits("moments", true, |level| {
            let (mut mean, mut variance) = (vec![0.0; cols], vec![0.0; cols]);
            reduce::column_moments(level, view, &mut mean, &mut variance).unwrap();
            [mean, variance].concat()
        });
    }
}

#[test]
fn a_constant_column_has_no_variance() {
    for value in [0.1, 1e30, -3e38, 7e-39, 0.0] {
        for rows in [1, 3, 10, 49, 1001] {
            let x = vec![value; rows * 5];
            for level in Level::available() {
                let (mut mean, mut variance) = ([f32::NAN; 5], [f32::NAN; 5]);
                let x = MatRef::new(&x, rows, 5).unwrap();
                reduce::column_moments(level, x, &mut mean, &mut variance).unwrap();
                assert_eq!((mean, variance), ([value; 5], [0.0; 5]));
            }
        }
    }
}

#[test]
fn column_extremes_are_exact() {
    let mut numbers = Numbers(6);
    for (rows, cols) in shapes() {
        let x = numbers.vec(rows * cols, -5.0, 5.0);
        let layouts = layouts(rows, cols, |i, j| x[i * cols + j]);
        for view in views(&layouts, rows, cols) {
            for level in Level::available() {
                let (mut min, mut max) = (vec![f32::NAN; cols], vec![f32::NAN; cols]);
                reduce::column_extremes(level, view, &mut min, &mut max).unwrap();
                for j in 0..cols {
                    let column = || (0..rows).map(|i| x[i * cols + j]);
                    assert_eq!(min[j], column().fold(f32::INFINITY, f32::min));
                    assert_eq!(max[j], column().fold(f32::NEG_INFINITY, f32::max));
                }
            }
        }
    }
}

#[test]
fn special_values_stay_in_their_column() {
    for rows in [2, 16, 21] {
        for row in 0..rows {
            let mut x = vec![1.0; rows * 3];
            x[row * 3 + 1] = f32::NAN;
            x[row * 3 + 2] = f32::INFINITY;
            let x = MatRef::new(&x, rows, 3).unwrap();
            let (n, nan, inf) = (rows as f32, f32::NAN, f32::INFINITY);
            for level in Level::available() {
                let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
                reduce::column_sums(level, x, &mut a).unwrap();
                assert_eq!(bits(&a), bits(&[n, nan, inf]), "{level}");
                reduce::column_moments(level, x, &mut a, &mut b).unwrap();
                assert_eq!(bits(&a[..2]), bits(&[1.0, nan]), "{level}");
                assert_eq!(bits(&b), bits(&[0.0, nan, nan]), "{level}");
                reduce::column_extremes(level, x, &mut a, &mut b).unwrap();
                assert_eq!(bits(&a), bits(&[1.0, nan, 1.0]), "{level}");
                assert_eq!(bits(&b), bits(&[1.0, nan, inf]), "{level}");
            }
        }
    }
}

#[test]
fn bad_input_is_refused_and_nothing_written() {
    let x = MatRef::new(&[1.0; 6], 2, 3).unwrap();
    let none = MatRef::new(&[], 0, 3).unwrap();
    for level in Level::available() {
        let (mut right, mut short) = ([7.0; 3], [7.0; 2]);
        let length = |what, expected, found| Err(Error::Length { what, expected, found });
        assert_eq!(reduce::column_sums(level, x, &mut short), length("column sums", 3, 2));
        assert!(reduce::column_moments(level, x, &mut right, &mut short).is_err());
        assert!(reduce::column_moments(level, x, &mut short, &mut right).is_err());
        assert!(reduce::column_extremes(level, x, &mut right, &mut short).is_err());
        assert!(reduce::column_extremes(level, x, &mut short, &mut right).is_err());
        let mut other = [7.0; 3];
        let rows = length("rows (at least)", 1, 0);
        assert_eq!(reduce::column_moments(level, none, &mut right, &mut other), rows);
        assert_eq!(reduce::column_extremes(level, none, &mut right, &mut other), rows);
        assert_eq!((right, short, other), ([7.0; 3], [7.0; 2], [7.0; 3]));
        reduce::column_sums(level, none, &mut right).unwrap();
        assert_eq!(right, [0.0; 3]);
        reduce::column_sums(level, MatRef::new(&[], 4, 0).unwrap(), &mut []).unwrap();
    }
}
