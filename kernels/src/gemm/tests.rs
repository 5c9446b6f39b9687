//! What is chosen by the maker and the caches of a processor, for processors that this one is not. One test, as it
//! pretends for the whole program.

use core::sync::atomic::Ordering;
use std::vec;
use std::vec::Vec;

use super::microkernel::LINE;
use super::{Activation, Epilogue, EpilogueKind, IN_PLACE_K, Prepared, gemm, scratch_len, sweep};
use crate::dispatch::with_intel_caches;
use crate::simd::{Portable, Simd};
use crate::{Layout, Level, MatMut, MatRef};

/// Rows by columns, and from one row to the next, or, if `turned`, from one column to the next.
#[derive(Clone, Copy)]
struct Lies(usize, bool);

fn layout(rows: usize, cols: usize, Lies(apart, turned): Lies) -> Layout {
    if turned {
        Layout::strided(rows, cols, 1, apart)
    } else {
        Layout::strided(rows, cols, apart, 1)
    }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5).collect()
}

/// The numbers of B, which begin so many elements behind the beginning of a line.
struct Rhs {
    numbers: Vec<f32>,
    start: usize,
}

impl Rhs {
    fn new(len: usize, behind: usize) -> Self {
        let mut numbers = numbers(len + LINE + behind);
        let start = numbers.as_ptr().align_offset(LINE * size_of::<f32>()) + behind;
        numbers.rotate_right(start);
        Self { numbers, start }
    }

    fn get(&self) -> &[f32] {
        &self.numbers[self.start..]
    }
}

const fn along(apart: usize) -> Lies {
    Lies(apart, false)
}

const fn across(apart: usize) -> Lies {
    Lies(apart, true)
}

/// m, n, k, and how A and B lie.
type Shape = (usize, usize, usize, Lies, Lies);

const SHAPES: &[Shape] = &[
    // Rows of A that alias, of B that do, both, and in several blocks of rows, columns and k.
    (128, 256, 1024, along(1024), along(256)),
    (60, 193, 600, along(1024), along(193)),
    (51, 80, 300, along(1024), along(1024)),
    (140, 1100, 530, along(2048), along(2048)),
    // B below a megabyte, between that and two, and beyond: whole lines, and torn ones.
    (130, 200, 512, along(512), along(208)),
    (130, 450, 784, along(784), along(464)),
    (130, 1040, 520, along(520), along(1040)),
    (130, 1060, 520, along(520), along(1060)),
    // The same for so many rows that panels are not packed ahead, and for as few as are packed at all.
    (641, 1040, 520, along(520), along(1040)),
    (24, 512, 784, along(784), along(512)),
    // Transposed ones.
    (300, 140, 512, across(300), along(140)),
    (260, 130, 256, across(1024), along(144)),
    (128, 200, 256, along(256), across(256)),
    // Small ones, of equal tiles and of two heights, and with columns left over.
    (64, 64, 64, along(64), along(64)),
    (32, 64, 64, along(64), along(64)),
    (32, 52, 64, along(64), along(52)),
    // One row: whole registers and halves, a B near and from afar.
    (1, 16, 30, along(30), along(16)),
    (1, 32, 30, along(30), along(32)),
    (1, 24, 30, along(30), along(24)),
    (1, 300, 400, along(400), along(300)),
    (1, 1024, 400, along(400), along(1024)),
    (1, 1300, 530, along(530), along(1300)),
];

/// Those whose tiles sweep across all panels, where the second cache is large.
const SWEPT: &[Shape] = &[
    // B half a page apart, whole registers and not.
    (130, 512, 300, along(300), along(512)),
    (75, 500, 300, along(300), along(512)),
    // Several blocks of columns.
    (60, 1100, 128, along(128), along(1104)),
    // A that aliases, with tiles as high as its rows find room, and an A that is packed.
    (60, 450, 520, along(1024), along(512)),
    (300, 64, 512, along(1024), along(64)),
    (140, 300, 500, across(140), along(304)),
    // Packed panels.
    (300, 200, 512, along(512), along(1024)),
    (300, 250, 512, along(512), across(512)),
];

/// Those whose tiles do so at every level as their k is short, whatever the caches: B packed or not, columns left over, a
/// last panel of one register and several blocks of columns.
const SHORT_SWEPT: &[Shape] = &[
    (300, 270, 10, along(10), across(10)),
    (300, 256, 10, along(16), across(10)),
    (300, 1030, 48, along(48), across(48)),
    (300, 700, 16, along(16), along(700)),
    (300, 1000, 16, along(16), along(1008)),
    (280, 281, 50, along(50), along(284)),
    (280, 2200, 64, across(280), across(64)),
    // Half a register left over.
    (280, 258, 50, along(50), along(258)),
    (280, 263, 50, along(50), across(50)),
    // One block of rows, but a large C.
    (250, 2100, 10, along(10), along(2112)),
];

/// The bits are those of AVX2 on a processor that does not tell, whatever the processor is like: those of [`gemm()`] and
/// of a [`Prepared`] product.
#[test]
fn caches_do_not_show_in_the_bits() {
    let Some(narrow) = Level::avx2_fma() else {
        return;
    };
    for level in [Some(narrow), Level::avx512()].into_iter().flatten() {
        for shape in SHAPES {
            check(level, narrow, *shape, 0, |_| false);
            check(level, narrow, *shape, 4, |_| false);
        }
        for shape in SWEPT {
            let sweeps = |caches| level != narrow && caches == Some((12, 2048));
            check(level, narrow, *shape, 0, sweeps);
            check(level, narrow, *shape, 4, |_| false);
        }
        for shape in SHORT_SWEPT {
            check(level, narrow, *shape, 0, |_| true);
            check(level, narrow, *shape, 4, |_| true);
        }
    }
    // Unfused: not the bits of the others, but tiles sweep, and caches are not asked for. (One number a register has loops
    // of its own.)
    for shape in SHORT_SWEPT {
        check(Level::PORTABLE, Level::PORTABLE, *shape, 0, |_| Portable::LANES > 1);
    }
}

/// B begins so many elements `behind` the beginning of a line; `sweeps` says with which caches tiles must do so.
fn check(
    level: Level,
    narrow: Level,
    (m, n, k, lhs, rhs): Shape,
    behind: usize,
    sweeps: impl Fn(Option<(u32, u32)>) -> bool,
) {
    let (lhs, rhs) = (layout(m, k, lhs), layout(k, n, rhs));
    let (a, b) = (numbers(lhs.span().unwrap()), Rhs::new(rhs.span().unwrap(), behind));
    let view = |data, of: Layout| {
        MatRef::with_strides(data, of.rows(), of.cols(), of.row_stride(), of.col_stride())
    };
    let (a, b) = (view(&a, lhs).unwrap(), view(b.get(), rhs).unwrap());
    let (bias, saved) = (numbers(n), numbers(m * n));
    let saved = MatRef::new(&saved, m, n).unwrap();
    let product = |level, epilogue| {
        let (mut c, mut scratch) = (numbers(m * n), vec![f32::NAN; scratch_len(m, n, k)]);
        let out = MatMut::new(&mut c, m, n).unwrap();
        let (alpha, beta) = match epilogue {
            Epilogue::BiasActivation(_, Activation::Elu(_)) | Epilogue::Derivative(..) => {
                (0.5, -0.5)
            }
            _ => (1.0, 0.0),
        };
        gemm(level, alpha, a, b, beta, out, epilogue, &mut scratch).unwrap();
        c
    };
    let mut epilogues = vec![
        Epilogue::None,
        Epilogue::BiasActivation(&bias, Activation::Relu),
        Epilogue::BiasActivation(&bias, Activation::Elu(0.75)),
        Epilogue::Derivative(Activation::Silu, saved),
    ];
    if k <= IN_PLACE_K {
        epilogues.push(Epilogue::DerivativeInPlace(Activation::Relu));
    }
    let mut expected = Vec::new();
    with_intel_caches(None, || {
        expected = epilogues.iter().map(|epilogue| product(narrow, *epilogue)).collect();
    });
    for caches in [None, Some((8, 1024)), Some((12, 1280)), Some((12, 2048))] {
        with_intel_caches(caches, || {
            for (expected, epilogue) in expected.iter().zip(&epilogues) {
                let before = sweep::COUNT.load(Ordering::Relaxed);
                let found = product(level, *epilogue);
                assert!(*expected == found, "{m} {n} {k} {caches:?} {:?}", epilogue.kind());
                let swept = sweep::COUNT.load(Ordering::Relaxed) > before;
                assert!(swept || !sweeps(caches), "{m} {n} {k} {caches:?}: no sweep");
            }
            let c = Layout::row_major(m, n);
            let kind = EpilogueKind::None;
            let prepared = Prepared::new(level, 1.0, lhs, rhs, 0.0, c, kind).unwrap();
            let mut c = vec![f32::NAN; m * n];
            let mut scratch = vec![f32::NAN; prepared.scratch_len()];
            prepared.run(a.data(), b.data(), &mut c, &[], &mut scratch).unwrap();
            assert!(expected[0] == c, "{m} {n} {k} {caches:?}, prepared");
        });
    }
}
