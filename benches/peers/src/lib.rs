//! What the peer benchmarks share: interleaved timing, and a table of it.
//!
//! Machines are shared and their clocks drift, so numbers count only as ratios from one run:
//! contestants take turns, round by round, each for about a millisecond, and the median over the
//! rounds is what is printed.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use slimfit::Level;

/// Stops a process until [`resume`]: the threads of some libraries spin after their work, for a fifth of a second
/// at worst, and would take the processors from whoever is next.
pub fn suspend(process: &Child) {
    signal(process, libc::SIGSTOP);
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // One that has ended is left to be waited for.
    let events = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
    // SAFETY: waits for a child of this process, and writes to the struct it is given.
    unsafe { libc::waitid(libc::P_PID, process.id(), info.as_mut_ptr(), events) };
}

/// Has the process that a command starts end with this one, even while it is stopped.
pub fn end_with_this(command: &mut Command) {
    let kill = || {
        // SAFETY: a system call that touches no memory, as what runs between fork and exec must.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(())
    };
    // SAFETY: see above.
    unsafe { command.pre_exec(kill) };
}

/// Lets a process go on.
pub fn resume(process: &Child) {
    signal(process, libc::SIGCONT);
}

fn signal(process: &Child, signal: i32) {
    // SAFETY: a system call that touches no memory; the process is a child that nobody has waited for, as it is lent.
    unsafe { libc::kill(pid(process), signal) };
}

fn pid(process: &Child) -> i32 {
    process.id().cast_signed()
}

/// Shortest measurement of one turn.
const TURN: Duration = Duration::from_millis(1);

/// One way to do the job.
pub struct Contestant<'a> {
    /// Name of the row.
    pub name: String,
    /// Does the job once.
    pub run: Box<dyn FnMut() + 'a>,
}

impl<'a> Contestant<'a> {
    /// A contestant.
    pub fn new(name: impl Into<String>, run: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// Median seconds a call of each contestant, who take turns for `rounds` rounds.
pub fn race(contestants: &mut [Contestant<'_>], rounds: usize) -> Vec<f64> {
    let calls: Vec<u32> = contestants.iter_mut().map(calls_a_turn).collect();
    let mut times = vec![Vec::with_capacity(rounds); contestants.len()];
    for _ in 0..rounds {
        for ((contestant, &calls), times) in contestants.iter_mut().zip(&calls).zip(&mut times) {
            times.push(time(contestant, calls).as_secs_f64() / f64::from(calls));
        }
    }
    times.iter_mut().map(|times| median(times)).collect()
}

/// Calls that take a [`TURN`]; warms the caches on the way.
fn calls_a_turn(contestant: &mut Contestant<'_>) -> u32 {
    let mut calls = 1;
    loop {
        let taken = time(contestant, calls);
        if taken >= TURN || calls >= 1 << 24 {
            return calls;
        }
        let wanted = TURN.as_secs_f64() / taken.as_secs_f64().max(1e-9);
        calls = (f64::from(calls) * wanted.clamp(1.5, 20.0)).ceil() as u32;
    }
}

fn time(contestant: &mut Contestant<'_>, calls: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        (contestant.run)();
    }
    start.elapsed()
}

/// The middle value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How many times `others` the `values` are: the median of the ratios of each round that both were in, from the
/// first on, as the machine may be another from one round to the next.
pub fn median_ratio(values: &[f64], others: &[f64]) -> f64 {
    median(&mut values.iter().zip(others).map(|(value, other)| value / other).collect::<Vec<_>>())
}

/// FMA peak of one core in GFLOP/s at a level: independent chains of multiply-adds of its width.
pub fn fma_peak(level: Level) -> f64 {
    let flops = chains(level) as f64;
    let mut contestants = [Contestant::new("peak", || {
        std::hint::black_box(chains(level));
    })];
    flops / race(&mut contestants, 31)[0] / 1e9
}

/// Runs the chains; returns the floating-point operations done.
#[cfg(target_arch = "x86_64")]
fn chains(level: Level) -> usize {
    use std::arch::x86_64::*;
    const STEPS: usize = 2000;

    #[target_feature(enable = "avx512f")]
    fn avx512() -> usize {
        let mut acc = [_mm512_set1_ps(0.5); 16];
        let (a, b) = (_mm512_set1_ps(std::hint::black_box(0.5)), _mm512_set1_ps(0.25));
        for _ in 0..STEPS {
            for acc in &mut acc {
                *acc = _mm512_fmadd_ps(*acc, a, b);
            }
        }
        let sum = acc.iter().fold(a, |sum, &acc| _mm512_add_ps(sum, acc));
        std::hint::black_box(_mm512_reduce_add_ps(sum));
        STEPS * 16 * 16 * 2
    }

    #[target_feature(enable = "avx2,fma")]
    fn avx2() -> usize {
        let mut acc = [_mm256_set1_ps(0.5); 12];
        let (a, b) = (_mm256_set1_ps(std::hint::black_box(0.5)), _mm256_set1_ps(0.25));
        for _ in 0..STEPS {
            for acc in &mut acc {
                *acc = _mm256_fmadd_ps(*acc, a, b);
            }
        }
        let sum = acc.iter().fold(a, |sum, &acc| _mm256_add_ps(sum, acc));
        std::hint::black_box(_mm256_cvtss_f32(sum));
        STEPS * 12 * 8 * 2
    }

    // SAFETY: a level exists only where its instructions do.
    unsafe {
        match level {
            Level::Avx512(_) => avx512(),
            Level::Avx2Fma(_) => avx2(),
            _ => panic!("the peak is measured with AVX2 and FMA at least"),
        }
    }
}
