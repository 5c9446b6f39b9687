//! Metrics against counts and sums done by hand.

use proptest::prelude::*;
use slimfit::metrics::{ConfusionMatrix, Outputs, accuracy, mae, predicted_class, r2, rmse};

use crate::common::says;

const NAN: f32 = f32::NAN;

#[test]
fn a_row_says_a_class() {
    use Outputs::{Logits, Probabilities};
    let above = 0.5_f32.next_up();
    for (row, outputs, class) in [
        (&[above][..], Probabilities, Some(1)),
        (&[0.5], Probabilities, Some(0)),
        (&[f32::from_bits(1)], Logits, Some(1)),
        (&[0.0], Logits, Some(0)),
        (&[-0.0], Logits, Some(0)),
        (&[0.4], Logits, Some(1)),
        (&[f32::INFINITY], Logits, Some(1)),
        (&[NAN], Logits, None),
        (&[], Logits, None),
        (&[0.0, 3.0, 3.0], Logits, Some(1)),
        (&[f32::NEG_INFINITY; 2], Logits, Some(0)),
        (&[-2.0, -1.0, -3.0], Probabilities, Some(1)),
        (&[5.0, NAN], Logits, None),
        (&[NAN, 5.0], Logits, None),
    ] {
        assert_eq!(predicted_class(row, outputs), class, "{row:?} {outputs:?}");
    }
}

#[test]
fn accuracy_of_two_and_of_more_classes() {
    let targets = [0.0, 1.0, 1.0, 0.0];
    assert_eq!(accuracy(&[0.5, 0.6, 0.4, NAN], 1, &targets, Outputs::Probabilities).unwrap(), 0.5);
    assert_eq!(accuracy(&[-1.0, 0.4, 0.1, 0.0], 1, &targets, Outputs::Logits).unwrap(), 1.0);
    let outputs = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
    assert_eq!(accuracy(&outputs, 3, &[0.0, 2.0, 2.0], Outputs::Logits).unwrap(), 2.0 / 3.0);
}

#[test]
fn classes_that_do_not_fit_are_refused() {
    let outputs = [0.0; 6];
    for (columns, target, text) in
        [(1, 2.0, "2"), (3, 3.0, "3"), (3, -1.0, "-1"), (3, 0.5, "0.5"), (3, NAN, "NaN")]
    {
        let targets =
            if columns == 1 { vec![0.0, target, 0.0, 0.0, 0.0, 0.0] } else { vec![0.0, target] };
        let message = format!(
            "row 1 (from 0), column \"target\": {text} is not a class index below {}",
            columns.max(2)
        );
        says(accuracy(&outputs, columns, &targets, Outputs::Logits), &message);
        says(ConfusionMatrix::new(&outputs, columns, &targets, Outputs::Logits), &message);
    }
    let nothing = "there are no predictions to measure";
    says(accuracy(&[], 1, &[], Outputs::Logits), nothing);
    says(accuracy(&outputs, 0, &[0.0], Outputs::Logits), nothing);
    says(
        accuracy(&outputs, 4, &[0.0, 0.0], Outputs::Logits),
        "predictions: length 6 where 8 is needed",
    );
    says(
        accuracy(&outputs, usize::MAX, &[0.0, 0.0], Outputs::Logits),
        &format!("predictions: length 6 where {} is needed", usize::MAX),
    );
    says(
        ConfusionMatrix::new(&[0.0, NAN], 1, &[0.0, 0.0], Outputs::Logits),
        "row 1 (from 0), column \"prediction\": NaN where a number is needed to tell the class",
    );
}

#[test]
fn a_confusion_matrix_by_hand() {
    // Rows of classes 0 0 0 1 1 2, taken for 0 0 1 1 0 1.
    let one_hot = |class: usize| [0, 1, 2].map(|c| if c == class { 1.0 } else { 0.0 });
    let outputs = [0, 0, 1, 1, 0, 1].map(one_hot).concat();
    let targets = [0.0, 0.0, 0.0, 1.0, 1.0, 2.0];
    let matrix = ConfusionMatrix::new(&outputs, 3, &targets, Outputs::Probabilities).unwrap();
    let rows = [0, 1, 2].map(|actual| [0, 1, 2].map(|predicted| matrix.count(actual, predicted)));
    assert_eq!(rows, [[2, 1, 0], [1, 1, 0], [0, 1, 0]]);
    assert_eq!([0, 1, 2].map(|class| matrix.support(class)), [3, 2, 1]);
    assert_eq!(
        [0, 1, 2].map(|class| matrix.precision(class)),
        [Some(2.0 / 3.0), Some(1.0 / 3.0), None]
    );
    assert_eq!(
        [0, 1, 2].map(|class| matrix.recall(class)),
        [Some(2.0 / 3.0), Some(0.5), Some(0.0)]
    );
    assert_eq!([0, 1, 2].map(|class| matrix.f1(class)), [Some(2.0 / 3.0), Some(0.4), Some(0.0)]);
    assert_eq!((matrix.accuracy(), matrix.classes()), (0.5, 3));
    assert_eq!((matrix.count(3, 0), matrix.count(0, usize::MAX)), (0, 0));
    assert_eq!((matrix.precision(9), matrix.recall(9), matrix.f1(9)), (None, None, None));
}

#[test]
fn regression_by_hand() {
    let (predictions, targets) = ([1.0, 2.0, 6.0, 3.0], [2.0, 2.0, 4.0, 4.0]);
    assert_eq!(rmse(&predictions, &targets).unwrap(), 1.5_f64.sqrt());
    assert_eq!(mae(&predictions, &targets).unwrap(), 1.0);
    assert_eq!(r2(&predictions, 1, &targets).unwrap(), 1.0 - 6.0 / 4.0);
    // Columns: (1, 6) for (2, 4) and (2, 3) for (2, 4).
    assert_eq!(
        r2(&predictions, 2, &targets).unwrap(),
        f64::midpoint(1.0 - 5.0 / 2.0, 1.0 - 1.0 / 2.0)
    );
    assert_eq!(rmse(&[f32::MAX], &[f32::MIN]).unwrap(), 2.0 * f64::from(f32::MAX));
}

#[test]
fn constant_targets_have_an_r2() {
    assert_eq!(r2(&[0.1; 3], 1, &[0.1; 3]).unwrap(), 1.0);
    assert_eq!(r2(&[0.1, 0.1, 0.2], 1, &[0.1; 3]).unwrap(), 0.0);
    assert!(r2(&[0.1, 0.1, NAN], 1, &[0.1; 3]).unwrap().is_nan());
    assert!(r2(&[0.1; 3], 1, &[0.1, NAN, 0.1]).unwrap().is_nan());
}

#[test]
fn regression_lengths_are_checked() {
    let nothing = "there are no predictions to measure";
    says(rmse(&[], &[]), nothing);
    says(mae(&[], &[]), nothing);
    says(r2(&[], 1, &[]), nothing);
    says(r2(&[1.0], 0, &[1.0]), nothing);
    let lengths = "predictions: length 2 where 1 is needed";
    says(rmse(&[1.0; 2], &[1.0]), lengths);
    says(mae(&[1.0; 2], &[1.0]), lengths);
    says(r2(&[1.0; 2], 1, &[1.0]), lengths);
    says(r2(&[1.0; 3], 2, &[1.0; 3]), "targets: length 3 where 4 is needed");
    assert!(rmse(&[NAN], &[1.0]).unwrap().is_nan());
    assert!(mae(&[NAN], &[1.0]).unwrap().is_nan());
}

proptest! {
    #[test]
    fn matrix_and_accuracy_agree(
        columns in 1..7_usize,
        values in prop::collection::vec(-1.0..1.0_f32, 6 * 30),
        labels in prop::collection::vec(0..1000_usize, 1..30),
    ) {
        let targets: Vec<f32> = labels.iter().map(|label| (label % columns.max(2)) as f32).collect();
        let outputs = &values[..targets.len() * columns];
        let matrix = ConfusionMatrix::new(outputs, columns, &targets, Outputs::Logits).unwrap();
        let share = accuracy(outputs, columns, &targets, Outputs::Logits).unwrap();
        prop_assert_eq!(matrix.accuracy(), share);
        let support: u64 = (0..matrix.classes()).map(|class| matrix.support(class)).sum();
        prop_assert_eq!(support, targets.len() as u64);
        // Recall weighted by support is the accuracy.
        let weighted: f64 = (0..matrix.classes())
            .filter_map(|class| Some(matrix.recall(class)? * matrix.support(class) as f64))
            .sum();
        prop_assert!((weighted / targets.len() as f64 - share).abs() < 1e-12);
    }
}
