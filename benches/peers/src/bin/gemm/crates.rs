//! slimfit and its peers in Rust.

use std::num::NonZero;
use std::rc::Rc;

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use slimfit::kernels::gemm::{Epilogue, EpilogueKind, Prepared};
use slimfit::kernels::{Layout, MatMut, MatRef};
use slimfit::{Level, Rayon};

use crate::product::{Operands, Product};

/// C <- A B.
pub type Multiply = Box<dyn FnMut(&mut Operands)>;
/// Makes what multiplies one product, as its users make it once.
pub type Make = Box<dyn Fn(&Product) -> Multiply>;

/// Row and column strides of A and B.
fn strides(product: &Product) -> [isize; 4] {
    let (lhs, rhs) = product.leading();
    let (lhs, rhs) = (lhs as isize, rhs as isize);
    let [lhs_row, lhs_col] = if product.lhs_transposed { [1, lhs] } else { [lhs, 1] };
    let [rhs_row, rhs_col] = if product.rhs_transposed { [1, rhs] } else { [rhs, 1] };
    [lhs_row, lhs_col, rhs_row, rhs_col]
}

/// The levels of slimfit that are measured, widest first.
pub fn levels() -> impl Iterator<Item = Level> {
    [Level::avx512(), Level::avx2_fma()].into_iter().flatten()
}

/// slimfit at its levels first, then the others.
pub fn all(threads: usize) -> Vec<(String, Make)> {
    /// For whom all products are the same.
    fn any(multiply: impl Fn(&mut Operands) + Clone + 'static) -> Make {
        Box::new(move |_| Box::new(multiply.clone()))
    }
    let mut all: Vec<(String, Make)> = Vec::new();
    if threads == 1 {
        for level in levels() {
            all.push((format!("slimfit {level}"), Box::new(move |it| prepared(level, it))));
        }
    }
    for level in levels() {
        let called = if threads == 1 { "gemm() " } else { "" };
        let name = format!("slimfit {called}{level}");
        all.push((name, any(move |it| slimfit(it, level, threads))));
    }
    all.push(("faer".into(), any(move |it| faer(it, threads))));
    all.push(("gemm".into(), any(move |it| gemm(it, threads))));
    if threads == 1 {
        all.push(("matrixmultiply".into(), any(matrixmultiply)));
    }
    let executor = Rc::new(GemmExecutor::new());
    all.push(("rten-gemm".into(), any(move |it| rten(it, &executor))));
    all
}

/// Multiplies by a [`Prepared`].
fn prepared(level: Level, product: &Product) -> Multiply {
    let Product { m, n, k, lhs_transposed, rhs_transposed } = *product;
    let layout = |rows, cols, transposed: bool| {
        if transposed { Layout::row_major(cols, rows).t() } else { Layout::row_major(rows, cols) }
    };
    let (lhs, rhs) = (layout(m, k, lhs_transposed), layout(k, n, rhs_transposed));
    let c = Layout::row_major(m, n);
    let prepared =
        Prepared::new(level, 1.0, lhs, rhs, 0.0, c, EpilogueKind::None).expect("layouts that fit");
    Box::new(move |it| {
        let (out, scratch) = (it.out.get_mut(), it.scratch.get_mut());
        prepared.run(it.lhs.get(), it.rhs.get(), out, &[], scratch).expect("slices that fit");
    })
}

fn slimfit(it: &mut Operands, level: Level, threads: usize) {
    fn view(data: &[f32], rows: usize, cols: usize, transposed: bool) -> MatRef<'_> {
        let view = if transposed {
            MatRef::new(data, cols, rows).map(MatRef::t)
        } else {
            MatRef::new(data, rows, cols)
        };
        view.expect("data of this shape")
    }
    let Product { m, n, k, lhs_transposed, rhs_transposed } = it.product;
    let lhs = view(it.lhs.get(), m, k, lhs_transposed);
    let rhs = view(it.rhs.get(), k, n, rhs_transposed);
    let c = MatMut::new(it.out.get_mut(), m, n).expect("C of this shape");
    let scratch = it.scratch.get_mut();
    let result = if threads == 1 {
        slimfit::kernels::gemm::gemm(level, 1.0, lhs, rhs, 0.0, c, Epilogue::None, scratch)
    } else {
        let executor = Rayon { level, threads };
        slimfit::parallel::gemm(&executor, 1.0, lhs, rhs, 0.0, c, Epilogue::None, scratch)
    };
    result.expect("shapes that fit");
}

fn faer(it: &mut Operands, threads: usize) {
    let Product { m, n, k, .. } = it.product;
    let [lhs_row, lhs_col, rhs_row, rhs_col] = strides(&it.product);
    // SAFETY: the slices hold the matrices of these shapes and strides; C overlaps neither.
    unsafe {
        let lhs = faer::MatRef::from_raw_parts(it.lhs.get().as_ptr(), m, k, lhs_row, lhs_col);
        let rhs = faer::MatRef::from_raw_parts(it.rhs.get().as_ptr(), k, n, rhs_row, rhs_col);
        let out = it.out.get_mut().as_mut_ptr();
        let c = faer::MatMut::from_raw_parts_mut(out, m, n, n as isize, 1);
        let par = match NonZero::new(threads) {
            Some(threads) if threads.get() > 1 => faer::Par::Rayon(threads),
            _ => faer::Par::Seq,
        };
        faer::linalg::matmul::matmul(c, faer::Accum::Replace, lhs, rhs, 1.0_f32, par);
    }
}

fn gemm(it: &mut Operands, threads: usize) {
    let Product { m, n, k, .. } = it.product;
    let [lhs_row, lhs_col, rhs_row, rhs_col] = strides(&it.product);
    let parallelism =
        if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
    // SAFETY: the slices hold the matrices of these shapes and strides; C overlaps neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            it.out.get_mut().as_mut_ptr(),
            1,
            n as isize,
            false,
            it.lhs.get().as_ptr(),
            lhs_col,
            lhs_row,
            it.rhs.get().as_ptr(),
            rhs_col,
            rhs_row,
            0.0_f32,
            1.0_f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn matrixmultiply(it: &mut Operands) {
    let Product { m, n, k, .. } = it.product;
    let [lhs_row, lhs_col, rhs_row, rhs_col] = strides(&it.product);
    let (lhs, rhs) = (it.lhs.get().as_ptr(), it.rhs.get().as_ptr());
    let out = it.out.get_mut().as_mut_ptr();
    // SAFETY: the slices hold the matrices of these shapes and strides; C overlaps neither.
    unsafe {
        matrixmultiply::sgemm(
            m, k, n, 1.0, lhs, lhs_row, lhs_col, rhs, rhs_row, rhs_col, 0.0, out, n as isize, 1,
        );
    }
}

fn rten(it: &mut Operands, executor: &GemmExecutor) {
    let Product { m, n, k, lhs_transposed, rhs_transposed } = it.product;
    let view = |data, rows, cols, transposed: bool| {
        if transposed {
            NdTensorView::from_data([cols, rows], data).transposed()
        } else {
            NdTensorView::from_data([rows, cols], data)
        }
    };
    let lhs = GemmInputA::Unpacked(view(it.lhs.get(), m, k, lhs_transposed));
    let rhs = GemmInputB::Unpacked(view(it.rhs.get(), k, n, rhs_transposed));
    let out = it.out.get_mut();
    executor.gemm(out, lhs, rhs, GemmOptions::default()).expect("shapes that fit");
}
