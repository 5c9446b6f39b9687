//! The shapes, and the matrices to multiply.

use std::fmt;
use std::hint::black_box;

/// C (m x n) = A (m x k) B (k x n), row-major, A or B stored transposed.
#[derive(Clone, Copy, PartialEq)]
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub lhs_transposed: bool,
    pub rhs_transposed: bool,
}

impl Product {
    fn new(m: usize, n: usize, k: usize) -> Self {
        Self { m, n, k, lhs_transposed: false, rhs_transposed: false }
    }

    /// Squares, and what training 30-32-16-1, 784-512-256-10 and 784-2048-2048-10 multiplies:
    /// forward, gradient of the weights (A transposed), gradient of the input (B transposed).
    pub fn table(threads: usize) -> Vec<Self> {
        let square = |n| Self::new(n, n, n);
        if threads > 1 {
            return [32, 256, 512, 1024, 2048].map(square).to_vec();
        }
        let mut table: Vec<_> =
            [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048].into_iter().map(square).collect();
        for (widths, batch) in [
            (&[30, 32, 16, 1][..], 32),
            (&[784, 512, 256, 10], 128),
            (&[784, 2048, 2048, 10], 1024),
        ] {
            for (layer, pair) in widths.windows(2).enumerate() {
                let &[inputs, outputs] = pair else { unreachable!("windows of two") };
                table.push(Self::new(batch, outputs, inputs));
                table.push(Self { lhs_transposed: true, ..Self::new(inputs, outputs, batch) });
                if layer > 0 {
                    table.push(Self { rhs_transposed: true, ..Self::new(batch, inputs, outputs) });
                }
            }
        }
        table.extend([Self::new(1, 32, 30), Self::new(1, 512, 784)]);
        table
    }

    /// Those of the table that `text` is a part of, or, if there is none, the one that it names in the same
    /// way.
    pub fn wanted(text: &str, threads: usize) -> Vec<Self> {
        let mut found = Self::table(threads);
        found.retain(|product| product.to_string().contains(text));
        if found.is_empty() { Self::named(text).into_iter().collect() } else { found }
    }

    fn named(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut size = || words.next()?.parse().ok().filter(|size| *size > 0);
        let mut product = Self::new(size()?, size()?, size()?);
        for word in words {
            match word {
                "At" => product.lhs_transposed = true,
                "Bt" => product.rhs_transposed = true,
                _ => return None,
            }
        }
        Some(product)
    }

    /// Multiplications and additions.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// Elements from one row of A as it is stored to the next; the same for B.
    pub fn leading(&self) -> (usize, usize) {
        let lhs = if self.lhs_transposed { self.m } else { self.k };
        let rhs = if self.rhs_transposed { self.k } else { self.n };
        (lhs, rhs)
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.m, self.n, self.k)?;
        f.write_str(if self.lhs_transposed { " At" } else { "" })?;
        f.write_str(if self.rhs_transposed { " Bt" } else { "" })
    }
}

/// f32 that start at a given line of a page. Where matrices lie decides up to a third of the time of a small product:
/// what is read soon after a store waits for it if the last twelve bits of the addresses are the same. So they lie
/// alike for everybody, in whatever process, and not at the same place of their pages.
pub struct Aligned {
    lines: Vec<Line>,
    start: usize,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Lines of a page, and a third of them.
const PAGE: usize = 64;
const THIRD: usize = PAGE / 3;

impl Aligned {
    fn new(len: usize, line: usize, value: impl Fn(usize) -> f32) -> Self {
        let lines = vec![Line([0.0; 16]); len.div_ceil(16) + PAGE];
        let first = lines.as_ptr().addr() / size_of::<Line>();
        let mut new = Self { lines, start: line.wrapping_sub(first) % PAGE, len };
        for (i, x) in new.get_mut().iter_mut().enumerate() {
            *x = value(i);
        }
        new
    }

    pub fn get(&self) -> &[f32] {
        // SAFETY: the lines are arrays of f32 without gaps, from `start` on `len` of them at least.
        unsafe { std::slice::from_raw_parts(self.lines[self.start..].as_ptr().cast(), self.len) }
    }

    pub fn get_mut(&mut self) -> &mut [f32] {
        let lines = &mut self.lines[self.start..];
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), self.len) }
    }
}

/// A clock: of the thread, where there is one, so that other users of the machine do not count; of
/// the world for several.
pub fn seconds(threads: usize) -> f64 {
    let clock = if threads == 1 { libc::CLOCK_THREAD_CPUTIME_ID } else { libc::CLOCK_MONOTONIC };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to the struct it is given.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// The matrices of a product.
pub struct Operands {
    pub product: Product,
    pub lhs: Aligned,
    pub rhs: Aligned,
    pub out: Aligned,
    pub scratch: Aligned,
    threads: usize,
}

impl Operands {
    /// For contestants of so many threads.
    pub fn new(product: Product, threads: usize) -> Self {
        let Product { m, n, k, .. } = product;
        let value = |i: usize| (i * 7919 % 1009) as f32 / 1009.0 - 0.5;
        let scratch = slimfit::parallel::scratch_len(m, n, k, threads);
        Self {
            product,
            lhs: Aligned::new(m * k, 0, value),
            rhs: Aligned::new(k * n, THIRD, value),
            out: Aligned::new(m * n, 2 * THIRD, |_| f32::NAN),
            scratch: Aligned::new(scratch, 0, |_| 0.0),
            threads,
        }
    }

    /// Seconds a call, over `calls` calls after as many that warm the caches: who follows upon another
    /// process finds them cold, and a single call did not make up for it.
    pub fn time(&mut self, calls: u32, multiply: &mut dyn FnMut(&mut Self)) -> f64 {
        for _ in 0..calls {
            multiply(black_box(self));
        }
        let start = seconds(self.threads);
        for _ in 0..calls {
            multiply(black_box(self));
        }
        (seconds(self.threads) - start) / f64::from(calls)
    }

    /// Panics if the product is not what a plain loop in f64 makes of some of its elements.
    pub fn check(&mut self, name: &str, multiply: &mut dyn FnMut(&mut Self)) {
        self.out.get_mut().fill(f32::NAN);
        multiply(self);
        let Product { m, n, k, lhs_transposed, rhs_transposed } = self.product;
        let (lhs, rhs) = (self.lhs.get(), self.rhs.get());
        let step = (m * n / 500).max(1);
        for at in (0..m * n).step_by(step) {
            let (i, j) = (at / n, at % n);
            let terms = (0..k).map(|p| {
                let a = lhs[if lhs_transposed { p * m + i } else { i * k + p }];
                let b = rhs[if rhs_transposed { j * k + p } else { p * n + j }];
                f64::from(a) * f64::from(b)
            });
            let exact: f64 = terms.sum();
            let found = f64::from(self.out.get()[at]);
            let bound = 1e-6 * k as f64;
            assert!(
                (found - exact).abs() <= bound,
                "{name}, {}: {found}, not {exact}",
                self.product
            );
        }
    }
}
