//! Every function of `math` against f64, in units in the last place.
//!
//! `stratified_sweep` visits every exponent in seconds, and holds the bits of all fused levels, those of
//! other architectures too, to a recorded hash. All 2^32 inputs take some minutes a core:
//!
//! ```text
//! cargo test --release -p slimfit-kernels --test math -- --ignored --nocapture exhaustive
//! ```

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use common::{same, stratified, ulp_error};
use slimfit_kernels::{Error, Level, math};

type Entry = fn(Level, &[f32], &mut [f32]) -> Result<(), Error>;

struct Function {
    name: &'static str,
    entry: Entry,
    oracle: fn(f64) -> f64,
    /// Largest error allowed where multiply-add rounds once, and where it rounds twice: that of all
    /// inputs, as the table of `math` has it, rounded up.
    bounds: [f64; 2],
    /// Of the results of `stratified_sweep` at every fused level, on whatever machine.
    hash: u64,
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { libm::exp(x) / (1.0 + libm::exp(x)) } else { 1.0 / (1.0 + libm::exp(-x)) }
}

/// The limit where infinity times zero has none.
fn times(x: f64, y: f64) -> f64 {
    if y == 0.0 && !x.is_nan() { -0.0 } else { x * y }
}

const FUNCTIONS: [Function; 10] = [
    Function {
        name: "exp",
        entry: math::exp,
        oracle: libm::exp,
        bounds: [0.92, 1.2],
        hash: 0x7af5_0c56_491f_8839,
    },
    Function {
        name: "exp_m1",
        entry: math::exp_m1,
        oracle: libm::expm1,
        bounds: [0.96, 1.04],
        hash: 0x6d73_becc_dbf6_3124,
    },
    Function {
        name: "ln",
        entry: math::ln,
        oracle: libm::log,
        bounds: [0.88, 0.97],
        hash: 0x0b41_42f2_5b97_fe6c,
    },
    Function {
        name: "ln_1p",
        entry: math::ln_1p,
        oracle: libm::log1p,
        bounds: [0.89, 0.98],
        hash: 0x4e33_e0b8_ae9a_e998,
    },
    Function {
        name: "tanh",
        entry: math::tanh,
        oracle: libm::tanh,
        bounds: [1.34, 1.23],
        hash: 0xc27c_2059_a499_9eeb,
    },
    Function {
        name: "sigmoid",
        entry: math::sigmoid,
        oracle: sigmoid,
        bounds: [1.15, 1.17],
        hash: 0x351b_3dba_eabb_1ff7,
    },
    Function {
        name: "erf",
        entry: math::erf,
        oracle: libm::erf,
        bounds: [1.45, 1.76],
        hash: 0xc8d1_5fed_22b0_62ad,
    },
    Function {
        name: "gelu",
        entry: math::gelu,
        oracle: |x| times(x, 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)),
        bounds: [2.33, 3.99],
        hash: 0x1888_698e_53a8_6b61,
    },
    Function {
        name: "silu",
        entry: math::silu,
        oracle: |x| times(x, sigmoid(x)),
        bounds: [1.92, 1.95],
        hash: 0xf9dd_f0c8_9a37_dc6b,
    },
    Function {
        name: "softplus",
        entry: math::softplus,
        oracle: |x| x.max(0.0) + libm::log1p(libm::exp(-x.abs())) + 0.0 * x.clamp(-1.0, 0.0),
        bounds: [2.17, 2.17],
        hash: 0x9054_aebc_e1f3_36a8,
    },
];

/// What was seen at one level: the largest error and where, and a hash of all results.
#[derive(Clone, Copy, Default)]
struct Worst {
    error: f64,
    at: f32,
    /// A sum, so that the order does not matter.
    hash: u64,
}

impl Worst {
    fn include(&mut self, other: Self) {
        if other.error > self.error {
            (self.error, self.at) = (other.error, other.at);
        }
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// Mixes an argument and its result (splitmix64); all NaN count as one.
fn hash(x: f32, y: f32) -> u64 {
    let y = if y.is_nan() { f32::NAN.to_bits() } else { y.to_bits() };
    let z = u64::from(x.to_bits()) << 32 | u64::from(y);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Sweeps `x`: the worst of each level, which are `Level::available()`. Fused levels must agree.
fn sweep(function: &Function, x: &[f32], worst: &mut [Worst], buffers: &mut [Vec<f32>]) {
    let levels = Level::available();
    for (level, out) in levels.zip(buffers.iter_mut()) {
        out.resize(x.len(), 0.0);
        (function.entry)(level, x, out).unwrap();
    }
    for (i, &x) in x.iter().enumerate() {
        let want = (function.oracle)(f64::from(x));
        for (worst, out) in worst.iter_mut().zip(&*buffers) {
            worst.include(Worst { error: ulp_error(out[i], want), at: x, hash: hash(x, out[i]) });
        }
    }
    let mut fused = Level::available().zip(&*buffers).filter(|(level, _)| level.is_fused());
    if let Some((_, first)) = fused.next() {
        for (level, other) in fused {
            for ((x, a), b) in x.iter().zip(first).zip(other) {
                assert!(same(*a, *b), "{}({x:e}): {a:e} and {b:e} at {level}", function.name);
            }
        }
    }
}

fn judge(function: &Function, worst: &[Worst]) -> Vec<String> {
    let mut failures = Vec::new();
    for (level, worst) in Level::available().zip(worst) {
        let Worst { error, at, hash } = worst;
        println!("{:9} {level:9} {error:7.4} ULP at {at:e}, hash {hash:#018x}", function.name);
        let bound = function.bounds[usize::from(!level.is_fused())];
        if worst.error > bound {
            failures.push(format!("{} at {level}: {} > {bound}", function.name, worst.error));
        }
    }
    failures
}

#[test]
fn stratified_sweep() {
    let x = stratified(600);
    let levels = Level::available().count();
    let mut buffers = vec![Vec::new(); levels];
    let mut failures = Vec::new();
    for function in &FUNCTIONS {
        let mut worst = vec![Worst::default(); levels];
        sweep(function, &x, &mut worst, &mut buffers);
        failures.extend(judge(function, &worst));
        for (level, Worst { hash, .. }) in Level::available().zip(&worst) {
            if level.is_fused() && *hash != function.hash {
                failures.push(format!("{} at {level}: hash {hash:#018x}", function.name));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// All 2^32 inputs; `SLIMFIT_SWEEP` names functions, comma-separated, to sweep these only.
#[test]
#[ignore = "takes minutes"]
fn exhaustive() {
    const BITS: u32 = 16;
    let only = std::env::var("SLIMFIT_SWEEP").ok();
    let levels = Level::available().count();
    let mut failures = Vec::new();
    for function in &FUNCTIONS {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|name| name == function.name)) {
            continue;
        }
        let next = AtomicU32::new(0);
        let work = || {
            let mut worst = vec![Worst::default(); levels];
            let mut buffers = vec![Vec::new(); levels];
            loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >> (32 - BITS) != 0 {
                    return worst;
                }
                let x: Vec<f32> =
                    (0..1 << BITS).map(|low| f32::from_bits(block << BITS | low)).collect();
                sweep(function, &x, &mut worst, &mut buffers);
            }
        };
        let mut worst = vec![Worst::default(); levels];
        thread::scope(|scope| {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for handle in handles {
                for (worst, part) in worst.iter_mut().zip(handle.join().unwrap()) {
                    worst.include(part);
                }
            }
        });
        failures.extend(judge(function, &worst));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The sign of a zero and the kind of a NaN are invisible to a sweep in ULP.
#[test]
fn special_values() {
    let inf = f32::INFINITY;
    let nan = f32::NAN;
    let tiny = f32::from_bits(1);
    let cases: [(&str, &[(f32, f32)]); 10] = [
        ("exp", &[(-inf, 0.0), (inf, inf), (nan, nan), (-0.0, 1.0), (-200.0, 0.0), (200.0, inf)]),
        ("exp_m1", &[(-inf, -1.0), (inf, inf), (nan, nan), (-0.0, -0.0), (0.0, 0.0), (tiny, tiny)]),
        (
            "ln",
            &[
                (0.0, -inf),
                (-0.0, -inf),
                (inf, inf),
                (-inf, nan),
                (-tiny, nan),
                (nan, nan),
                (1.0, 0.0),
            ],
        ),
        (
            "ln_1p",
            &[
                (-1.0, -inf),
                (-1.0000001, nan),
                (-inf, nan),
                (inf, inf),
                (-0.0, -0.0),
                (0.0, 0.0),
                (-tiny, -tiny),
                (nan, nan),
            ],
        ),
        ("tanh", &[(-inf, -1.0), (inf, 1.0), (-0.0, -0.0), (0.0, 0.0), (-tiny, -tiny), (nan, nan)]),
        ("sigmoid", &[(-inf, 0.0), (inf, 1.0), (-0.0, 0.5), (0.0, 0.5), (-1e30, 0.0), (nan, nan)]),
        ("erf", &[(-inf, -1.0), (inf, 1.0), (-0.0, -0.0), (0.0, 0.0), (nan, nan)]),
        (
            "gelu",
            &[
                (-inf, -0.0),
                (inf, inf),
                (-0.0, -0.0),
                (0.0, 0.0),
                (-1e30, -0.0),
                (1e30, 1e30),
                (nan, nan),
            ],
        ),
        (
            "silu",
            &[
                (-inf, -0.0),
                (inf, inf),
                (-0.0, -0.0),
                (0.0, 0.0),
                (-1e30, -0.0),
                (1e30, 1e30),
                (nan, nan),
            ],
        ),
        ("softplus", &[(-inf, 0.0), (inf, inf), (1e30, 1e30), (-1e30, 0.0), (nan, nan)]),
    ];
    for (function, (name, cases)) in FUNCTIONS.iter().zip(cases) {
        assert_eq!(function.name, name);
        for level in Level::available() {
            for &(x, want) in cases {
                let mut out = [7.0];
                (function.entry)(level, &[x], &mut out).unwrap();
                assert!(
                    same(out[0], want),
                    "{name}({x:e}) = {:e} at {level}, not {want:e}",
                    out[0]
                );
            }
        }
    }
}

/// A value is the same wherever it stands in a slice of whatever length and alignment.
#[test]
fn lengths_and_alignments() {
    let data: Vec<f32> = (0..1100).map(|i| (i as f32 - 500.0) * 0.013).collect();
    for function in &FUNCTIONS {
        for level in Level::available() {
            let single = |x: f32| {
                let mut out = [0.0];
                (function.entry)(level, &[x], &mut out).unwrap();
                out[0]
            };
            for len in (0..=67).chain([255, 1023]) {
                for offset in 0..3 {
                    let x = &data[offset * 17..][..len];
                    let mut out = vec![7.0; len + 8];
                    (function.entry)(level, x, &mut out[offset..offset + len]).unwrap();
                    for (x, got) in x.iter().zip(&out[offset..]) {
                        assert!(same(*got, single(*x)), "{}({x}) at {level}", function.name);
                    }
                    assert!(out[..offset].iter().chain(&out[offset + len..]).all(|&y| y == 7.0));
                }
            }
        }
    }
}

#[test]
fn a_wrong_length_is_refused() {
    for function in &FUNCTIONS {
        for level in Level::available() {
            let mut out = [7.0; 3];
            let error = (function.entry)(level, &[1.0; 4], &mut out).unwrap_err();
            assert_eq!(error, Error::Length { what: "out", expected: 4, found: 3 });
            assert_eq!(out, [7.0; 3]);
        }
    }
}
