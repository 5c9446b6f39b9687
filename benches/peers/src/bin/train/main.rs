//! Training beside the frameworks: whole epochs (shuffle, gather, step; no evaluation), microseconds
//! a step, on one thread and on more.
//!
//! `cargo run --release --features burn,candle,dfdx --bin train -- --python .venv/bin/python`;
//! `--help` lists the flags. Every contestant is a process of its own, for a framework's threads
//! are settled when it starts; all of a job's contestants run at the same time and take turns.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "dfdx")]
mod dfdx;
mod driver;
mod job;
mod mnist;
mod slimfit;
#[cfg(any(feature = "burn", feature = "candle", feature = "dfdx"))]
mod trainer;
mod worker;

use std::path::PathBuf;

use job::Job;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
train [flags]
  --python PATH     interpreter with python/requirements.txt installed; without it only Rust runs
  --jobs NAMES      of small,medium,large                          [all]
  --only NAMES      contestants beside slimfit                     [all that were built]
  --threads COUNTS  a run of each contestant for each              [1,2]
  --rounds N        turns of each contestant                       [11]
  --turn SECONDS    least length of a turn                         [0.1]
  --mnist DIR       instead: time to 98 % test accuracy on MNIST, from its four gzipped IDX files
";

/// What the flags say.
pub struct Settings {
    pub python: Option<PathBuf>,
    pub jobs: Vec<String>,
    pub only: Option<Vec<String>>,
    pub threads: Vec<usize>,
    pub rounds: usize,
    pub turn: f64,
    pub mnist: Option<PathBuf>,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["worker", name, job, threads] => {
            let mut contestant = contestant(name, Job::named(job)?, threads.parse()?)?;
            worker::serve(contestant.as_mut())
        }
        ["mnist-worker", threads, directory] => {
            mnist::run(threads.parse()?, PathBuf::from(directory))
        }
        ["--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            let settings = settings(&arguments)?;
            match &settings.mnist {
                Some(directory) => driver::mnist(&settings, directory),
                None => driver::race(&settings),
            }
        }
    }
}

fn settings(arguments: &[String]) -> Outcome<Settings> {
    let mut settings = Settings {
        python: None,
        jobs: job::JOBS.iter().map(|job| job.name.to_string()).collect(),
        only: None,
        threads: vec![1, 2],
        rounds: 11,
        turn: 0.1,
        mnist: None,
    };
    let list = |text: &str| text.split(',').map(str::to_string).collect::<Vec<_>>();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{flag} needs a value; see --help"))?;
        match flag.as_str() {
            "--python" => settings.python = Some(value.into()),
            "--jobs" => settings.jobs = list(value),
            "--only" => settings.only = Some(list(value)),
            "--threads" => {
                settings.threads = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--rounds" => settings.rounds = value.parse::<usize>()?.max(1),
            "--turn" => settings.turn = value.parse()?,
            "--mnist" => settings.mnist = Some(value.into()),
            _ => return Err(format!("{flag} is no flag; see --help").into()),
        }
    }
    Ok(settings)
}

/// The contestants of this executable, slimfit first.
const NATIVE: &[&str] = &[
    "slimfit",
    #[cfg(feature = "candle")]
    "candle",
    #[cfg(feature = "burn")]
    "burn",
    #[cfg(feature = "dfdx")]
    "dfdx",
];

fn contestant(
    name: &str,
    job: &'static Job,
    threads: usize,
) -> Outcome<Box<dyn worker::Contestant>> {
    Ok(match name {
        "slimfit" => Box::new(slimfit::Slimfit::new(job, threads)?),
        #[cfg(feature = "candle")]
        "candle" => Box::new(trainer::Epochs { job, trainer: candle::Candle::new(job)? }),
        #[cfg(feature = "burn")]
        "burn" => Box::new(trainer::Epochs { job, trainer: burn::Burn::new(job)? }),
        #[cfg(feature = "dfdx")]
        "dfdx" => dfdx::contestant(job)?,
        _ => return Err(format!("no contestant is named {name}").into()),
    })
}
