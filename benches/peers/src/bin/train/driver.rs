//! Starts the contestants, gives them turns, and prints the tables.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use slimfit_peers::{end_with_this, median, median_ratio, resume, suspend};

use crate::job::Job;
use crate::{NATIVE, Outcome, Settings};

/// The contestants in Python.
const PYTHON: [&str; 7] = [
    "pytorch-loader",
    "pytorch-fused",
    "pytorch-compile",
    "keras-fit",
    "tensorflow-xla",
    "jax-scan",
    "scikit-learn",
];

/// Largest difference of a loss from slimfit's, as a part of it: rounding in other orders of
/// summation stays far below, other work does not.
const TOLERANCE: f64 = 1e-3;

/// A turn longer than this is taken in a few rounds only.
const SLOW: Duration = Duration::from_secs(4);
const SLOW_ROUNDS: usize = 3;

/// A contestant at work.
struct Worker {
    name: String,
    threads: usize,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    losses: Vec<f64>,
    /// Microseconds a step.
    times: Vec<f64>,
    slow: bool,
}

pub fn race(settings: &Settings) -> Outcome<()> {
    let directory = std::env::temp_dir().join(format!("slimfit-peers-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let mut same = true;
    for name in &settings.jobs {
        same &= race_job(settings, Job::named(name)?, &directory)?;
    }
    std::fs::remove_dir_all(&directory)?;
    if same { Ok(()) } else { Err("losses differ: not all did the same work".into()) }
}

/// One table; says whether all losses agree.
fn race_job(settings: &Settings, job: &Job, directory: &Path) -> Outcome<bool> {
    job.write(directory)?;
    let mut workers = Vec::new();
    for name in names(settings) {
        for &threads in &settings.threads {
            match Worker::start(settings, name, job, threads, directory) {
                Ok(worker) => workers.push(worker),
                Err(error) => eprintln!("{name} on {threads} threads is left out: {error}"),
            }
        }
    }
    for round in 0..settings.rounds {
        for worker in &mut workers {
            if worker.slow && round >= SLOW_ROUNDS {
                continue;
            }
            worker.turn(settings.turn)?;
        }
        eprint!("\r{}: round {} of {} ", job.name, round + 1, settings.rounds);
    }
    eprintln!();
    print_table(settings, job, &workers)
}

fn names(settings: &Settings) -> Vec<&'static str> {
    let python = PYTHON.iter().filter(|_| settings.python.is_some());
    let wanted = |name: &str| {
        let only = settings.only.as_ref();
        name == "slimfit" || only.is_none_or(|only| only.iter().any(|wanted| wanted == name))
    };
    NATIVE.iter().chain(python).copied().filter(|name| wanted(name)).collect()
}

impl Worker {
    fn start(
        settings: &Settings,
        name: &str,
        job: &Job,
        threads: usize,
        directory: &Path,
    ) -> Outcome<Self> {
        let arguments = [name, job.name, &threads.to_string()].map(str::to_string);
        let mut command = match &settings.python {
            Some(python) if PYTHON.contains(&name) => {
                let mut command = pinned(python, threads);
                command.arg(script()).arg("worker").args([name, &threads.to_string()]);
                command.arg(directory);
                command
            }
            _ => {
                let mut command = pinned(&std::env::current_exe()?, threads);
                command.arg("worker").args(arguments);
                command
            }
        };
        let log = directory.join(format!("{name}-{threads}.log"));
        command.stderr(std::fs::File::create(&log)?);
        // A run that was stopped may have left half of a compiled module in the usual cache.
        command.env("TORCHINDUCTOR_CACHE_DIR", directory.join("inductor"));
        end_with_this(&mut command);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err("a pipe is missing".into());
        };
        let mut worker = Self {
            name: name.to_string(),
            threads,
            process,
            input,
            output: BufReader::new(output),
            losses: Vec::new(),
            times: Vec::new(),
            slow: false,
        };
        eprint!("\r{}: starting {name} on {threads}          ", job.name);
        match worker.answer("ready") {
            Ok(losses) => {
                suspend(&worker.process);
                worker.losses = losses;
            }
            Err(error) => {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
                let last = lines.clone().next().unwrap_or_default();
                let cause = lines.find(|line| line.contains("Error")).unwrap_or(last);
                return Err(format!("{error}, saying: {cause}").into());
            }
        }
        Ok(worker)
    }

    fn turn(&mut self, seconds: f64) -> Outcome<()> {
        resume(&self.process);
        let start = Instant::now();
        writeln!(self.input, "{seconds}")?;
        let numbers = self.answer("turn")?;
        suspend(&self.process);
        let [taken, steps] = numbers[..] else {
            return Err(format!("{} did not say two numbers", self.name).into());
        };
        self.times.push(taken / steps * 1e6);
        self.slow |= start.elapsed() > SLOW;
        Ok(())
    }

    /// The numbers of the next line that begins with `word`; libraries may write others.
    fn answer(&mut self, word: &str) -> Outcome<Vec<f64>> {
        let mut line = String::new();
        while self.output.read_line(&mut line)? > 0 {
            let mut words = line.split_whitespace();
            if words.next() == Some(word) {
                return Ok(words.map(str::parse).collect::<Result<_, _>>()?);
            }
            line.clear();
        }
        Err(format!("{} ended", self.name).into())
    }

    fn median(&self) -> f64 {
        median(&mut self.times.clone())
    }

    /// How many times the other's its times are.
    fn ratio(&self, other: &Self) -> f64 {
        median_ratio(&self.times, &other.times)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that sees no more processors than it has threads, and is told so in every way that
/// some library listens to.
fn pinned(program: &Path, threads: usize) -> Command {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let last = all - 1;
    let first = all.saturating_sub(threads);
    let mut command = Command::new("taskset");
    command.args(["-c", &format!("{first}-{last}")]).arg(program);
    for name in [
        "RAYON_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NPROC",
        "TF_NUM_INTRAOP_THREADS",
    ] {
        command.env(name, threads.to_string());
    }
    command
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/bench.py")
}

/// Prints a row for each contestant; says whether all losses agree.
fn print_table(settings: &Settings, job: &Job, workers: &[Worker]) -> Outcome<bool> {
    let reference = workers.first().ok_or("slimfit did not start")?.losses.clone();
    let find = |name: &str, threads: usize| {
        workers.iter().find(|worker| worker.name == name && worker.threads == threads)
    };
    println!("\n### {}\n", job.title());
    print!("| µs a step ");
    for threads in &settings.threads {
        print!("| {threads} thread{} | ratio ", if *threads == 1 { "" } else { "s" });
    }
    println!("| loss differs by |");
    println!("|---{}|---:|", "|---:|---:".repeat(settings.threads.len()));
    let mut same = true;
    for name in names(settings) {
        let difference = workers
            .iter()
            .filter(|worker| worker.name == name)
            .flat_map(|worker| differences(&worker.losses, &reference))
            .reduce(f64::max);
        let Some(difference) = difference else { continue };
        print!("| {name} ");
        for &threads in &settings.threads {
            match (find(name, threads), find("slimfit", threads)) {
                (Some(worker), Some(slimfit)) => {
                    print!("| {:.1} | {:.2} ", worker.median(), worker.ratio(slimfit));
                }
                _ => print!("| | "),
            }
        }
        let verdict = if difference <= TOLERANCE { "" } else { " **not the same work**" };
        println!("| {difference:.0e}{verdict} |");
        same &= difference <= TOLERANCE;
    }
    println!("\nLosses of slimfit's first {} epochs: {reference:.5?}", job.check_epochs);
    Ok(same)
}

fn differences(losses: &[f64], reference: &[f64]) -> Vec<f64> {
    if losses.len() != reference.len() {
        return vec![f64::INFINITY];
    }
    let part = |(loss, reference): (&f64, &f64)| ((loss - reference) / reference).abs();
    // A NaN must not pass for agreement.
    losses
        .iter()
        .zip(reference)
        .map(part)
        .map(|d| if d.is_nan() { f64::INFINITY } else { d })
        .collect()
}

/// Runs every contestant on MNIST, one after the other, and prints what they say.
pub fn mnist(settings: &Settings, directory: &Path) -> Outcome<()> {
    println!("| to 98 % test accuracy | threads | seconds | epochs | accuracy |");
    println!("|---|---:|---:|---:|---:|");
    for &threads in &settings.threads {
        let mut command = pinned(&std::env::current_exe()?, threads);
        command.arg("mnist-worker").arg(threads.to_string()).arg(directory);
        run("slimfit", command)?;
        let Some(python) = &settings.python else { continue };
        for name in ["pytorch-loader", "pytorch-fused", "keras-fit"] {
            let mut command = pinned(python, threads);
            command.arg(script()).args(["mnist", name, &threads.to_string()]).arg(directory);
            run(name, command)?;
        }
    }
    Ok(())
}

fn run(name: &str, mut command: Command) -> Outcome<()> {
    let output = command.stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find(|line| line.starts_with('|')) {
        Some(row) => println!("{row}"),
        None => eprintln!("{name} failed"),
    }
    Ok(())
}
