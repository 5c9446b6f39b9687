//! Batches: every row once an epoch, in an order and in sizes that the seed fixes.

use proptest::prelude::*;
use slimfit::Error;
use slimfit::batch::{BatchSize, Batches, Grow};
use slimfit::dataset::Dataset;

fn says(result: Result<impl Sized, Error>, message: &str) {
    match result {
        Ok(_) => panic!("accepted, where this was due: {message}"),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}

/// The batches of one epoch.
fn epoch(batches: &mut Batches) -> Vec<Vec<usize>> {
    batches.start_epoch();
    std::iter::from_fn(|| batches.next_batch().map(<[usize]>::to_vec)).collect()
}

fn sizes(batches: &mut Batches) -> Vec<usize> {
    epoch(batches).iter().map(Vec::len).collect()
}

#[test]
fn fixed_batches_and_a_short_last_one() {
    let mut batches = Batches::new(10, BatchSize::Fixed(4), 0).unwrap();
    assert_eq!(batches.next_batch(), None);
    assert_eq!(sizes(&mut batches), [4, 4, 2]);
    assert_eq!(batches.next_batch(), None);
    assert_eq!(batches.batch_size(), 4);
    assert_eq!(sizes(&mut Batches::new(10, BatchSize::Fixed(5), 0).unwrap()), [5, 5]);
    assert_eq!(BatchSize::default(), BatchSize::Fixed(32));
}

#[test]
fn a_batch_larger_than_the_data_is_all_of_it() {
    for size in [11, usize::MAX] {
        assert_eq!(sizes(&mut Batches::new(10, BatchSize::Fixed(size), 0).unwrap()), [10]);
        assert_eq!(BatchSize::Fixed(size).most(10), 10);
    }
    let random = BatchSize::Random { min: 1, max: usize::MAX };
    assert_eq!((random.most(10), sizes(&mut Batches::new(10, random, 0).unwrap())), (10, vec![10]));
}

#[test]
fn an_epoch_left_early_begins_anew() {
    let mut batches = Batches::new(10, BatchSize::Fixed(4), 0).unwrap();
    batches.start_epoch();
    batches.next_batch();
    let mut rows = epoch(&mut batches).concat();
    rows.sort_unstable();
    assert_eq!(rows, (0..10).collect::<Vec<_>>());
}

#[test]
fn orders_are_fixed_by_the_seed_and_alike_for_all_sizes() {
    let mut fixed = Batches::new(10, BatchSize::Fixed(4), 5).unwrap();
    let mut random = Batches::new(10, BatchSize::Random { min: 1, max: 3 }, 5).unwrap();
    let first = epoch(&mut fixed).concat();
    assert_eq!(first, PINNED);
    assert_eq!(epoch(&mut random).concat(), first);
    let second = epoch(&mut fixed).concat();
    assert_ne!(first, second);
    assert_eq!(epoch(&mut random).concat(), second);
    assert_ne!(epoch(&mut Batches::new(10, BatchSize::Fixed(4), 6).unwrap()).concat(), first);
}

const PINNED: [usize; 10] = [4, 2, 5, 6, 1, 0, 3, 8, 7, 9];

#[test]
fn random_sizes_take_every_value_of_their_range() {
    let size = BatchSize::Random { min: 3, max: 6 };
    let mut batches = Batches::new(1000, size, 1).unwrap();
    let drawn = sizes(&mut batches);
    assert_eq!(drawn[..12], PINNED_SIZES);
    let (_, full) = drawn.split_last().unwrap();
    for value in 3..=6 {
        let share = full.iter().filter(|&&size| size == value).count() as f64 / full.len() as f64;
        assert!((share - 0.25).abs() < 0.1, "{value}: {share}");
    }
    assert!(full.iter().all(|size| (3..=6).contains(size)));
    assert_ne!(sizes(&mut batches)[..12], PINNED_SIZES);
}

const PINNED_SIZES: [usize; 12] = [5, 5, 3, 4, 3, 3, 6, 4, 3, 4, 6, 5];

#[test]
fn a_schedule_makes_batches_grow() {
    let size =
        BatchSize::Dynamic { initial: 2, factor: 1.5, max: 9, grow: Grow::Every { epochs: 2 } };
    let mut batches = Batches::new(100, size, 0).unwrap();
    let mut seen = Vec::new();
    for _ in 0..12 {
        seen.push(sizes(&mut batches)[0]);
        batches.end_epoch(f64::NAN);
    }
    // 2, 3, 4.5, 7.5 (of 5), 12 (of 8) but 9 at most.
    assert_eq!(seen, [2, 2, 3, 3, 5, 5, 8, 8, 9, 9, 9, 9]);
    assert_eq!((size.most(100), size.most(5)), (9, 5));
    // A product that rounds to the same size grows by one.
    let slow = BatchSize::Dynamic {
        initial: 1,
        factor: 1.01,
        max: usize::MAX,
        grow: Grow::Every { epochs: 1 },
    };
    let mut batches = Batches::new(4, slow, 0).unwrap();
    batches.end_epoch(0.0);
    assert_eq!(batches.batch_size(), 2);
}

#[test]
fn a_plateau_makes_batches_grow() {
    let size = BatchSize::Dynamic {
        initial: 8,
        factor: 2.0,
        max: 64,
        grow: Grow::Plateau { patience: 2, min_delta: 0.125 },
    };
    let mut batches = Batches::new(100, size, 0).unwrap();
    let losses = [1.0, 0.875, 0.75, 0.75, 0.75, 0.5, f64::NAN, 0.75, 0.75, 0.75, 0.75];
    let seen = losses.map(|loss| {
        batches.end_epoch(loss);
        batches.batch_size()
    });
    // 0.875 is no more than 0.125 below 1: it does not count; 0.75 does.
    assert_eq!(seen, [8, 8, 8, 8, 16, 16, 16, 32, 32, 64, 64]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let new = |size| Batches::new(10, size, 0);
    let dynamic =
        |initial, factor, max, grow| new(BatchSize::Dynamic { initial, factor, max, grow });
    let every = Grow::Every { epochs: 1 };
    says(new(BatchSize::Fixed(0)), "the batch size is 0, but must be 1 or more");
    says(
        new(BatchSize::Random { min: 0, max: 3 }),
        "the smallest batch size is 0, but must be 1 or more",
    );
    says(
        new(BatchSize::Random { min: 4, max: 3 }),
        "the largest batch size is 3, but must be the smallest or more",
    );
    says(dynamic(0, 2.0, 8, every), "the first batch size is 0, but must be 1 or more");
    says(dynamic(8, 2.0, 7, every), "the largest batch size is 7, but must be the first or more");
    for (factor, text) in [(1.0, "1"), (f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-2.0, "-2")] {
        says(
            dynamic(8, factor, 64, every),
            &format!(
                "the growth factor of the batch size is {text}, but must be a finite number above 1"
            ),
        );
    }
    says(
        dynamic(8, 2.0, 64, Grow::Every { epochs: 0 }),
        "the epochs between batch sizes is 0, but must be 1 or more",
    );
    says(
        dynamic(8, 2.0, 64, Grow::Plateau { patience: 0, min_delta: 0.0 }),
        "the patience of the batch size is 0, but must be 1 or more",
    );
    says(
        dynamic(8, 2.0, 64, Grow::Plateau { patience: 1, min_delta: f32::NAN }),
        "min_delta of the batch size is NaN, but must be 0 or more",
    );
    says(
        dynamic(8, 2.0, 64, Grow::Plateau { patience: 1, min_delta: -1.0 }),
        "min_delta of the batch size is -1, but must be 0 or more",
    );
    says(Batches::new(0, BatchSize::Fixed(1), 0), "there are no rows to make batches of");
}

#[test]
fn rows_are_gathered_or_nothing_is_written() {
    let features = (0..8).map(|x| x as f32).collect();
    let data = Dataset::regression(features, 2, vec![10.0, 11.0, 12.0, 13.0]).unwrap();
    let (mut x, mut y) = ([-1.0; 6], [-1.0; 3]);
    says(data.gather(&[0, 1], &mut x, &mut y), "batch features: length 6 where 4 is needed");
    says(data.gather(&[0, 1, 2], &mut x, &mut y[..2]), "batch targets: length 2 where 3 is needed");
    says(
        data.gather(&[0, 1, 4], &mut x, &mut y),
        "a row index is 4, but must be below the number of rows",
    );
    assert_eq!((x, y), ([-1.0; 6], [-1.0; 3]));
    data.gather(&[3, 0, 3], &mut x, &mut y).unwrap();
    assert_eq!((x, y), ([6.0, 7.0, 0.0, 1.0, 6.0, 7.0], [13.0, 10.0, 13.0]));
    data.gather(&[], &mut [], &mut []).unwrap();
}

proptest! {
    #[test]
    fn an_epoch_has_every_row_once(rows in 1..300_usize, min in 1..40_usize, extra in 0..40_usize, seed: u64) {
        let dynamic = BatchSize::Dynamic {
            initial: min,
            factor: 1.7,
            max: min + extra,
            grow: Grow::Every { epochs: 1 },
        };
        for size in [BatchSize::Fixed(min), BatchSize::Random { min, max: min + extra }, dynamic] {
            let mut batches = Batches::new(rows, size, seed).unwrap();
            for _ in 0..3 {
                let parts = epoch(&mut batches);
                let (last, full) = parts.split_last().unwrap();
                prop_assert!(last.len() <= size.most(rows));
                for part in full {
                    prop_assert!(part.len() >= min && part.len() <= size.most(rows));
                }
                let mut all = parts.concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..rows).collect::<Vec<_>>());
                batches.end_epoch(1.0);
            }
        }
    }
}
