//! Scalers against textbook formulas in f64.

use proptest::prelude::*;
use slimfit::dataset::Dataset;
use slimfit::preprocess::{MinMax, Standardizer};

use crate::common::says;

fn regression(features: &[f32], columns: usize) -> Dataset {
    let rows = features.len() / columns;
    Dataset::regression(features.to_vec(), columns, (0..rows).map(|row| row as f32).collect())
        .unwrap()
}

#[test]
fn columns_get_mean_0_and_variance_1() {
    let mut data = regression(&[2.0, 1e6, 4.0, 1e6 + 1.0, 9.0, 1e6 + 2.0], 2);
    let scaler = Standardizer::fit(&data).unwrap();
    assert_eq!(scaler.mean(), [5.0, 1e6 + 1.0]);
    assert_eq!(scaler.scale(), [(26.0_f64 / 3.0).sqrt(), (2.0_f64 / 3.0).sqrt()]);
    scaler.apply(&mut data).unwrap();
    let sd = (26.0_f64 / 3.0).sqrt();
    let far = 1.5_f64.sqrt() as f32;
    assert_eq!(
        data.features(),
        [(-3.0 / sd) as f32, -far, (-1.0 / sd) as f32, 0.0, (4.0 / sd) as f32, far]
    );
}

#[test]
fn a_column_far_from_zero_loses_nothing() {
    // The squares need 48 bits and more: the textbook formula, mean of squares less squared mean,
    // would be wrong in f64 by its whole result.
    let column: Vec<f32> = (0..1000).map(|row| 16_000_000.0 + (row % 3) as f32).collect();
    let scaler = Standardizer::fit(&regression(&column, 1)).unwrap();
    let mean = column.iter().map(|&x| f64::from(x) - 16e6).sum::<f64>() / 1000.0;
    let variance =
        column.iter().map(|&x| (f64::from(x) - 16e6 - mean).powi(2)).sum::<f64>() / 1000.0;
    assert!((scaler.mean()[0] - 16e6 - mean).abs() < 4e-9);
    assert!((scaler.scale()[0] / variance.sqrt() - 1.0).abs() < 1e-14);
}

#[test]
fn a_constant_column_becomes_zero() {
    for value in [0.0, 0.1, -1e30, 1e-45, f32::MAX] {
        let constant = regression(&[value; 7], 1);
        let (standard, min_max) =
            (Standardizer::fit(&constant).unwrap(), MinMax::fit(&constant).unwrap());
        assert_eq!((standard.mean(), standard.scale()), (&[f64::from(value)][..], &[1.0][..]));
        assert_eq!((min_max.min(), min_max.scale()), (&[f64::from(value)][..], &[1.0][..]));
        let mut data = constant.clone();
        standard.apply(&mut data).unwrap();
        assert_eq!(data.features(), [0.0; 7]);
        standard.inverse(&mut data).unwrap();
        assert_eq!(data, constant);
        min_max.apply(&mut data).unwrap();
        assert_eq!(data.features(), [0.0; 7]);
    }
}

#[test]
fn min_max_goes_from_0_to_1() {
    let mut data = regression(&[-2.0, 5.0, 0.5, 5.0, 8.0, 6.0], 2);
    let scaler = MinMax::fit(&data).unwrap();
    assert_eq!((scaler.min(), scaler.scale()), (&[-2.0, 5.0][..], &[10.0, 1.0][..]));
    scaler.apply(&mut data).unwrap();
    assert_eq!(data.features(), [0.0, 0.0, 0.25, 0.0, 1.0, 1.0]);
    // Data it was not fitted on may lie outside; the largest spread that f32 has overflows nothing.
    let mut other = [18.0, 4.0];
    scaler.apply_slice(&mut other).unwrap();
    assert_eq!(other, [2.0, -1.0]);
    let mut widest = regression(&[f32::MIN, f32::MAX, 0.0], 1);
    MinMax::fit(&widest).unwrap().apply(&mut widest).unwrap();
    assert_eq!(widest.features(), [0.0, 1.0, 0.5]);
}

#[test]
fn targets_are_scaled_by_a_scaler_of_their_own() {
    let mut data = Dataset::regression(vec![1.0; 2], 1, vec![10.0, 30.0]).unwrap();
    let scaler = Standardizer::fit_targets(&data).unwrap();
    scaler.apply_targets(&mut data).unwrap();
    assert_eq!((data.features(), data.targets()), (&[1.0; 2][..], &[-1.0, 1.0][..]));
    let mut predictions = [0.0, 2.0];
    scaler.inverse_slice(&mut predictions).unwrap();
    assert_eq!(predictions, [20.0, 40.0]);
    scaler.inverse_targets(&mut data).unwrap();
    assert_eq!(data.targets(), [10.0, 30.0]);

    let classes = vec!["a".into(), "b".into()];
    let mut labels = Dataset::classification(vec![1.0; 2], 1, &[0, 1], classes).unwrap();
    says(Standardizer::fit_targets(&labels), "the targets are class indices: there is no scale");
    says(
        scaler.apply_targets(&mut labels),
        "the targets are class indices, which are not to be changed",
    );
}

#[test]
fn what_cannot_be_scaled_is_refused_and_left_alone() {
    says(
        Standardizer::fit(&regression(&[1.0, 2.0, 3.0, f32::INFINITY], 2)),
        "row 1 (from 0), column \"x1\": inf where a finite number is needed",
    );
    says(
        MinMax::fit(&regression(&[1.0, f32::NAN], 2)),
        "row 0 (from 0), column \"x1\": NaN where a value is needed: drop rows with missing \
         values first",
    );
    let mut none = regression(&[f32::NAN], 1);
    none.drop_missing();
    says(MinMax::fit(&none), "there are no rows to fit a scaler on");

    let scaler = Standardizer::fit(&regression(&[1.0, 2.0, 3.0, 5.0], 2)).unwrap();
    let mut other = regression(&[1.0, 2.0, 3.0], 3);
    let before = other.clone();
    says(scaler.apply(&mut other), "feature columns: length 3 where 2 is needed");
    says(scaler.inverse(&mut other), "feature columns: length 3 where 2 is needed");
    says(scaler.apply_targets(&mut other), "target columns: length 1 where 2 is needed");
    assert_eq!(other, before);
    let mut odd = [1.0, 2.0, 3.0];
    says(scaler.apply_slice(&mut odd), "values to scale: length 3 where 4 is needed");
    says(scaler.inverse_slice(&mut odd), "values to scale: length 3 where 4 is needed");
    assert_eq!(odd, [1.0, 2.0, 3.0]);

    let mut missing = [f32::NAN, 2.0];
    scaler.apply_slice(&mut missing).unwrap();
    assert!(missing[0].is_nan() && missing[1] == -1.0);
}

proptest! {
    #[test]
    fn scaling_and_its_inverse(
        columns in 1..6_usize,
        rows in 1..40_usize,
        values in prop::collection::vec(-1e6..1e6_f32, 240),
    ) {
        let data = regression(&values[..rows * columns], columns);
        let scaler = Standardizer::fit(&data).unwrap();
        let mut scaled = data.clone();
        scaler.apply(&mut scaled).unwrap();
        for column in 0..columns {
            let n = rows as f64;
            let of = |data: &Dataset| -> Vec<f64> {
                data.features().iter().skip(column).step_by(columns).map(|&x| f64::from(x)).collect()
            };
            let mean = of(&data).iter().sum::<f64>() / n;
            let sd = (of(&data).iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            prop_assert!((scaler.mean()[column] - mean).abs() <= 1e-9);
            let constant = of(&data).iter().all(|x| *x == of(&data)[0]);
            let scale = if constant { 1.0 } else { sd };
            prop_assert!((scaler.scale()[column] - scale).abs() <= 1e-9);
            prop_assert!((of(&scaled).iter().sum::<f64>() / n).abs() < 1e-6);
        }
        scaler.inverse(&mut scaled).unwrap();
        // The scaled value is rounded to f32: half an ULP of it, times the scale.
        for ((a, b), column) in data.features().iter().zip(scaled.features()).zip((0..columns).cycle()) {
            let distance = (f64::from(*a) - scaler.mean()[column]).abs();
            let bound = f64::from(f32::EPSILON) * (distance + f64::from(a.abs())) / 2.0;
            prop_assert!((f64::from(*a) - f64::from(*b)).abs() <= bound * 1.001 + 1e-40, "{a} {b}");
        }
    }
}
