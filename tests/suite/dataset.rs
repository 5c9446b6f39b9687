//! Data sets: what is accepted, what is dropped, and where the rows of a split go.

#![expect(clippy::cast_sign_loss, reason = "features are row numbers here")]

use std::collections::HashSet;

use proptest::prelude::*;
use slimfit::dataset::{Dataset, Stratify};

use crate::common::says;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Rows whose only feature is their number, of the classes given.
fn labelled(labels: &[usize], classes: usize) -> Dataset {
    let features = (0..labels.len()).map(|row| row as f32).collect();
    let classes = (0..classes).map(|class| format!("c{class}")).collect();
    Dataset::classification(features, 1, labels, classes).unwrap()
}

#[test]
fn a_data_set_hands_out_what_it_was_given() {
    let data = Dataset::new(
        vec![1.0, 2.0, 3.0, 4.0],
        vec![5.0, 6.0, 7.0, 8.0],
        names(&["a", "b"]),
        names(&["y", "z"]),
        vec![],
    )
    .unwrap();
    assert_eq!((data.rows(), data.feature_count(), data.target_count()), (2, 2, 2));
    assert_eq!(data.row(1), Some((&[3.0, 4.0][..], &[7.0, 8.0][..])));
    assert_eq!((data.row(2), data.row(usize::MAX)), (None, None));
    assert_eq!(
        (data.feature_names(), data.target_names()),
        (&names(&["a", "b"])[..], &names(&["y", "z"])[..])
    );
    assert!(!data.is_classification() && data.class_counts().is_empty());
    let empty = Dataset::new(vec![], vec![], names(&["a"]), names(&["y"]), vec![]).unwrap();
    assert_eq!(empty.rows(), 0);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let new = |x: usize, y: &[f32], f: &[&str], t: &[&str], c: &[&str]| {
        Dataset::new(vec![0.0; x], y.to_vec(), names(f), names(t), names(c))
    };
    says(new(3, &[0.0], &["a", "b"], &["y"], &[]), "features: length 3 where 2 is needed");
    says(new(4, &[0.0], &["a", "b"], &["y"], &[]), "targets: length 1 where 2 is needed");
    says(new(4, &[0.0; 2], &["a", "b"], &["y", "z"], &[]), "targets: length 2 where 4 is needed");
    says(new(0, &[], &[], &["y"], &[]), "a data set needs a feature column");
    says(new(1, &[], &["a"], &[], &[]), "a data set needs a target column");
    says(new(0, &[], &["a", "a"], &["y"], &[]), "the column \"a\" is there twice");
    says(new(0, &[], &["a", "y"], &["y"], &[]), "the column \"y\" is there twice");
    says(new(0, &[], &["a"], &["y"], &["c", "c"]), "the class \"c\" is there twice");
    says(
        new(0, &[], &["a"], &["y", "z"], &["c", "d"]),
        "classes go with one target column, and there are several",
    );
    for (bad, text) in [(2.0, "2"), (-1.0, "-1"), (0.5, "0.5"), (f32::INFINITY, "inf")] {
        says(
            new(3, &[0.0, bad, 1.0], &["a"], &["y"], &["c", "d"]),
            &format!("row 1 (from 0), column \"y\": {text} is not a class index below 2"),
        );
    }
    says(Dataset::regression(vec![0.0; 3], 0, vec![]), "a data set needs a feature column");
    says(
        Dataset::regression(vec![], usize::MAX, vec![]),
        &format!("features: length 0 where {} is needed", usize::MAX),
    );
    says(Dataset::classification(vec![0.0], 1, &[0], vec![]), "classification needs classes");
}

#[test]
fn rows_with_a_missing_value_are_dropped_and_counted() {
    let nan = f32::NAN;
    let mut data = Dataset::regression(
        vec![1.0, nan, 2.0, 3.0, nan, nan, 4.0, f32::INFINITY, 5.0, 6.0],
        2,
        vec![0.0, 1.0, nan, 3.0, nan],
    )
    .unwrap();
    assert_eq!(data.drop_missing(), 3);
    assert_eq!(data.features(), [2.0, 3.0, 4.0, f32::INFINITY]);
    assert_eq!(data.targets(), [1.0, 3.0]);
    assert_eq!(data.drop_missing(), 0);

    let mut none = Dataset::regression(vec![nan; 3], 1, vec![0.0; 3]).unwrap();
    assert_eq!((none.drop_missing(), none.rows()), (3, 0));
    let message = "the data set has no rows (did every row have a missing value?)";
    says(none.check(), message);
    says(none.split(0.5, 0, Stratify::Off), message);

    let mut flowers = Dataset::new(
        vec![1.0; 2],
        vec![nan, 1.0],
        names(&["a"]),
        names(&["y"]),
        names(&["c", "d"]),
    )
    .unwrap();
    assert_eq!(flowers.class_counts(), [0, 1]);
    // The class "c" has lost its rows before, and goes: "d" moves up.
    assert_eq!((flowers.drop_missing(), flowers.targets()), (1, &[0.0][..]));
    assert_eq!(flowers.classes(), ["d"]);
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let check = |x: &[f32], y: &[f32]| {
        Dataset::new(x.to_vec(), y.to_vec(), names(&["age", "size"]), names(&["price"]), vec![])
            .unwrap()
            .check()
    };
    assert!(check(&[0.0, 1.0, 2.0, 3.0], &[0.0, 0.0]).is_ok());
    says(
        check(&[0.0, 1.0, 2.0, f32::NEG_INFINITY], &[0.0, 0.0]),
        "row 1 (from 0), column \"size\": -inf where a finite number is needed",
    );
    says(
        check(&[0.0, 1.0, f32::NAN, 3.0], &[0.0, 0.0]),
        "row 1 (from 0), column \"age\": NaN where a value is needed: drop rows with missing \
         values first",
    );
    says(
        check(&[0.0; 4], &[0.0, f32::INFINITY]),
        "row 1 (from 0), column \"price\": inf where a finite number is needed",
    );
    says(
        labelled(&[1, 1, 1], 2).check(),
        "all 3 rows are of the class \"c1\": classification needs rows of two classes or more",
    );
    assert!(labelled(&[1, 0, 1], 2).check().is_ok());
}

#[test]
fn targets_of_classes_are_not_to_be_changed() {
    says(
        labelled(&[0, 1], 2).targets_mut(),
        "the targets are class indices, which are not to be changed",
    );
}

#[test]
fn a_subset_keeps_the_order_asked_for() {
    let data = labelled(&[0, 1, 0, 1], 2);
    let part = data.subset(&[3, 0, 3]).unwrap();
    assert_eq!((part.features(), part.targets()), (&[3.0, 0.0, 3.0][..], &[1.0, 0.0, 1.0][..]));
    assert_eq!(data.subset(&[]).unwrap().rows(), 0);
    says(data.subset(&[0, 4]), "a row index is 4, but must be below the number of rows");
}

#[test]
fn splits_that_make_no_sense_are_refused() {
    let data = labelled(&[0, 1, 0, 1], 2);
    for (fraction, text) in
        [(0.0, "0"), (1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")]
    {
        says(
            data.split(fraction, 0, Stratify::Off),
            &format!(
                "the fraction of rows to split off is {text}, but must be between 0 and 1, both \
                 excluded"
            ),
        );
    }
    let empty =
        "one part of the split would have no rows: there are too few rows for this fraction";
    says(data.split(0.1, 0, Stratify::Off), empty);
    says(data.split(0.9, 0, Stratify::Off), empty);
    says(data.split(0.1, 0, Stratify::ByClass), empty);
    says(labelled(&[0, 1], 2).split(0.5, 0, Stratify::ByClass), empty);
    says(
        labelled(&[0, 0], 2).split(0.5, 0, Stratify::ByClass),
        "all 2 rows are of the class \"c0\": classification needs rows of two classes or more",
    );
    let regression = Dataset::regression(vec![0.0; 4], 1, vec![0.0; 4]).unwrap();
    says(
        regression.split(0.5, 0, Stratify::ByClass),
        "a regression has no classes to stratify a split by",
    );
    let missing = Dataset::new(
        vec![0.0; 4],
        vec![0.0, 1.0, f32::NAN, 1.0],
        names(&["a"]),
        names(&["y"]),
        names(&["c", "d"]),
    );
    says(
        missing.unwrap().split(0.5, 0, Stratify::ByClass),
        "row 2 (from 0), column \"y\": NaN where a value is needed: drop rows with missing values \
         first",
    );
}

#[test]
fn a_split_is_fixed_by_its_seed_on_every_platform() {
    let data = labelled(&[0, 0, 0, 0, 0, 0, 1, 1, 1, 1], 2);
    let (train, test) = data.split(0.3, 1, Stratify::Off).unwrap();
    assert_eq!(test.features(), PINNED_TEST);
    assert_eq!(train.features(), PINNED_TRAIN);
    assert_eq!(data.split(0.3, 1, Stratify::Off).unwrap(), (train, test.clone()));
    assert_ne!(data.split(0.3, 2, Stratify::Off).unwrap().1, test);
}

const PINNED_TEST: [f32; 3] = [6.0, 7.0, 1.0];
const PINNED_TRAIN: [f32; 7] = [0.0, 9.0, 3.0, 2.0, 5.0, 4.0, 8.0];

#[test]
fn each_class_keeps_its_share() {
    let split = |counts: &[usize], fraction| {
        let labels = counts.iter().enumerate().flat_map(|(class, &rows)| vec![class; rows]);
        let data = labelled(&labels.collect::<Vec<_>>(), counts.len());
        let (train, test) = data.split(fraction, 3, Stratify::ByClass).unwrap();
        (train.class_counts(), test.class_counts())
    };
    // Shares 0.5, 1.75 and 1.75 of 4 rows: the two that lose most get what is left.
    assert_eq!(split(&[2, 7, 7], 0.25), (vec![2, 5, 5], vec![0, 2, 2]));
    // Shares 1, 1.5 and 1.5 of 4 rows: the first of equals gets it.
    assert_eq!(split(&[2, 3, 3], 0.5), (vec![1, 1, 2], vec![1, 2, 1]));
    // The largest fraction below 1 leaves each class a row.
    let most = 1.0_f64.next_down();
    assert_eq!(split(&[2, 3, 5, 9], most), (vec![1; 4], vec![1, 2, 4, 8]));
    // A class with one row keeps it for training, and an empty class stays empty.
    assert_eq!(split(&[5, 0, 1], 0.8), (vec![1, 0, 1], vec![4, 0, 0]));
}

proptest! {
    #[test]
    fn a_split_loses_nothing(
        labels in prop::collection::vec(0..4_usize, 2..200),
        fraction in 0.01..0.99_f64,
        seed: u64,
        stratified: bool,
    ) {
        let data = labelled(&labels, 4);
        let stratify = if stratified { Stratify::ByClass } else { Stratify::Off };
        let Ok((train, test)) = data.split(fraction, seed, stratify) else {
            let one_class = labels.iter().all(|label| label == &labels[0]);
            let wanted = (fraction * labels.len() as f64).round();
            let alone = data.class_counts().iter().all(|&count| count <= 1);
            prop_assert!(
                wanted == 0.0 || wanted == labels.len() as f64
                    || (stratified && (one_class || alone))
            );
            return Ok(());
        };
        let rows: HashSet<u32> =
            train.features().iter().chain(test.features()).map(|x| *x as u32).collect();
        prop_assert_eq!(rows.len(), labels.len());
        prop_assert_eq!(train.rows() + test.rows(), labels.len());
        for part in [&train, &test] {
            for row in 0..part.rows() {
                let (x, y) = part.row(row).unwrap();
                prop_assert_eq!(labels[x[0] as usize] as f32, y[0]);
            }
        }
        let shares = data.class_counts().into_iter().zip(test.class_counts());
        if stratified {
            for (class, (all, in_test)) in shares.enumerate() {
                prop_assert!((in_test as f64 - fraction * all as f64).abs() < 1.0 + 1e-9);
                prop_assert!(all == 0 || train.class_counts()[class] > 0);
            }
        } else {
            prop_assert_eq!(test.rows(), (fraction * labels.len() as f64 + 0.5) as usize);
        }
    }
}

#[test]
fn classes_of_which_no_row_is_left_go_with_the_missing_rows() {
    let features = vec![1.0, f32::NAN, 3.0, 4.0, f32::NAN];
    let names = ["a", "b", "c", "d"].map(String::from).to_vec();
    let mut data = Dataset::classification(features, 1, &[0, 1, 2, 3, 3], names).unwrap();
    assert_eq!(data.drop_missing(), 2);
    assert_eq!(data.classes(), ["a", "c", "d"]);
    assert_eq!(data.targets(), [0.0, 1.0, 2.0]);
    assert_eq!(data.class_counts(), [1, 1, 1]);
}
