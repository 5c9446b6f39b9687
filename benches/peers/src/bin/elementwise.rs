//! Element-wise functions and softmax rows beside SLEEF, glibc's libmvec, AMD's libm and `wide`.
//!
//! Prints one table: nanoseconds an element, the ratio to slimfit at the widest level, and the
//! largest error in ULP against f64 over inputs of every exponent. Sigmoid, gelu and the rows are built from each library's exp or
//! erf by the plainest loop that is fast; what a library has only one form of (`wide` has no
//! erf), it shows only there.
//!
//! ```text
//! apt-get install libsleef-dev
//! cargo run --release --bin elementwise [-- function ...]
//! ```
//!
//! The libraries are opened when the program runs; one that is not there has no rows. AMD's
//! libm, which no distribution carries, is looked for under its name and under the path in `AMD_LIBM`;
//! the wheel `aoclda` on PyPI has it (`aoclda.libs/libamdlibm*.so`).

#[cfg(target_arch = "x86_64")]
fn main() {
    x86::main();
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("the rivals are libraries for x86-64");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::cell::RefCell;
    use std::hint::black_box;

    use libloading::{Library, Symbol};
    use slimfit::kernels::{Error, Level, math, softmax};
    use slimfit_peers::{Contestant, race};
    use wide::f32x8;

    /// 4,096 stay in the first cache; 1,048,576 stream.
    const LENGTHS: [usize; 2] = [4096, 1_048_576];
    /// Rounds of each race.
    const ROUNDS: usize = 41;

    /// What is asked of everybody.
    #[derive(Clone, Copy, PartialEq)]
    enum Task {
        Exp,
        ExpM1,
        Ln,
        Ln1p,
        Tanh,
        Sigmoid,
        Erf,
        Gelu,
        /// Rows of 10.
        Softmax,
        /// Rows of 1000.
        LogSumExp,
    }
    use Task::{Erf, Exp, ExpM1, Gelu, Ln, Ln1p, LogSumExp, Sigmoid, Softmax, Tanh};

    const TASKS: [(&str, Task, (f32, f32)); 10] = [
        ("exp", Exp, (-80.0, 80.0)),
        ("exp_m1", ExpM1, (-10.0, 80.0)),
        ("ln", Ln, (1e-3, 1e3)),
        ("ln_1p", Ln1p, (-0.9, 1e3)),
        ("tanh", Tanh, (-8.0, 8.0)),
        ("sigmoid", Sigmoid, (-20.0, 20.0)),
        ("erf", Erf, (-4.0, 4.0)),
        ("gelu", Gelu, (-8.0, 8.0)),
        ("softmax, rows of 10", Softmax, (-5.0, 5.0)),
        ("log-sum-exp, rows of 1000", LogSumExp, (-5.0, 5.0)),
    ];

    impl Task {
        /// The library function that it is built from.
        fn base(self) -> Self {
            match self {
                Sigmoid | Softmax | LogSumExp => Exp,
                Gelu => Erf,
                other => other,
            }
        }

        /// The function in f64; of a row function, nothing.
        fn oracle(self) -> Option<fn(f64) -> f64> {
            fn sigmoid(x: f64) -> f64 {
                let e = libm::exp(-x.abs());
                if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
            }
            fn gelu(x: f64) -> f64 {
                let cdf = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
                if cdf == 0.0 { 0.0 } else { x * cdf }
            }
            Some(match self {
                Exp => libm::exp,
                ExpM1 => libm::expm1,
                Ln => libm::log,
                Ln1p => libm::log1p,
                Tanh => libm::tanh,
                Sigmoid => sigmoid,
                Erf => libm::erf,
                Gelu => gelu,
                Softmax | LogSumExp => return None,
            })
        }

        /// Length of a row.
        fn cols(self) -> usize {
            match self {
                Softmax => 10,
                LogSumExp => 1000,
                _ => 1,
            }
        }
    }

    /// The tasks by a vector function of one register width. Everything is in functions with the
    /// target feature, which a call that passes a vector needs.
    macro_rules! width {
        ($name:ident, $feature:literal, $vector:ty, $lanes:literal, $load:ident, $store:ident,
         $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $max:ident) => {
            mod $name {
                use super::*;

                /// A function by the platform's vector ABI.
                #[allow(improper_ctypes_definitions, reason = "C has these vectors too")]
                pub type Call = unsafe extern "C" fn($vector) -> $vector;

                /// `out = f(x)` with the loads, `prepare` and `finish` around the call.
                macro_rules! each {
                    ($f:expr, $x:expr, $out:expr, |$v:ident| $prepare:expr, |$w:ident| $finish:expr) => {{
                        let (chunks, tail) = $x.as_chunks::<$lanes>();
                        let (out_chunks, out_tail) = $out.as_chunks_mut::<$lanes>();
                        for (x, out) in chunks.iter().zip(out_chunks) {
                            // SAFETY: the function has the features; the arrays cover a vector.
                            unsafe {
                                let $v = $load(x.as_ptr());
                                let $w = $f($prepare);
                                $store(out.as_mut_ptr(), $finish);
                            }
                        }
                        let mut last = [1.0; $lanes];
                        last[..tail.len()].copy_from_slice(tail);
                        // SAFETY: as above.
                        unsafe {
                            let $v = $load(last.as_ptr());
                            let $w = $f($prepare);
                            $store(last.as_mut_ptr(), $finish);
                        }
                        out_tail.copy_from_slice(&last[..tail.len()]);
                    }};
                }

                #[target_feature(enable = $feature)]
                fn map(f: Call, x: &[f32], out: &mut [f32]) {
                    each!(f, x, out, |x| x, |y| y);
                }

                #[target_feature(enable = $feature)]
                fn sigmoid(exp: Call, x: &[f32], out: &mut [f32]) {
                    let (zero, one) = ($splat(0.0), $splat(1.0));
                    each!(exp, x, out, |x| $sub(zero, x), |e| $div(one, $add(one, e)));
                }

                #[target_feature(enable = $feature)]
                fn gelu(erf: Call, x: &[f32], out: &mut [f32]) {
                    let (half, one) = ($splat(0.5), $splat(1.0));
                    let scale = $splat(std::f32::consts::FRAC_1_SQRT_2);
                    each!(erf, x, out, |x| $mul(x, scale), |y| $mul($mul(half, x), $add(one, y)));
                }

                /// The differences to the maxima first, then one run of exp without gaps.
                #[target_feature(enable = $feature)]
                fn softmax(exp: Call, x: &[f32], out: &mut [f32]) {
                    for (x, out) in x.chunks(2560).zip(out.chunks_mut(2560)) {
                        let (x_rows, _) = x.as_chunks::<10>();
                        for (x, out) in x_rows.iter().zip(out.as_chunks_mut::<10>().0) {
                            let larger = |a: f32, b: f32| if a > b { a } else { b };
                            let max = x.iter().copied().fold(f32::NEG_INFINITY, larger);
                            for (x, out) in x.iter().zip(out) {
                                *out = x - max;
                            }
                        }
                        for out in out.chunks_mut($lanes) {
                            let mut last = [0.0; $lanes];
                            // SAFETY: the function has the features; a full chunk and the array
                            // cover a vector.
                            unsafe {
                                if out.len() == $lanes {
                                    $store(out.as_mut_ptr(), exp($load(out.as_ptr())));
                                } else {
                                    last[..out.len()].copy_from_slice(out);
                                    $store(last.as_mut_ptr(), exp($load(last.as_ptr())));
                                    out.copy_from_slice(&last[..out.len()]);
                                }
                            }
                        }
                        for out in out.as_chunks_mut::<10>().0 {
                            let [a, b, c, d, e, f, g, h, i, j] = *out;
                            let sum = ((a + b) + (c + d)) + ((e + f) + (g + h)) + (i + j);
                            let scale = 1.0 / sum;
                            for out in out {
                                *out *= scale;
                            }
                        }
                    }
                }

                #[target_feature(enable = $feature)]
                fn log_sum_exp(exp: Call, x: &[f32], out: &mut [f32]) {
                    for (x, out) in x.chunks_exact(1000).zip(out) {
                        let (chunks, tail) = x.as_chunks::<$lanes>();
                        let mut last = [f32::NEG_INFINITY; $lanes];
                        last[..tail.len()].copy_from_slice(tail);
                        // SAFETY: the function has the features; the arrays cover a vector.
                        let (max, sum) = unsafe {
                            let mut max = $load(last.as_ptr());
                            for x in chunks {
                                max = $max(max, $load(x.as_ptr()));
                            }
                            let mut lanes = [0.0; $lanes];
                            $store(lanes.as_mut_ptr(), max);
                            let max = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                            let shift = $splat(max);
                            let mut sum = exp($sub($load(last.as_ptr()), shift));
                            for x in chunks {
                                sum = $add(sum, exp($sub($load(x.as_ptr()), shift)));
                            }
                            $store(lanes.as_mut_ptr(), sum);
                            (max, lanes.iter().sum::<f32>())
                        };
                        *out = max + sum.ln();
                    }
                }

                #[target_feature(enable = $feature)]
                pub fn run(task: Task, f: Call, x: &[f32], out: &mut [f32]) {
                    match task {
                        Sigmoid => sigmoid(f, x, out),
                        Gelu => gelu(f, x, out),
                        Softmax => softmax(f, x, out),
                        LogSumExp => log_sum_exp(f, x, out),
                        _ => map(f, x, out),
                    }
                }
            }
        };
    }

    width!(
        zmm,
        "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma",
        __m512,
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_max_ps
    );
    width!(
        ymm,
        "avx2,fma",
        __m256,
        8,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_max_ps
    );
    width!(
        xmm,
        "sse2",
        __m128,
        4,
        _mm_loadu_ps,
        _mm_storeu_ps,
        _mm_set1_ps,
        _mm_add_ps,
        _mm_sub_ps,
        _mm_mul_ps,
        _mm_div_ps,
        _mm_max_ps
    );

    /// The tasks by `wide`, with what the crate was compiled for.
    fn run_wide(task: Task, x: &[f32], out: &mut [f32]) {
        fn each(x: &[f32], out: &mut [f32], f: impl Fn(f32x8) -> f32x8) {
            let (chunks, tail) = x.as_chunks::<8>();
            let (out_chunks, out_tail) = out.as_chunks_mut::<8>();
            for (x, out) in chunks.iter().zip(out_chunks) {
                *out = f(f32x8::from(*x)).into();
            }
            let mut last = [1.0; 8];
            last[..tail.len()].copy_from_slice(tail);
            let y: [f32; 8] = f(f32x8::from(last)).into();
            out_tail.copy_from_slice(&y[..tail.len()]);
        }
        let one = f32x8::splat(1.0);
        match task {
            Exp => each(x, out, f32x8::exp),
            ExpM1 => each(x, out, f32x8::exp_m1),
            Ln => each(x, out, f32x8::ln),
            Ln1p => each(x, out, f32x8::ln_1p),
            Tanh => each(x, out, f32x8::tanh),
            Sigmoid => each(x, out, |x| one / (one + (-x).exp())),
            Softmax => {
                for (x, out) in x.chunks_exact(10).zip(out.chunks_exact_mut(10)) {
                    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let mut lanes = [f32::NEG_INFINITY; 16];
                    lanes[..10].copy_from_slice(x);
                    let [low, high] = [&lanes[..8], &lanes[8..]]
                        .map(|half| (f32x8::from(half) - f32x8::splat(max)).exp());
                    let scale = f32x8::splat(1.0 / (low + high).reduce_add());
                    out[..8].copy_from_slice(&<[f32; 8]>::from(low * scale));
                    out[8..].copy_from_slice(&<[f32; 8]>::from(high * scale)[..2]);
                }
            }
            LogSumExp => {
                for (x, out) in x.chunks_exact(1000).zip(out) {
                    let (chunks, _) = x.as_chunks::<8>();
                    let max = chunks.iter().fold(f32x8::splat(f32::NEG_INFINITY), |max, x| {
                        max.fast_max(f32x8::from(*x))
                    });
                    let max = max.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max);
                    let shift = f32x8::splat(max);
                    let sum = chunks
                        .iter()
                        .fold(f32x8::splat(0.0), |sum, x| sum + (f32x8::from(*x) - shift).exp());
                    *out = max + sum.reduce_add().ln();
                }
            }
            Erf | Gelu => unreachable!("wide has no erf"),
        }
    }

    /// Somebody's way to do a task.
    #[derive(Clone, Copy)]
    enum Way {
        Slimfit(Level),
        Zmm(zmm::Call),
        Ymm(ymm::Call),
        Xmm(xmm::Call),
        Wide,
    }

    impl Way {
        fn run(self, task: Task, x: &[f32], out: &mut [f32]) {
            match self {
                Self::Slimfit(level) => slimfit(level, task, x, out).expect("lengths agree"),
                // SAFETY: `ways` makes these three only where their features were detected.
                Self::Zmm(f) => unsafe { zmm::run(task, f, x, out) },
                // SAFETY: as above.
                Self::Ymm(f) => unsafe { ymm::run(task, f, x, out) },
                // SAFETY: as above.
                Self::Xmm(f) => unsafe { xmm::run(task, f, x, out) },
                Self::Wide => run_wide(task, x, out),
            }
        }
    }

    fn slimfit(level: Level, task: Task, x: &[f32], out: &mut [f32]) -> Result<(), Error> {
        match task {
            Exp => math::exp(level, x, out),
            ExpM1 => math::exp_m1(level, x, out),
            Ln => math::ln(level, x, out),
            Ln1p => math::ln_1p(level, x, out),
            Tanh => math::tanh(level, x, out),
            Sigmoid => math::sigmoid(level, x, out),
            Erf => math::erf(level, x, out),
            Gelu => math::gelu(level, x, out),
            Softmax => softmax::softmax(level, x, 10, out),
            LogSumExp => softmax::log_sum_exp(level, x, 1000, out),
        }
    }

    /// The libraries, kept open.
    struct Libraries {
        sleef: Option<Library>,
        mvec: Option<Library>,
        amd: Option<Library>,
    }

    impl Libraries {
        fn open() -> Self {
            let open = |names: &[&str]| {
                // SAFETY: these libraries' constructors have no preconditions.
                names.iter().find_map(|name| unsafe { Library::new(*name) }.ok())
            };
            let amd = std::env::var("AMD_LIBM").unwrap_or_default();
            Self {
                sleef: open(&["libsleef.so.3", "libsleef.so"]),
                mvec: open(&["libmvec.so.1"]),
                amd: open(&["libalm.so", "libamdlibm.so", &amd]),
            }
        }
    }

    /// A vector function by its name.
    fn find<F: Copy>(library: Option<&Library>, name: &str) -> Option<F> {
        // SAFETY: the caller pairs the name with the type that the vector ABI gives it.
        let symbol: Symbol<F> = unsafe { library?.get(name.as_bytes()) }.ok()?;
        Some(*symbol)
    }

    /// The names of a function in C, and its accuracies in SLEEF.
    fn names(task: Task) -> (&'static str, &'static [&'static str]) {
        match task.base() {
            Exp => ("exp", &["u10"]),
            ExpM1 => ("expm1", &["u10"]),
            Ln => ("log", &["u10", "u35"]),
            Ln1p => ("log1p", &["u10"]),
            Tanh => ("tanh", &["u10", "u35"]),
            Erf => ("erf", &["u10"]),
            _ => unreachable!("built from another"),
        }
    }

    /// All that can do the task on this machine, slimfit's widest level first.
    fn ways(libraries: &Libraries, task: Task) -> Vec<(String, Way)> {
        let mut ways: Vec<(String, Way)> = Level::available()
            .map(|level| (format!("slimfit {level}"), Way::Slimfit(level)))
            .collect();
        ways.reverse();
        let zmm = Level::avx512().is_some();
        let ymm = Level::avx2_fma().is_some();
        let (name, accuracies) = names(task);
        let mut add = |label: String, way: Option<Way>| ways.extend(way.map(|way| (label, way)));
        for accuracy in accuracies {
            let sleef = libraries.sleef.as_ref();
            let symbol = |lanes, set| format!("Sleef_{name}f{lanes}_{accuracy}{set}");
            if zmm {
                let f = find(sleef, &symbol(16, "avx512f")).map(Way::Zmm);
                add(format!("SLEEF {accuracy} avx512"), f);
            }
            if ymm {
                let f = find(sleef, &symbol(8, "avx2")).map(Way::Ymm);
                add(format!("SLEEF {accuracy} avx2"), f);
            }
            add(format!("SLEEF {accuracy} sse2"), find(sleef, &symbol(4, "sse2")).map(Way::Xmm));
        }
        let mvec = libraries.mvec.as_ref();
        if zmm {
            let f = find(mvec, &format!("_ZGVeN16v_{name}f")).map(Way::Zmm);
            add("libmvec avx512".into(), f);
        }
        if ymm {
            add("libmvec avx2".into(), find(mvec, &format!("_ZGVdN8v_{name}f")).map(Way::Ymm));
        }
        add("libmvec sse".into(), find(mvec, &format!("_ZGVbN4v_{name}f")).map(Way::Xmm));
        let amd = libraries.amd.as_ref();
        if zmm {
            add("AMD libm avx512".into(), find(amd, &format!("amd_vrs16_{name}f")).map(Way::Zmm));
        }
        if ymm {
            add("AMD libm avx2".into(), find(amd, &format!("amd_vrs8_{name}f")).map(Way::Ymm));
        }
        if task.base() != Erf {
            add("wide".into(), Some(Way::Wide));
        }
        ways
    }

    /// Numbers spread over `from..to`.
    fn data(len: usize, (from, to): (f32, f32)) -> Vec<f32> {
        (0..len)
            .map(|i| from + (to - from) * (i as f64 * 0.618_033_988_75).fract() as f32)
            .collect()
    }

    /// Every exponent with both signs, and mantissas spread over each.
    fn stratified() -> Vec<f32> {
        let mut x = Vec::new();
        for exponent in 0..255u32 {
            for sign in [0, 1 << 31] {
                let mut mantissa = exponent;
                for _ in 0..2000 {
                    mantissa = mantissa.wrapping_add(0x9e37_79b9);
                    x.push(f32::from_bits(sign | exponent << 23 | mantissa >> 9));
                }
            }
        }
        x
    }

    /// Distance in units in the last place of `want`; infinity counts as 2^128.
    fn ulp_error(got: f32, want: f64) -> f64 {
        if want.is_nan() && got.is_nan() {
            return 0.0;
        }
        if want.is_nan() || got.is_nan() {
            return f64::INFINITY;
        }
        let limit = 2f64.powi(128);
        let (got, want) = (f64::from(got).clamp(-limit, limit), want.clamp(-limit, limit));
        let exponent = ((want.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        (got - want).abs() / 2f64.powi(exponent.clamp(-126, 127) - 23)
    }

    /// The largest error of a way to do a task.
    fn largest_error(task: Task, range: (f32, f32), way: Way) -> f64 {
        let worst = |out: &[f32], want: &mut dyn Iterator<Item = f64>| {
            out.iter().zip(want).map(|(got, want)| ulp_error(*got, want)).fold(0.0, f64::max)
        };
        if let Some(oracle) = task.oracle() {
            let x = stratified();
            let mut out = vec![0.0; x.len()];
            way.run(task, &x, &mut out);
            return worst(&out, &mut x.iter().map(|x| oracle(f64::from(*x))));
        }
        let x = data(1_000_000, range);
        let exps =
            |row: &[f32]| -> Vec<f64> { row.iter().map(|x| libm::exp((*x).into())).collect() };
        let rows: Vec<Vec<f64>> = x.chunks_exact(task.cols()).map(exps).collect();
        if task == Softmax {
            let mut out = vec![0.0; x.len()];
            way.run(task, &x, &mut out);
            let shares = |row: &Vec<f64>| {
                let sum: f64 = row.iter().sum();
                row.iter().map(|e| e / sum).collect::<Vec<_>>()
            };
            return worst(&out, &mut rows.iter().flat_map(shares));
        }
        let mut out = vec![0.0; rows.len()];
        way.run(task, &x, &mut out);
        worst(&out, &mut rows.iter().map(|row| libm::log(row.iter().sum())))
    }

    /// Nanoseconds an element of each way.
    fn times(task: Task, range: (f32, f32), len: usize, ways: &[(String, Way)]) -> Vec<f64> {
        let len = len / task.cols() * task.cols();
        let x = data(len, range);
        let out = RefCell::new(vec![0.0; if task == LogSumExp { len / 1000 } else { len }]);
        let mut contestants: Vec<_> = ways
            .iter()
            .map(|(name, way)| {
                Contestant::new(name.as_str(), || {
                    way.run(task, black_box(&x), black_box(&mut out.borrow_mut()));
                })
            })
            .collect();
        race(&mut contestants, ROUNDS).into_iter().map(|t| t * 1e9 / len as f64).collect()
    }

    pub fn main() {
        let only: Vec<String> = std::env::args().skip(1).collect();
        let libraries = Libraries::open();
        println!("| function | by | ns, 4,096 | ratio | ns, 1,048,576 | ratio | largest ULP |");
        println!("|---|---|---|---|---|---|---|");
        for (name, task, range) in TASKS {
            if !only.is_empty() && !only.iter().any(|only| name.starts_with(only.as_str())) {
                continue;
            }
            let ways = ways(&libraries, task);
            let [short, long] = LENGTHS.map(|len| times(task, range, len, &ways));
            for (i, (label, way)) in ways.iter().enumerate() {
                println!(
                    "| {name} | {label} | {:.3} | {:.2} | {:.3} | {:.2} | {} |",
                    short[i],
                    short[i] / short[0],
                    long[i],
                    long[i] / long[0],
                    ulps(largest_error(task, range, *way)),
                );
            }
        }
    }

    /// Two decimals of an error, or its order of magnitude.
    fn ulps(error: f64) -> String {
        if error < 100.0 { format!("{error:.2}") } else { format!("{error:.0e}") }
    }
}
