//! Products with all their operands, and what they are in f64.
#![allow(dead_code, reason = "no test file uses all of it")]

use slimfit_kernels::activation::Activation;
use slimfit_kernels::gemm::{
    Epilogue, IN_PLACE_K, Plan, gemm, gemm_part, row_major_scratch_len, scratch_len,
};
use slimfit_kernels::{Level, MatMut, MatRef};

/// What stands around C and in the gaps of its strides.
pub(crate) const CANARY: f32 = -7.654_321e7;

/// Uniform values in [-1, 1) from a counter (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn value(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// How a matrix lies in its slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Layout {
    Rows,
    RowsWithGap(usize),
    Columns,
    ColumnsWithGap(usize),
    /// Neither index contiguous.
    Sparse,
    /// Any strides; elements may share a place.
    Strides(usize, usize),
}

pub(crate) const LAYOUTS: [Layout; 5] = [
    Layout::Rows,
    Layout::RowsWithGap(3),
    Layout::Columns,
    Layout::ColumnsWithGap(5),
    Layout::Sparse,
];

/// How the matrix that a backward pass reads may lie.
pub(crate) const SAVED: [Layout; 6] = [
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
pub(crate) struct Matrix {
    pub(crate) data: Vec<f32>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) strides: (usize, usize),
    pub(crate) offset: usize,
}

impl Matrix {
    pub(crate) fn new(rows: usize, cols: usize, layout: Layout, offset: usize) -> Self {
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
    pub(crate) fn random(
        rows: usize,
        cols: usize,
        layout: Layout,
        offset: usize,
        r: &mut Random,
    ) -> Self {
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
    pub(crate) fn tight(mut self) -> Self {
        let none = self.rows == 0 || self.cols == 0;
        let end = if none { self.offset } else { self.index(self.rows - 1, self.cols - 1) + 1 };
        self.data = self.data[..end].to_vec();
        self
    }
    pub(crate) fn index(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.strides.0 + j * self.strides.1
    }
    pub(crate) fn at(&mut self, i: usize, j: usize) -> &mut f32 {
        let index = self.index(i, j);
        &mut self.data[index]
    }
    pub(crate) fn get(&self, i: usize, j: usize) -> f32 {
        self.data[self.index(i, j)]
    }
    pub(crate) fn view(&self) -> MatRef<'_> {
        let (row, col) = self.strides;
        // A part without rows or columns may begin after the end.
        let data = self.data.get(self.offset..).unwrap_or_default();
        MatRef::with_strides(data, self.rows, self.cols, row, col).unwrap()
    }
    pub(crate) fn view_mut(&mut self) -> MatMut<'_> {
        let (row, col) = self.strides;
        let data = &mut self.data[self.offset..];
        MatMut::with_strides(data, self.rows, self.cols, row, col).unwrap()
    }
    /// All values that are no element of the matrix are still canaries.
    pub(crate) fn check_canaries(&self) {
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
pub(crate) fn bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

pub(crate) fn assert_same_bits(a: &Matrix, b: &Matrix, what: &str) {
    for i in 0..a.rows {
        for j in 0..a.cols {
            let (x, y) = (a.get(i, j), b.get(i, j));
            assert_eq!(bits(x), bits(y), "{what}: ({i}, {j}): {x:e} and {y:e}");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    None,
    Bias,
    Activation(Activation),
    Derivative(Activation),
    /// With C before as the saved matrix.
    InPlace(Activation),
}

impl Kind {
    /// `k`, or the largest that goes in place.
    pub(crate) fn limit(self, k: usize) -> usize {
        if matches!(self, Self::InPlace(_)) { k.min(IN_PLACE_K) } else { k }
    }
}

/// Lends as little scratch as will do, with NaNs that must not be read, and looks whether more was
/// written.
fn with_scratch((m, n, k): (usize, usize, usize), rhs: MatRef<'_>, run: impl FnOnce(&mut [f32])) {
    let row_major = rhs.col_stride() == 1;
    let len = if row_major { row_major_scratch_len(m, n, k) } else { scratch_len(m, n, k) };
    let mut scratch = vec![f32::NAN; len + 64];
    run(&mut scratch[..len]);
    assert!(
        scratch[len..].iter().all(|x| x.to_bits() == f32::NAN.to_bits()),
        "{m} {n} {k}: scratch"
    );
}

/// A product with all its operands.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
    pub(crate) lhs: Matrix,
    pub(crate) rhs: Matrix,
    pub(crate) c: Matrix,
    pub(crate) kind: Kind,
    pub(crate) bias: Vec<f32>,
    pub(crate) saved: Matrix,
}

impl Case {
    pub(crate) fn new(
        m: usize,
        n: usize,
        k: usize,
        layouts: [Layout; 3],
        kind: Kind,
        seed: u64,
    ) -> Self {
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
    pub(crate) fn shape(&self) -> (usize, usize, usize) {
        (self.c.rows, self.c.cols, self.lhs.cols)
    }
    pub(crate) fn epilogue(&self) -> Epilogue<'_> {
        match self.kind {
            Kind::None => Epilogue::None,
            Kind::Bias => Epilogue::Bias(&self.bias),
            Kind::Activation(activation) => Epilogue::BiasActivation(&self.bias, activation),
            Kind::Derivative(activation) => Epilogue::Derivative(activation, self.saved.view()),
            Kind::InPlace(activation) => Epilogue::DerivativeInPlace(activation),
        }
    }
    pub(crate) fn run(&self, level: Level) -> Matrix {
        let (m, n, k) = self.shape();
        let mut c = self.c.clone();
        let (lhs, rhs) = (self.lhs.view(), self.rhs.view());
        let epilogue = self.epilogue();
        with_scratch((m, n, k), rhs, |scratch| {
            gemm(level, self.alpha, lhs, rhs, self.beta, c.view_mut(), epilogue, scratch).unwrap();
        });
        c.check_canaries();
        c
    }

    /// Element (i, j) in f64, and how far off an f32 result may be.
    pub(crate) fn exact(&self, i: usize, j: usize) -> (f64, f64) {
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

    pub(crate) fn check(&self, c: &Matrix, what: &str) {
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
    pub(crate) fn check_levels(&self) -> Matrix {
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
    pub(crate) fn run_in_parts(&self, level: Level, rows: [usize; 2], cols: [usize; 2]) -> Matrix {
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
                let (alpha, beta, c) = (self.alpha, self.beta, part.view_mut());
                with_scratch((height, width, k), rhs, |scratch| {
                    gemm_part(level, plan, alpha, lhs, rhs, beta, c, epilogue, scratch).unwrap();
                });
                parts.data = part.data;
            }
        }
        parts.check_canaries();
        parts
    }

    /// Parts have the bits of the whole, at every level.
    pub(crate) fn check_parts(&self, r: &mut Random) {
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

pub(crate) const KINDS: [Kind; 29] = [
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
