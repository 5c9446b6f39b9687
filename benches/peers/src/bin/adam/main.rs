//! Adam over ten million parameters, which no cache holds: slimfit beside a plain loop in C, compiled
//! for the machine and vectors of its full width, and PyTorch's fused Adam. Milliseconds an update.
//!
//! `cargo run --release --bin adam -- [--threads N] [--python PATH]`. Contestants take turns of some
//! updates each, on buffers of their own with the same numbers; PyTorch is a process of its own. Before
//! each turn is a pause: OpenMP's threads spin for milliseconds after the last, and would take part of the
//! next contestant's.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use slimfit::Level;
use slimfit::kernels::optim::{self, AdamStep, Penalty};
use slimfit_peers::{SETTLE, median};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const LEN: usize = 10_000_000;
/// Updates before the parameters are compared, and in each turn.
const UPDATES: u32 = 5;
const ROUNDS: usize = 25;
/// f32 of a cache line.
const LINE: usize = 16;

/// `void adam(len, grad, param, first, second, rate, epsilon, beta1, beta2, threads)` of `adam.c`.
type Loop = unsafe extern "C" fn(
    usize,
    *const f32,
    *mut f32,
    *mut f32,
    *mut f32,
    f32,
    f32,
    f32,
    f32,
    std::ffi::c_int,
);

/// Gradient, parameters and both moments, each from a cache line on.
struct Buffers {
    memory: Vec<f32>,
    start: usize,
    steps: u32,
}

impl Buffers {
    fn new() -> Self {
        let memory = vec![0.0; 4 * LEN + LINE];
        let start = memory.as_ptr().align_offset(4 * LINE).min(LINE);
        let mut buffers = Self { memory, start, steps: 0 };
        let [grad, params, ..] = buffers.split();
        for (i, (grad, param)) in grad.iter_mut().zip(params).enumerate() {
            // The same in `adam.py`.
            *grad = ((i * 40_503) % 65_536) as f32 / 65_536.0 - 0.5;
            *param = 0.5;
        }
        buffers
    }

    fn split(&mut self) -> [&mut [f32]; 4] {
        let (grad, rest) = self.memory[self.start..self.start + 4 * LEN].split_at_mut(LEN);
        let (params, rest) = rest.split_at_mut(LEN);
        let (first, second) = rest.split_at_mut(LEN);
        [grad, params, first, second]
    }

    /// How far the parameters have gone together.
    fn distance(&mut self) -> f64 {
        let [_, params, ..] = self.split();
        params.iter().map(|&param| f64::from((param - 0.5).abs())).sum()
    }

    fn step(&mut self) -> AdamStep {
        self.steps += 1;
        optim::Adam::default().at_step(self.steps).expect("the usual settings")
    }
}

fn main() -> Outcome<()> {
    let (mut threads, mut python) = (1, None);
    let mut flags = std::env::args().skip(1);
    while let Some(flag) = flags.next() {
        let value = flags.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--threads" => threads = value.parse()?,
            "--python" => python = Some(value),
            _ => return Err(format!("{flag} is no flag").into()),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let library = compile()?;
    // SAFETY: the symbol is the function of `adam.c`, which has this signature.
    let plain: Loop = unsafe { *library.get(b"adam\0")? };
    let (mut ours, mut theirs) = (Buffers::new(), Buffers::new());
    // As `fit`, which enters its pool once; OpenMP's threads stay awake between the updates of a turn too.
    let mut run_ours = || {
        pool.install(|| {
            for _ in 0..UPDATES {
                let step = ours.step();
                let [grad, params, first, second] = ours.split();
                update(threads, &step, grad, params, first, second);
            }
        });
    };
    let mut loop_once = || {
        let count = std::ffi::c_int::try_from(threads).unwrap_or(1);
        theirs.steps += 1;
        let correction = |beta: f64| 1.0 - beta.powi(theirs.steps as i32);
        let root = correction(0.999).sqrt();
        let (rate, epsilon) = (1e-3 * root / correction(0.9), 1e-8 * root);
        let [grad, params, first, second] = theirs.split().map(<[f32]>::as_mut_ptr);
        let (rate, epsilon) = (rate as f32, epsilon as f32);
        // SAFETY: four slices of LEN numbers that do not overlap.
        unsafe { plain(LEN, grad, params, first, second, rate, epsilon, 0.9, 0.999, count) };
    };
    let mut torch = python.map(|python| Torch::start(&python, threads)).transpose()?;
    let mut run_loop = || (0..UPDATES).for_each(|_| loop_once());
    let time = |run: &mut dyn FnMut()| {
        std::thread::sleep(SETTLE);
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() / f64::from(UPDATES)
    };
    let mut times = [const { Vec::new() }; 3];
    time(&mut run_ours);
    time(&mut run_loop);
    for _ in 0..ROUNDS {
        times[0].push(time(&mut run_ours));
        times[1].push(time(&mut run_loop));
        if let Some(torch) = &mut torch {
            times[2].push(torch.turn()?);
        }
    }
    let [ours, theirs] = [&mut ours, &mut theirs].map(Buffers::distance);
    let mut rows = vec![("slimfit", ours), ("C loop", theirs)];
    rows.extend(torch.as_mut().map(Torch::distance).transpose()?.map(|far| ("PyTorch fused", far)));
    println!("Adam, {LEN} parameters, {threads} threads, {}:", Level::detect());
    let first = median(&mut times[0]);
    for ((name, far), times) in rows.into_iter().zip(&mut times) {
        let taken = median(times);
        let apart = (far / ours - 1.0).abs();
        println!("{name:14} {:6.2} ms  {:5.2}  differs by {apart:.0e}", taken * 1e3, taken / first);
        if apart > 1e-4 {
            return Err(format!("{name} did other work").into());
        }
    }
    Ok(())
}

/// One update by slimfit's kernel, in as many parts as there are threads.
fn update(
    threads: usize,
    step: &AdamStep,
    grad: &[f32],
    params: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    if threads < 2 {
        let (level, none) = (Level::detect(), Penalty::NONE);
        optim::adam(level, step, none, 1.0, grad, params, first, second).expect("equal lengths");
        return;
    }
    let front = threads / 2;
    let at = (params.len() * front / threads).next_multiple_of(LINE);
    let (grad, rest_grad) = grad.split_at(at);
    let (params, rest_params) = params.split_at_mut(at);
    let (first, rest_first) = first.split_at_mut(at);
    let (second, rest_second) = second.split_at_mut(at);
    rayon::join(
        || update(front, step, grad, params, first, second),
        || update(threads - front, step, rest_grad, rest_params, rest_first, rest_second),
    );
}

/// `adam.c` as a library.
fn compile() -> Outcome<libloading::Library> {
    let directory = std::env::temp_dir().join(format!("slimfit-adam-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let (source, library) = (directory.join("adam.c"), directory.join("adam.so"));
    std::fs::write(&source, include_str!("adam.c"))?;
    let flags =
        "-O3 -march=native -mprefer-vector-width=512 -fno-math-errno -fopenmp -fPIC -shared";
    let mut compiler = Command::new("cc");
    compiler.args(flags.split(' ')).arg("-o").args([&library, &source]).arg("-lm");
    if !compiler.status()?.success() {
        return Err("cc cannot compile adam.c".into());
    }
    // SAFETY: what was just compiled has no code that runs on loading.
    let library = unsafe { libloading::Library::new(&library)? };
    std::fs::remove_dir_all(directory)?;
    Ok(library)
}

/// `adam.py` at work.
struct Torch {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Torch {
    fn start(python: &str, threads: usize) -> Outcome<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/adam.py");
        let mut command = Command::new(python);
        command.arg(script).args([threads, LEN].map(|number| number.to_string()));
        command.arg(UPDATES.to_string()).env("OMP_NUM_THREADS", threads.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().ok_or("no pipe")?;
        let output = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        let mut torch = Self { process, input, output };
        torch.answer()?;
        Ok(torch)
    }

    /// The number in the next line.
    fn answer(&mut self) -> Outcome<f64> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }

    /// Seconds an update.
    fn turn(&mut self) -> Outcome<f64> {
        std::thread::sleep(SETTLE);
        writeln!(self.input, "turn")?;
        self.answer()
    }

    fn distance(&mut self) -> Outcome<f64> {
        writeln!(self.input, "distance")?;
        self.answer()
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
