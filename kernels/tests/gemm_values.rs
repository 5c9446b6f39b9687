//! The matrix product: scalars, epilogues and special values, against f64 at every level.

mod product;

use product::{Case, KINDS, Kind, LAYOUTS, Layout, Random, assert_same_bits};
use slimfit_kernels::Level;
use slimfit_kernels::activation::{self, Activation};

#[test]
fn scalars_and_epilogues() {
    let mut r = Random(7);
    for kind in KINDS {
        for alpha in [0.0, 1.0, -0.5] {
            for beta in [0.0, 1.0, -0.5] {
                for (m, n, k) in [
                    (5, 1, 40),
                    (1, 33, 9),
                    (13, 21, 17),
                    (9, 70, 530),
                    (1, 300, 140),
                    (1, 256, 600),
                    (4, 3, 0),
                ] {
                    for layout in [Layout::Rows, Layout::Columns] {
                        let rhs = if m == 1 { Layout::Rows } else { Layout::Columns };
                        let layouts = [Layout::Rows, rhs, layout];
                        let k = kind.limit(k);
                        let mut case = Case::new(m, n, k, layouts, kind, r.next());
                        (case.alpha, case.beta) = (alpha, beta);
                        case.check_levels();
                    }
                }
            }
        }
    }
}

#[test]
fn an_epilogue_has_the_bits_of_separate_passes() {
    for kind in KINDS {
        for (m, n, k) in [(5, 1, 40), (13, 21, 17), (9, 70, 530)] {
            let case = Case::new(m, n, kind.limit(k), [Layout::Rows; 3], kind, 15);
            let bare = match kind {
                Kind::Activation(_) => Kind::Bias,
                _ => Kind::None,
            };
            for level in Level::available() {
                let mut expected = Case { kind: bare, ..case.clone() }.run(level);
                for i in 0..m {
                    for j in 0..n {
                        let (saved, before) = ([case.saved.get(i, j)], [case.c.get(i, j)]);
                        let x = core::slice::from_mut(expected.at(i, j));
                        match kind {
                            Kind::Activation(f) => activation::forward_in_place(level, f, x),
                            Kind::Derivative(f) => activation::backward(level, f, &saved, x),
                            Kind::InPlace(f) => activation::backward(level, f, &before, x),
                            _ => Ok(()),
                        }
                        .unwrap();
                    }
                }
                if kind == Kind::Bias {
                    expected = Case { kind: Kind::None, ..case.clone() }.run(level);
                    for i in 0..m {
                        (0..n).for_each(|j| *expected.at(i, j) += case.bias[j]);
                    }
                }
                assert_same_bits(&expected, &case.run(level), &format!("{level} {kind:?}"));
            }
        }
    }
}

#[test]
fn beta_zero_does_not_read_c() {
    for (m, n, k) in [(1, 1, 3), (1, 40, 3), (9, 1, 20), (17, 70, 600), (5, 5, 0), (25, 10, 30)] {
        for layout in LAYOUTS {
            for alpha in [1.0, 0.0] {
                let layouts = [Layout::Rows, Layout::Rows, layout];
                let mut case = Case::new(m, n, k, layouts, Kind::Bias, 8);
                case.alpha = alpha;
                for i in 0..m {
                    (0..n).for_each(|j| *case.c.at(i, j) = f32::NAN);
                }
                case.check_levels();
            }
        }
    }
}

#[test]
fn alpha_zero_does_not_read_the_factors() {
    for (m, n) in [(3, 1), (20, 20)] {
        let mut case = Case::new(m, n, 5, [Layout::Rows; 3], Kind::None, 9);
        (case.alpha, case.beta) = (0.0, 1.0);
        *case.lhs.at(1, 1) = f32::NAN;
        *case.rhs.at(2, 0) = f32::INFINITY;
        let c = case.check_levels();
        assert_same_bits(&c, &case.c, "beta 1 keeps C");
    }
}

#[test]
fn nan_and_infinity_spread_as_in_the_sum() {
    let mut r = Random(10);
    for (m, n, k) in
        [(1, 1, 20), (1, 20, 20), (3, 5, 7), (20, 1, 33), (31, 67, 20), (65, 33, 9), (33, 10, 25)]
    {
        for _ in 0..20 {
            let layouts = [LAYOUTS[r.below(5)], LAYOUTS[r.below(5)], LAYOUTS[r.below(5)]];
            let kind = [Kind::None, Kind::Bias, Kind::Activation(Activation::Relu)][r.below(3)];
            let mut case = Case::new(m, n, k, layouts, kind, r.next());
            for _ in 0..=r.below(3) {
                let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0][r.below(4)];
                *case.lhs.at(r.below(m), r.below(k)) = x;
                let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0][r.below(4)];
                *case.rhs.at(r.below(k), r.below(n)) = x;
            }
            case.check_levels();
        }
    }
}

#[test]
fn nan_among_what_was_saved_stays() {
    let relu = Activation::Relu;
    for (m, n, k) in [(1, 20, 7), (5, 6, 3), (8, 16, 9), (20, 1, 5)] {
        for kind in [Kind::Derivative(relu), Kind::InPlace(relu)] {
            let case = Case::new(m, n, k, [Layout::Rows; 3], kind, 16);
            for level in Level::available() {
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let (mut expected, mut case) = (case.run(level), case.clone());
                    *case.saved.at(i, j) = f32::NAN;
                    *case.c.at(i, j) = f32::NAN;
                    let saved = if kind == Kind::InPlace(relu) { &case.c } else { &case.saved };
                    // Elements of what was saved may share a place.
                    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                        if saved.get(i, j).is_nan() {
                            *expected.at(i, j) = f32::NAN;
                        }
                    }
                    assert_same_bits(&expected, &case.run(level), &format!("{level} {kind:?}"));
                }
            }
        }
    }
}

#[test]
fn values_of_powers_of_two_are_exact() {
    // Small integers: every order of summation gives the exact sum.
    let mut case = Case::new(67, 66, 65, [Layout::Rows; 3], Kind::None, 13);
    let mut r = Random(14);
    for p in 0..65 {
        (0..67).for_each(|i| *case.lhs.at(i, p) = r.below(17) as f32 - 8.0);
        (0..66).for_each(|j| *case.rhs.at(p, j) = r.below(17) as f32 - 8.0);
    }
    for level in Level::available() {
        let c = case.run(level);
        for i in 0..67 {
            for j in 0..66 {
                assert_eq!(f64::from(c.get(i, j)), case.exact(i, j).0, "{level} ({i}, {j})");
            }
        }
    }
}
