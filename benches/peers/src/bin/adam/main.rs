//! Adam over ten million parameters, which no cache holds: slimfit beside a plain loop in C, compiled
//! for the machine and vectors of its full width, and PyTorch's fused Adam. Milliseconds an update.
//!
//! `cargo run --release --bin adam -- [--threads N] [--python PATH]`. Contestants take turns of some
//! updates each. slimfit and the loop exchange their two buffers of the same numbers after each round: where in
//! memory a buffer lies can be worth a quarter. PyTorch is a process of its own, with a third. Before
//! each turn is a pause: OpenMP's threads spin for milliseconds after the last, and would take part of the
//! next contestant's.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use slimfit::Level;
use slimfit::kernels::optim::{self, AdamStep, Penalty};
use slimfit_peers::median;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const LEN: usize = 10_000_000;
/// Updates in each turn.
const UPDATES: u32 = 5;
/// Even: in every second one slimfit and the loop have exchanged their buffers.
const ROUNDS: usize = 26;
/// Turns before the parameters are compared the first time, while each contestant has a buffer of its own.
const APART: usize = 5;
/// The pause before a turn: OpenMP's threads spin on in this process after the turn before.
const SETTLE: Duration = Duration::from_millis(60);
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
    let mut buffers = [Buffers::new(), Buffers::new()];
    // As `fit`, which enters its pool once; OpenMP's threads stay awake between the updates of a turn too.
    let run_ours = |buffers: &mut Buffers| {
        pool.install(|| {
            for _ in 0..UPDATES {
                let step = buffers.step();
                let [grad, params, first, second] = buffers.split();
                update(threads, &step, grad, params, first, second);
            }
        });
    };
    let run_loop = |buffers: &mut Buffers| {
        let count = std::ffi::c_int::try_from(threads).unwrap_or(1);
        for _ in 0..UPDATES {
            buffers.steps += 1;
            let correction = |beta: f64| 1.0 - beta.powi(buffers.steps as i32);
            let root = correction(0.999).sqrt();
            let (rate, epsilon) = (1e-3 * root / correction(0.9), 1e-8 * root);
            let [grad, params, first, second] = buffers.split().map(<[f32]>::as_mut_ptr);
            let (rate, epsilon) = (rate as f32, epsilon as f32);
            // SAFETY: four slices of LEN numbers that do not overlap.
            unsafe { plain(LEN, grad, params, first, second, rate, epsilon, 0.9, 0.999, count) };
        }
    };
    let mut torch = python.map(|python| Torch::start(&python, threads)).transpose()?;
    let time = |run: &dyn Fn(&mut Buffers), buffers: &mut Buffers| {
        std::thread::sleep(SETTLE);
        let start = Instant::now();
        run(buffers);
        start.elapsed().as_secs_f64() / f64::from(UPDATES)
    };
    let [first, second] = &mut buffers;
    for turn in 0..APART {
        time(&run_ours, first);
        time(&run_loop, second);
        // PyTorch had its first turn as it began.
        if let Some(torch) = &mut torch
            && turn > 0
        {
            torch.turn()?;
        }
    }
    let apart = compare(first, second, torch.as_mut())?;
    // Of each contestant on each buffer.
    let mut times = [const { [const { Vec::new() }; 2] }; 3];
    for round in 0..ROUNDS {
        let [first, second] = &mut buffers;
        times[0][round % 2].push(time(&run_ours, first));
        times[1][round % 2].push(time(&run_loop, second));
        if let Some(torch) = &mut torch {
            times[2][round % 2].push(torch.turn()?);
        }
        buffers.reverse();
    }
    let [first, second] = &mut buffers;
    compare(first, second, torch.as_mut())?;
    println!("Adam, {LEN} parameters, {threads} threads, {}:", Level::detect());
    // What a buffer's place makes weighs the same for both.
    let taken = times
        .each_mut()
        .map(|[even, odd]| if even.is_empty() { 0.0 } else { (median(even) + median(odd)) / 2.0 });
    let names = ["slimfit", "C loop", "PyTorch fused"];
    let apart = [0.0].into_iter().chain(apart);
    for ((name, apart), taken_by) in names.into_iter().zip(apart).zip(taken) {
        let ratio = taken_by / taken[0];
        println!("{name:14} {:6.2} ms  {ratio:5.2}  differs by {apart:.0e}", taken_by * 1e3);
    }
    Ok(())
}

/// How far the parameters on the second buffer and PyTorch's differ from those on the first, and an error if any do
/// by more than rounding. Once buffers were exchanged both are a mixture, and only PyTorch's show what one of the two
/// left out.
fn compare(
    ours: &mut Buffers,
    theirs: &mut Buffers,
    torch: Option<&mut Torch>,
) -> Outcome<Vec<f64>> {
    let ours = ours.distance();
    let mut rows = vec![("the C loop", theirs.distance())];
    if let Some(torch) = torch {
        rows.push(("PyTorch", torch.distance()?));
    }
    let mut differences = Vec::new();
    for (name, far) in rows {
        let apart = (far / ours - 1.0).abs();
        if apart.is_nan() || apart > 1e-4 {
            return Err(format!("{name} did other work").into());
        }
        differences.push(apart);
    }
    Ok(differences)
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
