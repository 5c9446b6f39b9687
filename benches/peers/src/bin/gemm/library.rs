//! BLAS libraries, loaded at run time, each in a process of its own that is told by lines on its
//! standard input what to multiply how often, and answers with the seconds a call.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use libloading::Library;
use slimfit_peers::{end_with_this, resume, suspend};

use crate::product::{Operands, Product};

/// The process of a library.
pub struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// A process that has loaded the library at `path`, or nothing if it cannot.
    pub fn start(path: &str, threads: usize, environment: &[(&str, &str)]) -> Option<Self> {
        let threads = threads.to_string();
        let mut command = Command::new(std::env::current_exe().ok()?);
        command
            .args(["--worker", path, &threads])
            .envs(environment.iter().copied())
            .envs(
                ["OMP", "OPENBLAS", "BLIS", "MKL"]
                    .map(|of| (format!("{of}_NUM_THREADS"), &threads)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        end_with_this(&mut command);
        let mut child = command.spawn().ok()?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take()?);
        let mut worker = Self { child, orders, answers };
        worker.answer()?;
        suspend(&worker.child);
        Some(worker)
    }

    fn answer(&mut self) -> Option<f64> {
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }

    /// Seconds a call; NaN if the library does not do this product.
    pub fn turn(&mut self, product: &Product, calls: u32) -> f64 {
        let Product { m, n, k, lhs_transposed, rhs_transposed } = *product;
        let (lhs, rhs) = (u8::from(lhs_transposed), u8::from(rhs_transposed));
        resume(&self.child);
        let orders = self.orders.as_mut().expect("open until dropped");
        writeln!(orders, "{m} {n} {k} {lhs} {rhs} {calls}").expect("a worker that listens");
        let seconds = self.answer().expect("a worker that answers");
        suspend(&self.child);
        seconds
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends the worker, which must run to see it.
        resume(&self.child);
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

type Cblas = unsafe extern "C" fn(
    i32,
    i32,
    i32,
    i32,
    i32,
    i32,
    f32,
    *const f32,
    i32,
    *const f32,
    i32,
    f32,
    *mut f32,
    i32,
);
type Dnnl = unsafe extern "C" fn(
    i8,
    i8,
    i64,
    i64,
    i64,
    f32,
    *const f32,
    i64,
    *const f32,
    i64,
    f32,
    *mut f32,
    i64,
) -> i32;

/// Makes a kernel of libxsmm for one shape, or null; column-major.
type XsmmDispatch = unsafe extern "C" fn(
    i32,
    i32,
    i32,
    *const i32,
    *const i32,
    *const i32,
    *const f32,
    *const f32,
    *const i32,
    *const i32,
) -> Option<Xsmm>;
type Xsmm = unsafe extern "C" fn(*const f32, *const f32, *mut f32);

/// How a library multiplies row-major matrices.
#[derive(Clone, Copy)]
enum Sgemm {
    Cblas(Cblas),
    Dnnl(Dnnl),
    XsmmDispatch(XsmmDispatch),
    /// A kernel for one product.
    Xsmm(Xsmm),
}

impl Sgemm {
    fn load(library: &Library) -> Option<Self> {
        for name in ["cblas_sgemm", "scipy_cblas_sgemm"] {
            // SAFETY: a function of this name has the signature of the CBLAS interface with 32-bit
            // integers, which is what the libraries asked for are built with.
            if let Ok(function) = unsafe { library.get::<Cblas>(name) } {
                return Some(Self::Cblas(*function));
            }
        }
        // SAFETY: the signature of `dnnl_sgemm` in oneDNN's header.
        if let Ok(function) = unsafe { library.get::<Dnnl>("dnnl_sgemm") } {
            return Some(Self::Dnnl(*function));
        }
        // SAFETY: the signature in libxsmm's header.
        unsafe { library.get::<XsmmDispatch>("libxsmm_smmdispatch") }
            .ok()
            .map(|function| Self::XsmmDispatch(*function))
    }

    /// What multiplies `product`, made once as its users make it; nothing if the library lacks it.
    fn ready(self, product: &Product) -> Option<Self> {
        let Self::XsmmDispatch(dispatch) = self else { return Some(self) };
        let [m, n, k] = [product.m, product.n, product.k].map(|length| length as i32);
        let (lhs_leading, rhs_leading) = product.leading();
        let [lda, ldb] = [lhs_leading, rhs_leading].map(|length| length as i32);
        // TRANS_A is 1, TRANS_B 2. Row-major C = A B is column-major C^T = B^T A^T.
        let flags = i32::from(product.rhs_transposed) + 2 * i32::from(product.lhs_transposed);
        let prefetch = std::ptr::null();
        // SAFETY: all pointers are valid for the call.
        unsafe { dispatch(n, m, k, &ldb, &lda, &n, &1.0, &0.0, &flags, prefetch) }.map(Self::Xsmm)
    }

    fn multiply(self, it: &mut Operands) {
        let Product { m, n, k, lhs_transposed, rhs_transposed } = it.product;
        let (lhs_leading, rhs_leading) = it.product.leading();
        let (lhs, rhs) = (it.lhs.get().as_ptr(), it.rhs.get().as_ptr());
        let out = it.out.get_mut().as_mut_ptr();
        // SAFETY: the slices hold the matrices of these shapes and strides; C overlaps neither.
        unsafe {
            match self {
                Self::Cblas(sgemm) => {
                    let order = |transposed| if transposed { 112 } else { 111 };
                    let [m, n, k, lda, ldb] =
                        [m, n, k, lhs_leading, rhs_leading].map(|length| length as i32);
                    let (a, b) = (order(lhs_transposed), order(rhs_transposed));
                    sgemm(101, a, b, m, n, k, 1.0, lhs, lda, rhs, ldb, 0.0, out, n);
                }
                Self::Dnnl(sgemm) => {
                    let letter = |transposed| if transposed { b'T' as i8 } else { b'N' as i8 };
                    let [m, n, k, lda, ldb] =
                        [m, n, k, lhs_leading, rhs_leading].map(|length| length as i64);
                    let (a, b) = (letter(lhs_transposed), letter(rhs_transposed));
                    let status = sgemm(a, b, m, n, k, 1.0, lhs, lda, rhs, ldb, 0.0, out, n);
                    assert_eq!(status, 0, "oneDNN refuses");
                }
                Self::Xsmm(kernel) => kernel(rhs, lhs, out),
                Self::XsmmDispatch(_) => unreachable!("made ready before"),
            }
        }
    }
}

/// The process of a library: loads it, says so, then takes orders until its input ends.
pub fn work(args: &[String]) -> ExitCode {
    let [path, threads] = args else { return ExitCode::FAILURE };
    let Ok(threads) = threads.parse() else { return ExitCode::FAILURE };
    // SAFETY: a BLAS, named by the user, whose initialisers do nothing but set it up.
    let Ok(library) = (unsafe { Library::new(path) }) else { return ExitCode::FAILURE };
    let Some(sgemm) = Sgemm::load(&library) else { return ExitCode::FAILURE };
    println!("0");
    let mut operands: Option<Operands> = None;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [m, n, k, lhs, rhs, calls] = numbers[..] else { return ExitCode::FAILURE };
        let product = Product { m, n, k, lhs_transposed: lhs == 1, rhs_transposed: rhs == 1 };
        let Some(ready) = sgemm.ready(&product) else {
            println!("nan");
            continue;
        };
        let mut multiply = |it: &mut Operands| ready.multiply(it);
        if operands.as_ref().is_none_or(|operands| operands.product != product) {
            operands.insert(Operands::new(product, threads)).check(path, &mut multiply);
        }
        let Some(operands) = &mut operands else { return ExitCode::FAILURE };
        println!("{:e}", operands.time(calls as u32, &mut multiply));
    }
    ExitCode::SUCCESS
}
