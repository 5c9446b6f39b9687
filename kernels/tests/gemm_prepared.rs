//! The prepared product has the bits of the product itself, whatever the shape, the strides and the
//! epilogue, and refuses what does not fit without writing.

mod product;

use product::{
    CANARY, Case, KINDS, Kind, LAYOUTS, Layout as Lies, Matrix, Random, assert_same_bits,
};
use slimfit_kernels::activation::Activation;
use slimfit_kernels::gemm::{EpilogueKind, IN_PLACE_K, Prepared};
use slimfit_kernels::{Error, Layout, Level};

fn prepare(case: &Case, level: Level) -> Prepared {
    let (lhs, rhs, c) =
        (case.lhs.view().layout(), case.rhs.view().layout(), case.c.view().layout());
    Prepared::new(level, case.alpha, lhs, rhs, case.beta, c, case.epilogue().kind()).unwrap()
}

/// As little as will do, so that a sanitizer sees what is read past it.
fn span(of: &Matrix) -> &[f32] {
    let view = of.view();
    &view.data()[..view.layout().span().unwrap()]
}

/// What the epilogue reads.
fn operand(case: &Case) -> &[f32] {
    match case.kind {
        Kind::Bias | Kind::Activation(_) => &case.bias,
        Kind::Derivative(_) => span(&case.saved),
        Kind::None | Kind::InPlace(_) => &[],
    }
}

/// The prepared product has the bits of `gemm` at every level, twice, and writes C alone.
fn check(case: &Case) {
    for level in Level::available() {
        let prepared = prepare(case, level);
        let mut scratch = vec![f32::NAN; prepared.scratch_len()];
        let expected = case.run(level);
        for _ in 0..2 {
            let mut c = case.c.clone();
            let out = &mut c.data[case.c.offset..];
            prepared
                .run(span(&case.lhs), span(&case.rhs), out, operand(case), &mut scratch)
                .unwrap();
            c.check_canaries();
            let (alpha, beta) = (case.alpha, case.beta);
            let what = format!("{level} {:?} {:?} {alpha} {beta}", case.shape(), case.kind);
            assert_same_bits(&expected, &c, &what);
        }
    }
}

#[test]
fn all_shapes_up_to_forty() {
    let mut r = Random(1);
    for m in 1..=40 {
        for n in 1..=40 {
            let k = 1 + r.below(40);
            let transposed = |r: &mut Random| [Lies::Rows, Lies::Columns][r.below(2)];
            let layouts = [transposed(&mut r), transposed(&mut r), Lies::Rows];
            let kind = KINDS[r.below(KINDS.len())];
            check(&Case::new(m, n, k, layouts, kind, r.next()));
            check(&Case::new(m, n, k, [Lies::Rows; 3], Kind::None, r.next()));
        }
    }
}

#[test]
fn strides_scalars_and_epilogues() {
    let mut r = Random(2);
    for round in 0..1500 {
        let limit = if round % 50 == 0 { 300 } else { 70 };
        let (m, n, k) = (r.below(limit), r.below(limit), r.below(limit));
        let layouts = [LAYOUTS[r.below(5)], LAYOUTS[r.below(5)], LAYOUTS[r.below(5)]];
        let kind = KINDS[r.below(KINDS.len())];
        let mut case = Case::new(m, n, k, layouts, kind, r.next());
        case.alpha = [1.0, 1.0, 0.0, -0.5][r.below(4)];
        case.beta = [0.0, 0.0, 1.0, -0.5][r.below(4)];
        check(&case);
    }
}

#[test]
fn shapes_of_layers() {
    let mut r = Random(3);
    let (rows, columns) = (Lies::Rows, Lies::Columns);
    for batch in [1, 8, 32, 64] {
        for (inputs, outputs) in [(30, 32), (32, 16), (16, 1), (8, 8), (64, 48), (600, 10)] {
            for (m, n, k, lhs, rhs) in [
                (batch, outputs, inputs, rows, rows),
                (inputs, outputs, batch, columns, rows),
                (batch, inputs, outputs, rows, columns),
            ] {
                for kind in KINDS {
                    check(&Case::new(m, n, kind.limit(k), [lhs, rhs, rows], kind, r.next()));
                }
            }
        }
    }
}

/// Rows of A that lie as far apart as some tiles know beforehand, and others that do not quite.
#[test]
fn rows_of_sixteen_and_thirty_two() {
    let mut r = Random(11);
    for apart in [16, 17, 32, 33] {
        for m in [8, 16, 32, 40, 48] {
            for n in [15, 16, 32] {
                for k in [1, 2, 7, 15, 16, 31, 32] {
                    for kind in KINDS {
                        let k = kind.limit(k);
                        let along = (k <= apart).then(|| Lies::RowsWithGap(apart - k));
                        for lhs in along.into_iter().chain([Lies::Strides(apart, 2)]) {
                            let case =
                                Case::new(m, n, k, [lhs, Lies::Rows, Lies::Rows], kind, r.next());
                            check(&case);
                            case.check_levels();
                        }
                    }
                }
            }
        }
    }
}

/// Half a register of AVX-512.
#[test]
fn eight_columns() {
    let mut r = Random(4);
    for m in 1..=40 {
        for k in [1, 3, 4, 8, 33, 140] {
            for lhs in [Lies::Rows, Lies::Columns, Lies::RowsWithGap(3)] {
                for rhs in [Lies::Rows, Lies::Columns] {
                    for kind in KINDS {
                        check(&Case::new(m, 8, k, [lhs, rhs, Lies::Rows], kind, r.next()));
                    }
                }
            }
        }
    }
}

/// Registers of columns of A, whole and halves, with rows left and without.
#[test]
fn few_columns() {
    let mut r = Random(10);
    for n in 2..=25 {
        for (m, k) in [(16, 5), (24, 100), (35, 11), (39, 37)] {
            for lhs in [Lies::Rows, Lies::RowsWithGap(1024 - k)] {
                for rhs in [Lies::Rows, Lies::Columns] {
                    for kind in KINDS {
                        let mut case = Case::new(m, n, k, [lhs, rhs, Lies::Rows], kind, r.next());
                        check(&case);
                        (case.alpha, case.beta) = (-0.5, 1.0);
                        check(&case);
                    }
                }
            }
        }
    }
}

/// One row in panels of columns, with some left and without.
#[test]
fn wide_rows() {
    let mut r = Random(5);
    for (n, k) in [(256, 128), (300, 140), (600, 600), (63, 600), (1024, 600), (1300, 530)] {
        for kind in KINDS {
            let mut case = Case::new(1, n, kind.limit(k), [Lies::Rows; 3], kind, r.next());
            check(&case);
            (case.alpha, case.beta) = (-0.5, 1.0);
            check(&case);
            case.check_levels();
        }
    }
}

/// B from afar, with k below what is fetched ahead and above.
#[test]
fn large_rhs() {
    let mut r = Random(6);
    for (m, n, k) in [(1, 2000, 100), (8, 2100, 127), (8, 2100, 128), (24, 520, 512)] {
        for lhs in [Lies::Rows, Lies::Columns] {
            for kind in KINDS {
                check(&Case::new(m, n, k, [lhs, Lies::Rows, Lies::Rows], kind, r.next()));
            }
        }
    }
}

/// Rows of B that the first cache does not keep a line of: tiles go along all panels, of one height and of two.
#[test]
fn tiles_along_all_panels() {
    let mut r = Random(9);
    for (m, n, k) in [(36, 64, 160), (37, 96, 300), (4, 128, 128), (65, 128, 257), (2, 64, 200)] {
        for lhs in [Lies::Rows, Lies::Columns] {
            for rhs in [Lies::Rows, Lies::Columns] {
                for kind in KINDS {
                    check(&Case::new(m, n, k, [lhs, rhs, Lies::Rows], kind, r.next()));
                }
            }
        }
    }
}

#[test]
fn lengths_beyond_any_slice_are_refused() {
    let (huge, longest) = (usize::MAX, isize::MAX.cast_unsigned());
    for level in Level::available() {
        let row = Layout::row_major;
        let (lhs, rhs, c) = (row(0, 0), row(0, huge), row(0, huge));
        let prepared = Prepared::new(level, 1.0, lhs, rhs, 0.0, c, EpilogueKind::Bias).unwrap();
        let what = "operand of the epilogue";
        let error = prepared.run(&[], &[], &mut [], &[], &mut []);
        assert_eq!(error, Err(Error::Length { what, expected: longest, found: 0 }));
        // As many columns with a short k, of a B whose rows are one.
        let (lhs, rhs, c) = (row(8, 64), Layout::strided(64, huge / 16, 0, 1), row(8, huge / 16));
        let prepared = Prepared::new(level, 1.0, lhs, rhs, 0.0, c, EpilogueKind::None).unwrap();
        let error = prepared.run(&[1.0; 512], &[], &mut [], &[], &mut []);
        assert_eq!(error, Err(Error::Length { what: "rhs", expected: huge / 16, found: 0 }));
        // Rows of C so far from each other that the one behind the last has no place.
        let (rows, wide) = (Layout::row_major, Layout::strided(6, 128, (huge - 128) / 5, 1));
        let (lhs, rhs) = (rows(6, 128), rows(128, 128));
        assert!(Prepared::new(level, 1.0, lhs, rhs, 0.0, wide, EpilogueKind::None).is_ok());
        let lhs = Layout::strided(2, 1, longest + 9, 1);
        let (rhs, c) = (row(1, 2), row(2, 2));
        let prepared = Prepared::new(level, 1.0, lhs, rhs, 0.0, c, EpilogueKind::None).unwrap();
        let mut out = [CANARY; 4];
        let mut scratch = vec![0.0; prepared.scratch_len()];
        let error = prepared.run(&[1.0; 2], &[1.0; 2], &mut out, &[], &mut scratch);
        assert_eq!(error, Err(Error::Length { what: "lhs", expected: longest, found: 2 }));
        assert_eq!(out, [CANARY; 4]);
    }
}

#[test]
fn short_slices_are_refused_and_nothing_is_written() {
    for level in Level::available() {
        for kind in [Kind::None, Kind::Bias, Kind::Derivative(Activation::Tanh)] {
            // Small, and with a B to be packed.
            for rhs in [Lies::Rows, Lies::Columns] {
                let case = Case::new(5, 17, 9, [Lies::RowsWithGap(2), rhs, Lies::Rows], kind, 4);
                let prepared = prepare(&case, level);
                let room = vec![0.0; prepared.scratch_len()];
                let slices = [span(&case.lhs), span(&case.rhs), operand(&case), &room];
                let names = ["lhs", "rhs", "operand of the epilogue", "scratch"];
                for (short, what) in names.into_iter().enumerate() {
                    let expected = slices[short].len();
                    let Some(found) = expected.checked_sub(1) else { continue };
                    let mut cut = slices;
                    cut[short] = &cut[short][..found];
                    let mut c = [CANARY; 5 * 17];
                    let mut scratch = cut[3].to_vec();
                    let error = prepared.run(cut[0], cut[1], &mut c, cut[2], &mut scratch);
                    assert_eq!(error, Err(Error::Length { what, expected, found }), "{level}");
                    assert_eq!(c, [CANARY; 5 * 17]);
                }
                let mut c = [CANARY; 5 * 17 - 1];
                let mut scratch = room.clone();
                let error = prepared.run(slices[0], slices[1], &mut c, slices[2], &mut scratch);
                assert_eq!(error, Err(Error::Length { what: "c", expected: 85, found: 84 }));
                assert_eq!(c, [CANARY; 84]);
            }
        }
    }
}

#[test]
fn what_cannot_be_is_not_prepared() {
    let huge = usize::MAX;
    let row = Layout::row_major;
    for level in Level::available() {
        let new = |lhs, rhs, c, epilogue| {
            Prepared::new(level, 1.0, lhs, rhs, 0.0, c, epilogue).map(|_| ()).unwrap_err()
        };
        let none = EpilogueKind::None;
        let error = new(row(2, 4), row(4, 5), row(3, 5), none);
        assert_eq!(error, Error::Shape { what: "lhs", expected: (3, 4), found: (2, 4) });
        let error = new(row(3, 4), row(3, 5), row(3, 5), none);
        assert_eq!(error, Error::Shape { what: "rhs", expected: (4, 5), found: (3, 5) });
        let error = new(Layout::strided(3, 4, huge, 1), row(4, 5), row(3, 5), none);
        assert!(matches!(error, Error::View { rows: 3, .. }));
        let error = new(row(3, 4), Layout::strided(4, 5, huge, huge), row(3, 5), none);
        assert!(matches!(error, Error::View { rows: 4, .. }));
        let error = new(row(3, 4), row(4, 5), Layout::strided(3, 5, huge, 1), none);
        assert!(matches!(error, Error::View { .. }));
        // So many rows are tiles of two heights, one below the other.
        let error = new(Layout::strided(17, 4, huge, 1), row(4, 16), row(17, 16), none);
        assert!(matches!(error, Error::View { rows: 17, .. }));
        let error = new(row(17, 4), row(4, 16), Layout::strided(17, 16, huge, 1), none);
        assert!(matches!(error, Error::View { rows: 17, .. }));
        for (row_stride, col_stride) in [(0, 1), (4, 1), (1, 0), (1, 2)] {
            let c = Layout::strided(3, 5, row_stride, col_stride);
            let error = new(row(3, 4), row(4, 5), c, none);
            assert_eq!(error, Error::Overlap { row_stride, col_stride });
        }
        let relu = Activation::Relu;
        let error = new(row(3, 4), row(4, 5), row(3, 5), EpilogueKind::Derivative(relu, row(5, 3)));
        assert_eq!(error, Error::Shape { what: "saved", expected: (3, 5), found: (5, 3) });
        let saved = Layout::strided(3, 5, huge, 1);
        let error = new(row(3, 4), row(4, 5), row(3, 5), EpilogueKind::Derivative(relu, saved));
        assert!(matches!(error, Error::View { .. }));
        let leaky = Activation::LeakyRelu(-0.5);
        let error = new(row(3, 4), row(4, 5), row(3, 5), EpilogueKind::BiasActivation(leaky));
        assert!(matches!(error, Error::Parameter { .. }));
        let (lhs, rhs) = (row(3, IN_PLACE_K + 1), row(IN_PLACE_K + 1, 5));
        let error = new(lhs, rhs, row(3, 5), EpilogueKind::DerivativeInPlace(relu));
        assert!(matches!(error, Error::Length { expected: IN_PLACE_K, .. }));
    }
}
