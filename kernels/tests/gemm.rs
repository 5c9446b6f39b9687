//! The matrix product against f64, at every level: shapes and strides, and what lies around C.

mod product;

use product::{Case, KINDS, Kind, LAYOUTS, Layout, Matrix, Random, assert_same_bits};
use proptest::prelude::*;
use slimfit_kernels::Level;
use slimfit_kernels::activation::Activation;

#[test]
fn all_small_shapes_of_tiles_and_tails() {
    let mut seed = 1;
    for m in 0..=67 {
        for n in [0, 1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 24, 30, 31, 32, 33, 47, 48, 49, 64, 65, 67] {
            seed += 1;
            let k = [0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 33, 67][(seed % 13) as usize];
            let case = Case::new(m, n, k, [Layout::Rows; 3], Kind::None, seed);
            case.check_levels();
        }
    }
}

#[test]
fn all_lengths_of_k() {
    for k in 0..=67 {
        for (m, n) in [(1, 1), (1, 32), (2, 17), (3, 9), (5, 16), (7, 1), (33, 1), (4, 40)] {
            let case = Case::new(m, n, k, [Layout::Rows; 3], Kind::Bias, 1000 + k as u64);
            case.check_levels();
        }
    }
}

/// Panels of every width, alone and after others, the last vector full and not.
#[test]
fn all_widths_of_one_row() {
    let kinds = [Kind::None, Kind::Bias, Kind::Activation(Activation::Relu)];
    for n in 0..=150 {
        for (k, kind) in [1, 3, 4, 30, 127].into_iter().flat_map(|k| kinds.map(|kind| (k, kind))) {
            let seed = 2000 + (n * 128 + k) as u64;
            Case::new(1, n, k, [Layout::Rows; 3], kind, seed).check_levels();
        }
    }
}

#[test]
fn all_layouts() {
    let mut r = Random(5);
    for (m, n, k) in
        [(1, 1, 1), (1, 19, 33), (37, 1, 35), (2, 5, 21), (3, 16, 8), (33, 34, 35), (70, 131, 20)]
    {
        for a in LAYOUTS {
            for b in LAYOUTS {
                for c in LAYOUTS {
                    let mut case = Case::new(m, n, k, [a, b, c], Kind::None, r.next());
                    (case.alpha, case.beta) = (-0.5, 1.0);
                    case.check_levels();
                    case.c = case.c.tight();
                    case.check_levels();
                }
            }
        }
    }
}

/// C as its transpose: few columns, of an A that lies by columns, and C itself by columns.
#[test]
fn narrow_and_by_columns() {
    use Layout::{Columns, ColumnsWithGap, Rows, RowsWithGap};

    let mut r = Random(7);
    for n in 2..=13 {
        for m in [32, 40, 67, 100] {
            for c in [Rows, RowsWithGap(3), Columns, ColumnsWithGap(2)] {
                let mut case = Case::new(m, n, 33, [Columns, Rows, c], Kind::None, r.next());
                case.check_levels();
                case.beta = -0.5;
                case.check_levels();
                // Of a slice that ends with C.
                case.c = case.c.tight();
                case.check_levels();
                case.kind = Kind::Activation(Activation::Tanh);
                case.check_levels();
            }
        }
    }
}

/// C of few columns by an A of contiguous rows, some of which fall onto few sets of a cache, with rows that fill
/// no register and steps of k that are no multiple of four.
#[test]
fn few_columns() {
    let mut r = Random(8);
    let kinds = [
        Kind::None,
        Kind::Bias,
        Kind::Activation(Activation::Relu),
        Kind::Activation(Activation::Tanh),
        Kind::Derivative(Activation::Relu),
        Kind::InPlace(Activation::Relu),
        Kind::InPlace(Activation::Tanh),
    ];
    for n in 2..=25 {
        for (m, k) in [(8, 4), (16, 5), (35, 11), (40, 34), (31, 67), (32, 100)] {
            let aliasing = Layout::RowsWithGap(1024 - k);
            for a in [Layout::Rows, Layout::RowsWithGap(3), aliasing] {
                let layouts = [a, Layout::Rows, Layout::RowsWithGap(n % 3)];
                let kind = kinds[r.below(kinds.len())];
                let mut case = Case::new(m, n, k, layouts, kind, r.next());
                case.check_levels();
                (case.alpha, case.beta) = (-0.5, [0.0, 1.5][r.below(2)]);
                case.lhs = case.lhs.tight();
                case.c = case.c.tight();
                case.check_levels();
            }
        }
    }
}

/// The same in blocks of k, and of an A from afar, which is fetched ahead.
#[test]
fn few_columns_of_many_products() {
    let mut r = Random(9);
    for n in [3, 10, 20] {
        for (m, k, kind) in [
            (24, 513, Kind::Activation(Activation::Relu)),
            (49, 1030, Kind::Bias),
            (1025, 259, Kind::None),
        ] {
            let mut case = Case::new(m, n, k, [Layout::Rows; 3], kind, r.next());
            case.beta = [0.0, -1.0][n % 2];
            case.check_levels();
        }
        // Rows that fall onto few sets.
        let layouts = [Layout::RowsWithGap(324), Layout::Rows, Layout::Rows];
        Case::new(40, n, 700, layouts, Kind::Bias, r.next()).check_levels();
    }
    // A last block of three steps.
    Case::new(16, 2, 260_611, [Layout::Rows; 3], Kind::None, r.next()).check_levels();
}

/// Rows, columns or diagonals that repeat.
#[test]
fn factors_whose_elements_share_a_place() {
    let mut r = Random(16);
    let shared = [(0, 1), (1, 0), (1, 1), (0, 0), (512, 0)].map(|(i, j)| Layout::Strides(i, j));
    for (m, n, k) in
        [(1, 19, 33), (37, 1, 35), (3, 16, 8), (33, 34, 35), (60, 131, 600), (40, 10, 35)]
    {
        for a in shared {
            for b in shared {
                Case::new(m, n, k, [a, b, Layout::Rows], Kind::None, r.next()).check_levels();
            }
        }
    }
}

#[test]
fn strides_do_not_change_the_bits() {
    let mut r = Random(6);
    for (m, n, k) in
        [(1, 19, 33), (37, 1, 35), (3, 16, 18), (33, 34, 600), (70, 131, 20), (70, 10, 520)]
    {
        let plain = Case::new(m, n, k, [Layout::Rows; 3], Kind::None, r.next());
        for level in Level::available() {
            let expected = plain.run(level);
            for a in LAYOUTS {
                for b in LAYOUTS {
                    let mut case = plain.clone();
                    case.lhs = Matrix::new(m, k, a, 1);
                    case.rhs = Matrix::new(k, n, b, 2);
                    for p in 0..k {
                        (0..m).for_each(|i| *case.lhs.at(i, p) = plain.lhs.get(i, p));
                        (0..n).for_each(|j| *case.rhs.at(p, j) = plain.rhs.get(p, j));
                    }
                    let what = format!("{level} {a:?} {b:?} {:?}", (m, n, k));
                    assert_same_bits(&expected, &case.run(level), &what);
                }
            }
        }
    }
}

#[test]
fn large_and_aliasing_shapes() {
    use Kind::{Activation as Forward, Bias, Derivative, InPlace, None};
    use Layout::{Columns, ColumnsWithGap, Rows, RowsWithGap, Sparse};

    let mut r = Random(11);
    // Strides that are multiples of 1024 elements map rows to the same cache sets: B and a
    // transposed A are packed. (What else is depends on the caches; the comments below are of one of eight ways. A unit
    // test of the product pretends others.)
    for (m, n, k, layouts, kind) in [
        // Ten vectors of sixteen in panels that differ in width, and their tiles in height.
        (60, 160, 512, [ColumnsWithGap(1024 - 60), Rows, Rows], Forward(Activation::Relu)),
        (60, 193, 600, [RowsWithGap(1024 - 600), Rows, Rows], Derivative(Activation::Tanh)),
        (300, 140, 512, [Columns, RowsWithGap(1024 - 140), Rows], Forward(Activation::Gelu)),
        (600, 200, 515, [ColumnsWithGap(1024 - 600), Columns, Rows], Derivative(Activation::Relu)),
        (61, 1024, 1030, [ColumnsWithGap(1024 - 61), Rows, Rows], Bias),
        (
            260,
            131,
            256,
            [RowsWithGap(768), RowsWithGap(1024 - 131), Rows],
            Forward(Activation::Elu(0.75)),
        ),
        (50, 129, 1600, [RowsWithGap(1024 * 2 - 1600), Columns, Columns], None),
        (600, 200, 512, [Rows, Columns, Rows], InPlace(Activation::Relu)),
        (300, 140, 512, [Columns, RowsWithGap(1024 - 140), Columns], InPlace(Activation::Tanh)),
        // A short k: lower blocks of rows, of which the first packs B for all.
        (270, 140, 40, [Rows, Columns, Rows], Forward(Activation::Relu)),
        (300, 70, 64, [Columns, Rows, Columns], InPlace(Activation::Sigmoid)),
        // Rows of B half a page apart: packed in panels of one cache line.
        (130, 70, 300, [Rows, RowsWithGap(512 - 70), Rows], None),
        // Several blocks of columns, of rows and of k.
        (140, 2100, 530, [Rows, RowsWithGap(3072 - 2100), Rows], Forward(Activation::Relu)),
        // A is packed again for each block of columns, B for each block of rows read again.
        (60, 2100, 300, [ColumnsWithGap(1024 - 60), Rows, Rows], Derivative(Activation::Relu)),
        (300, 140, 300, [Rows, RowsWithGap(512 - 140), Rows], None),
        // As much of A and of B packed as there can be.
        (256, 1024, 512, [ColumnsWithGap(1024 - 256), Columns, Rows], Forward(Activation::Relu)),
        // B far from many rows of A: its rows are packed though they do not alias, torn ones for fewer.
        (650, 132, 530, [Rows, RowsWithGap(12), Rows], Bias),
        (650, 1060, 530, [Rows, RowsWithGap(11), Rows], Bias),
        (261, 150, 450, [Rows, Rows, Rows], Derivative(Activation::Tanh)),
        // The same in one block of rows, whose panels take the place of each other.
        (260, 300, 240, [Rows, Rows, Rows], Forward(Activation::Relu)),
        (260, 300, 240, [Rows, Rows, Rows], InPlace(Activation::Relu)),
        // And in several blocks of columns.
        (641, 2061, 130, [Rows, Rows, Rows], None),
        // Rows of whole lines, whatever the level.
        (1290, 528, 130, [Rows, Rows, Rows], Bias),
        // B far from few rows of A, and a k whose half is no multiple of the steps of a loop.
        (13, 2080, 141, [Rows, Rows, Rows], None),
        (13, 2080, 142, [Columns, Rows, Rows], Bias),
        // Panels packed by the tiles of those before, in one block of rows: of fewer columns than there is room for,
        // with a last one that is not whole, and with packed A. Then in several blocks of rows, and where rows of B
        // tear lines, which are not.
        (100, 85, 6200, [Rows, RowsWithGap(11), Rows], None),
        (128, 1060, 512, [Rows, RowsWithGap(12), Rows], Bias),
        (128, 1060, 512, [Columns, RowsWithGap(12), Rows], Forward(Activation::Tanh)),
        (300, 1060, 512, [Rows, RowsWithGap(12), Rows], Derivative(Activation::Relu)),
        (128, 600, 512, [Rows, Rows, Rows], Bias),
        // A packed value by value.
        (50, 1030, 260, [Sparse, Rows, Rows], None),
        // Up to eight columns that whole registers leave over: alone, beside others, packed, beside packed A,
        // after several blocks of columns, in a C stored by columns, with relu's derivative in place, in
        // several blocks of k, and of a B from afar.
        (50, 5, 60, [Rows, Rows, Rows], Forward(Activation::Tanh)),
        (33, 36, 64, [Rows, Columns, Rows], Bias),
        (300, 133, 300, [ColumnsWithGap(1024 - 300), Columns, Rows], None),
        (140, 2054, 530, [Rows, RowsWithGap(3072 - 2054), Rows], Forward(Activation::Relu)),
        (70, 24, 600, [Rows, Rows, Columns], Derivative(Activation::Tanh)),
        (90, 17, 512, [Columns, Rows, Rows], InPlace(Activation::Relu)),
        (40, 7, 600, [Rows, Rows, Rows], Derivative(Activation::Tanh)),
        (300, 5, 600, [Rows, Columns, Rows], Bias),
        (40, 37, 80, [Rows, Rows, Rows], Derivative(Activation::Tanh)),
        (40, 53, 80, [Rows, Rows, Rows], Forward(Activation::Gelu)),
        (40, 261, 520, [Rows, Rows, Rows], None),
        // B from afar, where it lies, in one block of k: few rows of A, rows of B that tear lines, k around the
        // least that is fetched ahead, A in columns, several blocks of rows, of columns and a C in columns.
        (24, 520, 512, [Rows, Rows, Rows], Bias),
        (24, 2052, 128, [Rows, Rows, Rows], InPlace(Activation::Relu)),
        (30, 560, 480, [Columns, RowsWithGap(3), Rows], Forward(Activation::Relu)),
        (300, 928, 300, [Rows, RowsWithGap(16), Rows], Derivative(Activation::Relu)),
        (24, 516, 512, [Rows, Rows, Columns], InPlace(Activation::Tanh)),
        (8, 1100, 127, [Rows, Rows, Rows], Forward(Activation::Relu)),
        // Rows of B that alias, for so few of A that the first tile is lower: panels of two vectors and three at
        // AVX-512.
        (50, 80, 300, [Rows, RowsWithGap(1024 - 80), Rows], None),
        (
            51,
            80,
            300,
            [RowsWithGap(1024 - 300), RowsWithGap(1024 - 80), Rows],
            InPlace(Activation::Relu),
        ),
        // A C that comes from afar.
        (1040, 520, 10, [Rows, Columns, Rows], Bias),
        (1040, 520, 40, [Rows, Columns, Rows], None),
    ] {
        let mut case = Case::new(m, n, k, layouts, kind, r.next());
        (case.alpha, case.beta) = (-0.5, 1.0);
        case.check_levels();
        case.check_parts(&mut r);
    }
}

#[test]
fn parts_have_the_bits_of_the_whole() {
    let mut r = Random(12);
    for (m, n, k) in [
        (1, 64, 40),
        (2, 16, 40),
        (3, 16, 9),
        (40, 1, 40),
        (30, 32, 32),
        (128, 10, 256),
        (64, 70, 700),
        (7, 2, 3),
        // A wide row, whose parts are too narrow for its panels or not.
        (1, 700, 300),
        (1, 560, 600),
    ] {
        for kind in KINDS {
            let layouts = [LAYOUTS[r.below(5)], LAYOUTS[r.below(5)], LAYOUTS[r.below(5)]];
            let mut case = Case::new(m, n, kind.limit(k), layouts, kind, r.next());
            case.beta = [0.0, 1.0, -0.5][r.below(3)];
            case.check_parts(&mut r);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_strides_and_scalars(
        (m, n, k) in (1_usize..200, 1_usize..200, 0_usize..200),
        layouts in [0_usize..5, 0_usize..5, 0_usize..5],
        kind in 0..KINDS.len(),
        alpha in prop::sample::select(vec![0.0_f32, 1.0, -0.5]),
        beta in prop::sample::select(vec![0.0_f32, 1.0, -0.5]),
        seed: u64,
    ) {
        let layouts = layouts.map(|i| LAYOUTS[i]);
        let mut case = Case::new(m, n, k, layouts, KINDS[kind], seed);
        (case.alpha, case.beta) = (alpha, beta);
        case.check_levels();
        case.check_parts(&mut Random(seed));
    }
}
