//! A product split between threads has the bits of the whole, whatever the cut.

use slimfit::kernels::gemm::{self, Epilogue};
use slimfit::kernels::{MatMut, MatRef};
use slimfit::{Activation, Executor, KernelError, Level, Rayon, kernels, parallel};

fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i + seed) * 7919 % 1009) as f32 / 1009.0 - 0.5).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// A matrix stored by rows, or by columns if `transposed`.
fn view(data: &[f32], rows: usize, cols: usize, transposed: bool) -> MatRef<'_> {
    if transposed {
        MatRef::new(data, cols, rows).unwrap().t()
    } else {
        MatRef::new(data, rows, cols).unwrap()
    }
}

fn view_mut(data: &mut [f32], rows: usize, cols: usize, transposed: bool) -> MatMut<'_> {
    if transposed {
        MatMut::new(data, cols, rows).unwrap().t()
    } else {
        MatMut::new(data, rows, cols).unwrap()
    }
}

fn check(m: usize, n: usize, k: usize, transposed: [bool; 3], epilogue: Epilogue<'_>) {
    let (a, b, c) = (values(m * k, 1), values(k * n, 2), values(m * n, 3));
    let (lhs, rhs) = (view(&a, m, k, transposed[0]), view(&b, k, n, transposed[1]));
    for level in Level::available() {
        let (mut whole, mut split) = (c.clone(), c.clone());
        let mut scratch = vec![0.0; gemm::scratch_len(m, n, k)];
        let c = view_mut(&mut whole, m, n, transposed[2]);
        gemm::gemm(level, 0.5, lhs, rhs, -1.0, c, epilogue, &mut scratch).unwrap();
        for threads in [2, 3, 7] {
            split.copy_from_slice(&values(m * n, 3));
            let executor = Rayon { level, threads };
            let mut scratch = vec![0.0; parallel::scratch_len(m, n, k, threads)];
            let c = view_mut(&mut split, m, n, transposed[2]);
            parallel::gemm(&executor, 0.5, lhs, rhs, -1.0, c, epilogue, &mut scratch).unwrap();
            assert!(bits(&whole) == bits(&split), "{m} {n} {k} {transposed:?} {threads} {level}");
        }
    }
}

#[test]
fn the_cut_does_not_show() {
    // Cut by rows, and, as B is much larger than A, by columns.
    for (m, n, k) in [(257, 131, 500), (40, 701, 300)] {
        let (bias, saved) = (values(n, 5), values(m * n, 6));
        let saved = MatRef::new(&saved, m, n).unwrap();
        for case in 0..8 {
            let transposed = [case & 1 != 0, case & 2 != 0, case & 4 != 0];
            check(m, n, k, transposed, Epilogue::None);
            check(m, n, k, transposed, Epilogue::Bias(&bias));
            check(m, n, k, transposed, Epilogue::BiasActivation(&bias, Activation::Tanh));
            check(m, n, k, transposed, Epilogue::Derivative(Activation::Tanh, saved));
            check(m, n, k, transposed, Epilogue::DerivativeInPlace(Activation::Relu));
            check(m, n, k, transposed, Epilogue::DerivativeInPlace(Activation::Tanh));
        }
    }
}

/// What lies between the elements of C, another thread's or nobody's, is not touched.
#[test]
fn gaps_in_c_are_left_alone() {
    // By rows, and by columns.
    for (m, n, k) in [(257, 131, 300), (40, 701, 300)] {
        let (a, b) = (values(m * k, 1), values(k * n, 2));
        let (lhs, rhs) = (view(&a, m, k, false), view(&b, k, n, false));
        let executor = |threads| Rayon { level: Level::detect(), threads };
        for (row_stride, col_stride) in [(n + 3, 1), (2 * n + 1, 2), (1, m + 3), (2, 2 * m + 1)] {
            let len = (m - 1) * row_stride + (n - 1) * col_stride + 1;
            let mut expected = vec![7.0; len];
            let mut whole = vec![0.0; m * n];
            let mut scratch = vec![0.0; parallel::scratch_len(m, n, k, 7)];
            let mut run = |threads, c: MatMut<'_>| {
                let epilogue = Epilogue::BiasActivation(&b[..n], Activation::Tanh);
                parallel::gemm(&executor(threads), 1.0, lhs, rhs, 0.0, c, epilogue, &mut scratch)
                    .unwrap();
            };
            run(1, view_mut(&mut whole, m, n, false));
            for (i, row) in whole.chunks(n).enumerate() {
                for (j, x) in row.iter().enumerate() {
                    expected[i * row_stride + j * col_stride] = *x;
                }
            }
            for threads in [2, 3, 7] {
                let mut c = vec![7.0; len];
                run(threads, MatMut::with_strides(&mut c, m, n, row_stride, col_stride).unwrap());
                assert!(bits(&c) == bits(&expected), "{m} {row_stride} {col_stride} {threads}");
            }
        }
    }
}

#[test]
fn long_and_thin_products_are_cut_too() {
    for (m, n, k) in [(1, 9000, 1000), (3, 3000, 1000), (9000, 1, 1000), (2000, 10, 784)] {
        check(m, n, k, [false; 3], Epilogue::Bias(&values(n, 5)));
        check(m, n, k, [true, true, false], Epilogue::None);
    }
}

/// Two blocks of k, and B larger than C: a block a thread, whose sums meet in C.
#[test]
fn a_cut_of_k_does_not_show() {
    for (m, n, k) in [(64, 131, 700), (77, 160, 1024), (200, 96, 513), (16, 400, 1001)] {
        let (a, b, bias) = (values(m * k, 1), values(k * n, 2), values(n, 5));
        let rhs = view(&b, k, n, false);
        for transposed in [false, true] {
            let lhs = view(&a, m, k, transposed);
            for epilogue in [
                Epilogue::None,
                Epilogue::Bias(&bias),
                Epilogue::BiasActivation(&bias, Activation::Relu),
                Epilogue::BiasActivation(&bias, Activation::Tanh),
            ] {
                for level in Level::available() {
                    let mut outputs = [1, 2].map(|threads| {
                        let mut c = vec![f32::NAN; m * n];
                        let executor = Rayon { level, threads };
                        let mut scratch = vec![0.0; parallel::scratch_len(m, n, k, threads)];
                        let out = MatMut::new(&mut c, m, n).unwrap();
                        parallel::gemm(&executor, 1.0, lhs, rhs, 0.0, out, epilogue, &mut scratch)
                            .unwrap();
                        c
                    });
                    let [whole, split] = &mut outputs;
                    assert!(bits(whole) == bits(split), "{m} {n} {k} {epilogue:?} {level}");
                }
            }
        }
    }
}

/// Counts forks.
struct Counting(std::sync::atomic::AtomicUsize);

impl Executor for Counting {
    fn level(&self) -> Level {
        Level::detect()
    }
    fn threads(&self) -> usize {
        4
    }
    fn join<A: Send, B: Send>(
        &self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (a(), b())
    }
}

fn forks(m: usize, n: usize, k: usize, scratch_threads: usize) -> usize {
    let (a, b, mut c) = (values(m * k, 1), values(k * n, 2), vec![0.0; m * n]);
    let executor = Counting(0.into());
    let (lhs, rhs) = (view(&a, m, k, false), view(&b, k, n, false));
    let c = MatMut::new(&mut c, m, n).unwrap();
    let mut scratch = vec![0.0; gemm::scratch_len(m, n, k) * scratch_threads];
    parallel::gemm(&executor, 1.0, lhs, rhs, 0.0, c, Epilogue::None, &mut scratch).unwrap();
    executor.0.into_inner()
}

#[test]
fn forks_pay_and_fit_the_scratch() {
    assert_eq!(forks(32, 32, 32, 4), 0, "small");
    assert_eq!(forks(256, 256, 256, 4), 3, "large");
    assert_eq!(forks(1, 9000, 1000, 4), 3, "one row");
    assert_eq!(forks(256, 256, 256, 2), 1, "scratch for two");
    assert_eq!(forks(256, 256, 256, 1), 0, "scratch for one");
}

#[test]
fn misfits_are_refused_and_nothing_is_written() {
    let (m, n, k) = (300, 200, 300);
    let (a, b, mut c) = (values(m * k + k, 1), values(k * n, 2), vec![7.0; m * n]);
    let executor = Counting(0.into());
    let mut scratch = vec![0.0; parallel::scratch_len(m, n, k, 4)];
    let rhs = view(&b, k, n, false);
    let mut run = |lhs, epilogue, scratch: &mut [f32]| -> Result<(), KernelError> {
        let c = MatMut::new(&mut c, m, n)?;
        parallel::gemm(&executor, 1.0, lhs, rhs, 0.0, c, epilogue, scratch)
    };
    let lhs = view(&a[..m * k], m, k, false);
    let saved = values(m * n + n, 4);
    assert!(run(view(&a, m + 1, k, false), Epilogue::None, &mut scratch).is_err());
    assert!(run(lhs, Epilogue::Bias(&saved[..=n]), &mut scratch).is_err());
    assert!(run(lhs, Epilogue::Bias(&saved[..n - 1]), &mut scratch).is_err());
    let saved = view(&saved, m + 1, n, false);
    assert!(run(lhs, Epilogue::Derivative(Activation::Tanh, saved), &mut scratch).is_err());
    assert!(
        run(lhs, Epilogue::Derivative(Activation::LeakyRelu(f32::NAN), saved), &mut scratch)
            .is_err()
    );
    assert!(run(lhs, Epilogue::None, &mut []).is_err());
    assert!(c.iter().all(|&x| x == 7.0));
}

#[test]
fn the_cut_of_column_sums_does_not_show() {
    let (rows, cols) = (1000, 1037);
    let x = values(rows * cols, 7);
    let x = MatRef::new(&x, rows, cols).unwrap();
    for level in Level::available() {
        let mut whole = vec![f32::NAN; cols];
        kernels::reduce::column_sums(level, x, &mut whole).unwrap();
        for threads in [2, 3, 7] {
            let mut split = vec![f32::NAN; cols];
            parallel::column_sums(&Rayon { level, threads }, x, &mut split).unwrap();
            assert!(bits(&whole) == bits(&split), "{threads} {level}");
        }
    }
    let mut short = vec![0.0; cols - 1];
    let executor = Rayon { level: Level::PORTABLE, threads: 2 };
    let refused = parallel::column_sums(&executor, x, &mut short);
    assert!(matches!(refused, Err(KernelError::Length { .. })), "{refused:?}");
}
