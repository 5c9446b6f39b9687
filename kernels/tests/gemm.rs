//! The matrix product against f64, at every level: shapes, strides, scalars, epilogues, special
//! values, the bits of parts and of levels, and what lies around C.

use proptest::prelude::*;
use slimfit_kernels::activation::{self, Activation};
use slimfit_kernels::gemm::{
    Epilogue, IN_PLACE_K, Plan, gemm, gemm_part, row_major_scratch_len, scratch_len,
};
use slimfit_kernels::{Error, Level, MatMut, MatRef};

/// What stands around C and in the gaps of its strides.
const CANARY: f32 = -7.654_321e7;

/// Uniform values in [-1, 1) from a counter (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// How a matrix lies in its slice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Rows,
    RowsWithGap(usize),
    Columns,
    ColumnsWithGap(usize),
    /// Neither index contiguous.
    Sparse,
    /// Any strides; elements may share a place.
    Strides(usize, usize),
}

const LAYOUTS: [Layout; 5] = [
    Layout::Rows,
    Layout::RowsWithGap(3),
    Layout::Columns,
    Layout::ColumnsWithGap(5),
    Layout::Sparse,
];

/// How the matrix that a backward pass reads may lie.
const SAVED: [Layout; 6] = [
    Layout::Rows,
    Layout::RowsWithGap(2),
    Layout::Columns,
    Layout::Sparse,
    Layout::Strides(0, 1),
    Layout::Strides(1, 1),
];

/// A matrix with its slice, which begins `offset` elements before the matrix and, unless
/// [`tight`](Matrix::tight), ends after it.
#[derive(Clone, Debug)]
struct Matrix {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    strides: (usize, usize),
    offset: usize,
}

impl Matrix {
    fn new(rows: usize, cols: usize, layout: Layout, offset: usize) -> Self {
        let strides = match layout {
            Layout::Rows => (cols, 1),
            Layout::RowsWithGap(gap) => (cols + gap, 1),
            Layout::Columns => (1, rows),
            Layout::ColumnsWithGap(gap) => (1, rows + gap),
            Layout::Sparse => (2 * cols + 1, 2),
            Layout::Strides(row, col) => (row, col),
        };
        let span = rows * strides.0 + cols * strides.1;
        Self { data: vec![CANARY; offset + span + 19], rows, cols, strides, offset }
    }
    fn random(rows: usize, cols: usize, layout: Layout, offset: usize, r: &mut Random) -> Self {
        let mut m = Self::new(rows, cols, layout, offset);
        for i in 0..rows {
            for j in 0..cols {
                *m.at(i, j) = r.value();
            }
        }
        m
    }
    /// The same in a slice that ends with the last element, so that a sanitizer sees what is read
    /// past it.
    fn tight(mut self) -> Self {
        let none = self.rows == 0 || self.cols == 0;
        let end = if none { self.offset } else { self.index(self.rows - 1, self.cols - 1) + 1 };
        self.data = self.data[..end].to_vec();
        self
    }
    fn index(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.strides.0 + j * self.strides.1
    }
    fn at(&mut self, i: usize, j: usize) -> &mut f32 {
        let index = self.index(i, j);
        &mut self.data[index]
    }
    fn get(&self, i: usize, j: usize) -> f32 {
        self.data[self.index(i, j)]
    }
    fn view(&self) -> MatRef<'_> {
        let (row, col) = self.strides;
        // A part without rows or columns may begin after the end.
        let data = self.data.get(self.offset..).unwrap_or_default();
        MatRef::with_strides(data, self.rows, self.cols, row, col).unwrap()
    }
    fn view_mut(&mut self) -> MatMut<'_> {
        let (row, col) = self.strides;
        let data = &mut self.data[self.offset..];
        MatMut::with_strides(data, self.rows, self.cols, row, col).unwrap()
    }
    /// All values that are no element of the matrix are still canaries.
    fn check_canaries(&self) {
        let mut element = vec![false; self.data.len()];
        for i in 0..self.rows {
            for j in 0..self.cols {
                element[self.index(i, j)] = true;
            }
        }
        for (index, (x, element)) in self.data.iter().zip(element).enumerate() {
            assert!(element || x.to_bits() == CANARY.to_bits(), "{index} was written: {x}");
        }
    }
}

/// Bits, with all NaN alike.
fn bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

fn assert_same_bits(a: &Matrix, b: &Matrix, what: &str) {
    for i in 0..a.rows {
        for j in 0..a.cols {
            let (x, y) = (a.get(i, j), b.get(i, j));
            assert_eq!(bits(x), bits(y), "{what}: ({i}, {j}): {x:e} and {y:e}");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    None,
    Bias,
    Activation(Activation),
    Derivative(Activation),
    /// With C before as the saved matrix.
    InPlace(Activation),
}

impl Kind {
    /// `k`, or the largest that goes in place.
    fn limit(self, k: usize) -> usize {
        if matches!(self, Self::InPlace(_)) { k.min(IN_PLACE_K) } else { k }
    }
}

/// As little as will do.
fn scratch_for(m: usize, n: usize, k: usize, rhs: MatRef<'_>) -> Vec<f32> {
    let row_major = rhs.col_stride() == 1;
    let len = if row_major { row_major_scratch_len(m, n, k) } else { scratch_len(m, n, k) };
    vec![f32::NAN; len]
}

/// A product with all its operands.
#[derive(Clone, Debug)]
struct Case {
    alpha: f32,
    beta: f32,
    lhs: Matrix,
    rhs: Matrix,
    c: Matrix,
    kind: Kind,
    bias: Vec<f32>,
    saved: Matrix,
}

impl Case {
    fn new(m: usize, n: usize, k: usize, layouts: [Layout; 3], kind: Kind, seed: u64) -> Self {
        let mut r = Random(seed);
        let r = &mut r;
        let [a, b, c] = layouts;
        let saved = SAVED[r.below(SAVED.len())];
        Self {
            alpha: 1.0,
            beta: 0.0,
            lhs: Matrix::random(m, k, a, r.below(4), r).tight(),
            rhs: Matrix::random(k, n, b, r.below(4), r).tight(),
            c: Matrix::random(m, n, c, r.below(4), r),
            kind,
            bias: (0..n).map(|_| r.value()).collect(),
            saved: Matrix::random(m, n, saved, r.below(4), r).tight(),
        }
    }
    fn shape(&self) -> (usize, usize, usize) {
        (self.c.rows, self.c.cols, self.lhs.cols)
    }
    fn epilogue(&self) -> Epilogue<'_> {
        match self.kind {
            Kind::None => Epilogue::None,
            Kind::Bias => Epilogue::Bias(&self.bias),
            Kind::Activation(activation) => Epilogue::BiasActivation(&self.bias, activation),
            Kind::Derivative(activation) => Epilogue::Derivative(activation, self.saved.view()),
            Kind::InPlace(activation) => Epilogue::DerivativeInPlace(activation),
        }
    }
    fn run(&self, level: Level) -> Matrix {
        let (m, n, k) = self.shape();
        let mut c = self.c.clone();
        let (lhs, rhs) = (self.lhs.view(), self.rhs.view());
        let mut scratch = scratch_for(m, n, k, rhs);
        let epilogue = self.epilogue();
        gemm(level, self.alpha, lhs, rhs, self.beta, c.view_mut(), epilogue, &mut scratch).unwrap();
        c.check_canaries();
        c
    }

    /// Element (i, j) in f64, and how far off an f32 result may be.
    fn exact(&self, i: usize, j: usize) -> (f64, f64) {
        let (_, _, k) = self.shape();
        let (alpha, beta) = (f64::from(self.alpha), f64::from(self.beta));
        let (mut sum, mut magnitude) = (0.0, 0.0);
        if self.alpha != 0.0 {
            for p in 0..k {
                let product = f64::from(self.lhs.get(i, p)) * f64::from(self.rhs.get(p, j));
                sum += alpha * product;
                magnitude += (alpha * product).abs();
            }
        }
        // The bound that the essay of `gemm` states.
        let u = f64::from(f32::EPSILON) / 2.0;
        let roundings = if self.c.cols == 1 { k / 16 + 8 } else { k.min(512) + k / 512 + 3 };
        let mut bound = roundings as f64 * u * magnitude;
        if self.beta != 0.0 {
            let before = beta * f64::from(self.c.get(i, j));
            sum += before;
            bound += (k.div_ceil(512) + 2) as f64 * u * before.abs();
        }
        let exact = match self.kind {
            Kind::None => sum,
            Kind::Bias => {
                bound += u * (sum.abs() + 1.0);
                sum + f64::from(self.bias[j])
            }
            Kind::Activation(activation) => {
                bound += u * (sum.abs() + 1.0);
                let z = sum + f64::from(self.bias[j]);
                // The steepest, gelu, has slope 1.13; a few units of rounding of its own.
                bound = 1.13 * bound + 4.0 * u * (1.0 + z.abs());
                forward(activation, z)
            }
            Kind::Derivative(activation) | Kind::InPlace(activation) => {
                let in_place = matches!(self.kind, Kind::InPlace(_));
                let saved = if in_place { &self.c } else { &self.saved };
                let slope = derivative(activation, f64::from(saved.get(i, j)));
                bound = bound * slope.abs() + 4.0 * u * sum.abs() * slope.abs().max(1.0);
                sum * slope
            }
        };
        (exact, bound)
    }

    fn check(&self, c: &Matrix, what: &str) {
        for i in 0..c.rows {
            for j in 0..c.cols {
                let (exact, bound) = self.exact(i, j);
                let found = f64::from(c.get(i, j));
                let close = if exact.is_finite() {
                    (found - exact).abs() <= bound
                } else {
                    found.is_nan() == exact.is_nan() && (exact.is_nan() || found == exact)
                };
                assert!(close, "{what}: ({i}, {j}): {found:e} for {exact:e} +- {bound:e}");
            }
        }
    }

    /// Every level against f64, fused levels against each other; the widest result.
    fn check_levels(&self) -> Matrix {
        let mut fused: Option<Matrix> = None;
        for level in Level::available() {
            let c = self.run(level);
            let what = format!("{level} {:?} {:?}", self.shape(), self.kind);
            self.check(&c, &what);
            if level.is_fused() {
                if let Some(other) = &fused {
                    assert_same_bits(other, &c, &what);
                }
                fused = Some(c);
            }
        }
        fused.unwrap_or_else(|| self.run(Level::PORTABLE))
    }

    /// C computed in parts, cut at these rows and columns.
    fn run_in_parts(&self, level: Level, rows: [usize; 2], cols: [usize; 2]) -> Matrix {
        let (m, n, k) = self.shape();
        let plan = Plan::new(m, n, k);
        let mut parts = self.c.clone();
        let cuts = |[a, b]: [usize; 2], end| [(0, a.min(b)), (a.min(b), a.max(b)), (a.max(b), end)];
        for (top, bottom) in cuts(rows, m) {
            for (left, right) in cuts(cols, n) {
                let (height, width) = (bottom - top, right - left);
                let mut part = Matrix { rows: height, cols: width, ..parts.clone() };
                part.offset = parts.index(top, left);
                let lhs = self.lhs.view().row_range(top, height).unwrap();
                let rhs = self.rhs.view().t().row_range(left, width).unwrap().t();
                let saved = Matrix {
                    rows: height,
                    cols: width,
                    offset: self.saved.index(top, left),
                    ..self.saved.clone()
                };
                let epilogue = match self.kind {
                    Kind::None => Epilogue::None,
                    Kind::Bias => Epilogue::Bias(&self.bias[left..right]),
                    Kind::Activation(a) => Epilogue::BiasActivation(&self.bias[left..right], a),
                    Kind::Derivative(a) => Epilogue::Derivative(a, saved.view()),
                    Kind::InPlace(a) => Epilogue::DerivativeInPlace(a),
                };
                let mut scratch = scratch_for(height, width, k, rhs);
                let (alpha, beta, c) = (self.alpha, self.beta, part.view_mut());
                gemm_part(level, plan, alpha, lhs, rhs, beta, c, epilogue, &mut scratch).unwrap();
                parts.data = part.data;
            }
        }
        parts.check_canaries();
        parts
    }

    /// Parts have the bits of the whole, at every level.
    fn check_parts(&self, r: &mut Random) {
        let (m, n, k) = self.shape();
        for level in Level::available() {
            let rows = [r.below(m + 1), r.below(m + 1)];
            let cols = [r.below(n + 1), r.below(n + 1)];
            let parts = self.run_in_parts(level, rows, cols);
            let what = format!("{level} {:?} cut at {rows:?}, {cols:?}", (m, n, k));
            assert_same_bits(&self.run(level), &parts, &what);
        }
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn forward(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Relu => z.max(0.0) + if z.is_nan() { z } else { 0.0 },
        Activation::LeakyRelu(slope) if z <= 0.0 => f64::from(slope) * z,
        Activation::Elu(alpha) if z <= 0.0 => f64::from(alpha) * z.exp_m1(),
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z * sigmoid(z),
        Activation::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
        Activation::Identity | Activation::LeakyRelu(_) | Activation::Elu(_) => z,
        Activation::Gelu => 0.5 * z * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2),
        other => panic!("{other:?} has no f64 form here"),
    }
}

/// The derivative by what the forward pass saves.
fn derivative(activation: Activation, saved: f64) -> f64 {
    match activation {
        Activation::Relu => f64::from(u8::from(saved > 0.0)),
        Activation::LeakyRelu(slope) if saved <= 0.0 => f64::from(slope),
        Activation::Elu(alpha) if saved <= 0.0 => saved + f64::from(alpha),
        Activation::Identity | Activation::LeakyRelu(_) | Activation::Elu(_) => 1.0,
        Activation::Sigmoid => saved * (1.0 - saved),
        Activation::Tanh => 1.0 - saved * saved,
        _ => saved,
    }
}

const KINDS: [Kind; 29] = [
    Kind::None,
    Kind::Bias,
    Kind::Activation(Activation::Identity),
    Kind::Activation(Activation::Relu),
    Kind::Activation(Activation::LeakyRelu(0.125)),
    Kind::Activation(Activation::Elu(0.75)),
    Kind::Activation(Activation::Sigmoid),
    Kind::Activation(Activation::Tanh),
    Kind::Activation(Activation::Gelu),
    Kind::Activation(Activation::Silu),
    Kind::Activation(Activation::Softplus),
    Kind::Derivative(Activation::Identity),
    Kind::Derivative(Activation::Relu),
    Kind::Derivative(Activation::LeakyRelu(0.125)),
    Kind::Derivative(Activation::Elu(0.75)),
    Kind::Derivative(Activation::Sigmoid),
    Kind::Derivative(Activation::Tanh),
    Kind::Derivative(Activation::Gelu),
    Kind::Derivative(Activation::Silu),
    Kind::Derivative(Activation::Softplus),
    Kind::InPlace(Activation::Identity),
    Kind::InPlace(Activation::Relu),
    Kind::InPlace(Activation::LeakyRelu(0.125)),
    Kind::InPlace(Activation::Elu(0.75)),
    Kind::InPlace(Activation::Sigmoid),
    Kind::InPlace(Activation::Tanh),
    Kind::InPlace(Activation::Gelu),
    Kind::InPlace(Activation::Silu),
    Kind::InPlace(Activation::Softplus),
];

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

/// Rows, columns or diagonals that repeat.
#[test]
fn factors_whose_elements_share_a_place() {
    let mut r = Random(16);
    let shared = [(0, 1), (1, 0), (1, 1), (0, 0), (512, 0)].map(|(i, j)| Layout::Strides(i, j));
    for (m, n, k) in [(1, 19, 33), (37, 1, 35), (3, 16, 8), (33, 34, 35), (60, 131, 600)] {
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
fn scalars_and_epilogues() {
    let mut r = Random(7);
    for kind in KINDS {
        for alpha in [0.0, 1.0, -0.5] {
            for beta in [0.0, 1.0, -0.5] {
                for (m, n, k) in [(5, 1, 40), (1, 33, 9), (13, 21, 17), (9, 70, 530), (4, 3, 0)] {
                    for layout in [Layout::Rows, Layout::Columns] {
                        let layouts = [Layout::Rows, Layout::Columns, layout];
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
    for (m, n, k) in [(1, 1, 3), (1, 40, 3), (9, 1, 20), (17, 70, 600), (5, 5, 0)] {
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
    for (m, n, k) in [(1, 1, 20), (1, 20, 20), (3, 5, 7), (20, 1, 33), (31, 67, 20), (65, 33, 9)] {
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
fn large_and_aliasing_shapes() {
    let mut r = Random(11);
    // Strides that are multiples of 1024 elements map rows to the same cache sets: B and a
    // transposed A are packed.
    for ((m, n, k, layouts), kind) in [
        // Ten vectors of sixteen in panels of four, three and three: the tiles of A change height
        // between panels, so that A is packed twice.
        (60, 160, 512, [Layout::ColumnsWithGap(1024 - 60), Layout::Rows, Layout::Rows]),
        (60, 193, 600, [Layout::RowsWithGap(1024 - 600), Layout::Rows, Layout::Rows]),
        (300, 140, 512, [Layout::Columns, Layout::RowsWithGap(1024 - 140), Layout::Rows]),
        (600, 200, 515, [Layout::ColumnsWithGap(1024 - 600), Layout::Columns, Layout::Rows]),
        (61, 1024, 1030, [Layout::ColumnsWithGap(1024 - 61), Layout::Rows, Layout::Rows]),
        (260, 131, 256, [Layout::RowsWithGap(768), Layout::RowsWithGap(1024 - 131), Layout::Rows]),
        (50, 129, 1600, [Layout::RowsWithGap(1024 * 2 - 1600), Layout::Columns, Layout::Columns]),
        (600, 200, 512, [Layout::Rows, Layout::Columns, Layout::Rows]),
        (300, 140, 512, [Layout::Columns, Layout::RowsWithGap(1024 - 140), Layout::Columns]),
    ]
    .into_iter()
    .zip([
        Kind::Activation(Activation::Relu),
        Kind::Derivative(Activation::Tanh),
        Kind::Activation(Activation::Gelu),
        Kind::Derivative(Activation::Relu),
        Kind::Bias,
        Kind::Activation(Activation::Elu(0.75)),
        Kind::None,
        Kind::InPlace(Activation::Relu),
        Kind::InPlace(Activation::Tanh),
    ]) {
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
    ] {
        for kind in KINDS {
            let layouts = [LAYOUTS[r.below(5)], LAYOUTS[r.below(5)], LAYOUTS[r.below(5)]];
            let mut case = Case::new(m, n, kind.limit(k), layouts, kind, r.next());
            case.beta = [0.0, 1.0, -0.5][r.below(3)];
            case.check_parts(&mut r);
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

#[test]
fn scratch_never_falls() {
    let sizes = [0, 1, 2, 15, 16, 17, 47, 48, 64, 65, 127, 128, 200, 253, 512, 513, 2048];
    for m in sizes {
        for n in sizes {
            for k in sizes {
                let len = scratch_len(m, n, k);
                assert!(row_major_scratch_len(m, n, k) <= len, "{m} {n} {k}");
                assert!(len <= scratch_len(m + 1, n, k), "{m} {n} {k}");
                assert!(len <= scratch_len(m, n + 1, k), "{m} {n} {k}");
                assert!(len <= scratch_len(m, n, k + 1), "{m} {n} {k}");
            }
        }
    }
    // The bounds that its documentation states.
    let largest = usize::MAX;
    for (m, bound) in [(47, 33_000), (264, 170_000), (largest, 1_200_000)] {
        assert!(scratch_len(m, largest, largest) <= bound, "{m}");
    }
}

/// All elements in one place.
fn view_of_ones(rows: usize, cols: usize) -> MatRef<'static> {
    MatRef::with_strides(&[1.0], rows, cols, 0, 0).unwrap()
}

#[test]
fn misfits_are_refused_and_nothing_is_written() {
    let data = [1.0_f32; 64];
    let view = |rows, cols| MatRef::new(&data[..rows * cols], rows, cols).unwrap();
    let good = (view(3, 4), view(4, 5));
    let (bias, short_bias) = (&data[..5], &data[..4]);
    let mut scratch = [0.0; scratch_len(3, 5, 4)];
    for level in Level::available() {
        let mut c = [CANARY; 15];
        let mut refused = |(lhs, rhs), epilogue, plan: Option<Plan>, scratch: &mut [f32]| {
            let out = MatMut::new(&mut c, 3, 5).unwrap();
            let result = match plan {
                None => gemm(level, 1.0, lhs, rhs, 0.0, out, epilogue, scratch),
                Some(plan) => gemm_part(level, plan, 1.0, lhs, rhs, 0.0, out, epilogue, scratch),
            };
            assert_eq!(c, [CANARY; 15]);
            result.unwrap_err()
        };
        let none = Epilogue::None;
        let error = refused((view(2, 4), good.1), none, None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "lhs", expected: (3, 4), found: (2, 4) });
        let error = refused((good.0, view(3, 5)), none, None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "rhs", expected: (4, 5), found: (3, 5) });
        let error = refused((good.0, view(4, 6)), none, None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "rhs", expected: (4, 5), found: (4, 6) });
        let error = refused(good, Epilogue::Bias(short_bias), None, &mut scratch);
        assert_eq!(error, Error::Length { what: "bias", expected: 5, found: 4 });
        let relu = Activation::Relu;
        let epilogue = Epilogue::BiasActivation(short_bias, relu);
        assert!(matches!(refused(good, epilogue, None, &mut scratch), Error::Length { .. }));
        let error = refused(good, Epilogue::Derivative(relu, view(5, 3)), None, &mut scratch);
        assert_eq!(error, Error::Shape { what: "saved", expected: (3, 5), found: (5, 3) });
        let leaky = Activation::LeakyRelu(-0.5);
        for epilogue in [
            Epilogue::BiasActivation(bias, leaky),
            Epilogue::Derivative(leaky, view(3, 5)),
            Epilogue::DerivativeInPlace(leaky),
        ] {
            let error = refused(good, epilogue, None, &mut scratch);
            assert!(matches!(error, Error::Parameter { .. }));
        }
        let in_columns = (good.0, view(5, 4).t());
        // A level of one number a register packs nothing and needs none.
        if let Some(short) = scratch.get_mut(1..) {
            let (expected, found) = (scratch_len(3, 5, 4), short.len());
            let error = refused(in_columns, Epilogue::Bias(bias), None, short);
            assert_eq!(error, Error::Length { what: "scratch", expected, found });
        }
        let long = (view_of_ones(3, IN_PLACE_K + 1), view_of_ones(IN_PLACE_K + 1, 5));
        let error = refused(long, Epilogue::DerivativeInPlace(relu), None, &mut scratch);
        assert!(matches!(error, Error::Length { expected: IN_PLACE_K, .. }));
        for (m, n, k) in [(2, 5, 4), (3, 4, 4), (3, 5, 5), (3, 5, 3)] {
            refused(good, none, Some(Plan::new(m, n, k)), &mut scratch);
        }
    }
}

#[test]
fn the_stride_of_a_single_row_or_column_does_not_matter() {
    let huge = usize::MAX;
    let data = [1.0, 2.0, 3.0];
    let row = MatRef::with_strides(&data, 1, 3, huge, 1).unwrap();
    let column = MatRef::with_strides(&data, 3, 1, 1, huge).unwrap();
    let one = MatRef::with_strides(&data[1..], 1, 1, huge, huge).unwrap();
    for level in Level::available() {
        let mut scratch = [0.0; scratch_len(3, 3, 3)];
        for (lhs, rhs, expected) in [
            (row, column, &[14.0][..]),
            (column, row, &[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 3.0, 6.0, 9.0]),
            (column, one, &[2.0, 4.0, 6.0]),
            (one, row, &[2.0, 4.0, 6.0]),
        ] {
            let (m, n) = (lhs.rows(), rhs.cols());
            let mut c = [0.0; 9];
            let row_stride = if m == 1 { huge } else { n };
            let out = MatMut::with_strides(&mut c, m, n, row_stride, if n == 1 { huge } else { 1 });
            gemm(level, 1.0, lhs, rhs, 0.0, out.unwrap(), Epilogue::None, &mut scratch).unwrap();
            assert_eq!(&c[..m * n], expected, "{level}");
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
