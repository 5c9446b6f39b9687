//! The matrix product beside its peers: one table of GFLOP/s, share of the FMA peak, ratio to the
//! best peer.
//!
//! Contestants take turns on every shape. Those in Rust share this process and its rayon pool;
//! each BLAS has a process of its own, because its threads spin after a call. All results are
//! checked against each other before anything is timed.

mod crates;
mod library;
mod product;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::Write;
use std::process::{Command, ExitCode};

use library::Worker;
use product::{Operands, Product};
use slimfit::Level;
use slimfit_peers::{fma_peak, median, median_ratio};

/// Shortest turn.
const TURN: f64 = 2e-3;

/// A BLAS that is looked for.
struct Blas {
    name: &'static str,
    /// The flag that says where it is.
    flag: &'static str,
    /// What the loader is asked for without the flag; nothing: Python is asked.
    file: Option<&'static str>,
    environment: &'static [(&'static str, &'static str)],
}

const LIBRARIES: [Blas; 7] = [
    Blas { name: "OpenBLAS", flag: "--openblas", file: None, environment: &[] },
    // The kernels that it does not choose by itself on processors newer than it.
    Blas {
        name: "OpenBLAS skx",
        flag: "--openblas",
        file: None,
        environment: &[("OPENBLAS_CORETYPE", "SKYLAKEX")],
    },
    Blas { name: "oneDNN", flag: "--onednn", file: Some("libdnnl.so"), environment: &[] },
    Blas { name: "BLIS", flag: "--blis", file: Some("libblis.so"), environment: &[] },
    Blas { name: "AOCL-BLIS", flag: "--aocl-blis", file: Some("libblis-mt.so"), environment: &[] },
    Blas {
        name: "MKL",
        flag: "--mkl",
        file: Some("libmkl_rt.so"),
        environment: &[("MKL_THREADING_LAYER", "GNU")],
    },
    Blas { name: "libxsmm", flag: "--libxsmm", file: Some("libxsmm.so"), environment: &[] },
];

/// Someone who multiplies.
enum Contestant {
    /// With what it made for the product at hand.
    Here(crates::Make, Option<crates::Multiply>),
    Worker(Worker),
}

impl Contestant {
    /// Seconds a call, over `calls` calls after as many that warm the caches.
    fn turn(&mut self, operands: &mut Operands, calls: u32) -> f64 {
        match self {
            Self::Here(make, made) => {
                let multiply = made.get_or_insert_with(|| make(&operands.product));
                operands.time(calls, multiply)
            }
            Self::Worker(worker) => worker.turn(&operands.product, calls),
        }
    }
}

fn flag(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|arg| arg == name).and_then(|i| args.get(i + 1)).cloned()
}

/// Where the PyPI package scipy-openblas32 keeps its library.
fn python_openblas() -> Option<String> {
    const WHERE: &str = "import glob, scipy_openblas32 as s; print(glob.glob(s.get_lib_dir() + '/lib*openblas.so')[0])";
    let output = Command::new("python3").args(["-c", WHERE]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--worker") {
        return library::work(&args[1..]);
    }
    if args.iter().any(|arg| arg == "--help") {
        println!(
            "gemm [--threads 1|2|..] [--shape TEXT] [--rounds N] \
             [--openblas|--onednn|--blis|--aocl-blis|--mkl|--libxsmm PATH]"
        );
        return ExitCode::SUCCESS;
    }
    let number = |name, default| flag(&args, name).map_or(default, |n| n.parse().expect(name));
    let (threads, rounds) = (number("--threads", 1), number("--rounds", 25));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| run(&args, threads, rounds));
    ExitCode::SUCCESS
}

fn run(args: &[String], threads: usize, rounds: usize) {
    let mut contestants: Vec<(String, Contestant)> = crates::all(threads)
        .into_iter()
        .map(|(name, make)| (name, Contestant::Here(make, None)))
        .collect();
    let ours = contestants.iter().filter(|(name, _)| name.starts_with("slimfit")).count();
    for Blas { name, flag: flag_name, file, environment } in LIBRARIES {
        let path = flag(args, flag_name)
            .or_else(|| file.map_or_else(python_openblas, |file| Some(file.to_owned())));
        match path.and_then(|path| Worker::start(&path, threads, environment)) {
            Some(worker) => contestants.push((name.to_owned(), Contestant::Worker(worker))),
            None => eprintln!("{name}: not found, left out"),
        }
    }

    let levels: Vec<Level> = crates::levels().collect();
    let peak_of = |level: Level| fma_peak(level) * threads as f64;
    for &level in &levels {
        println!("FMA peak {:.0} GFLOP/s at {level}", peak_of(level));
    }
    println!("{threads} thread(s), median of {rounds} turns\n");
    print!("| shape |");
    for (name, _) in &contestants {
        print!(" {name} |");
    }
    for level in &levels {
        print!(" {level} of peak |");
    }
    println!(" best peer | ratio |");
    println!("|---|{}", "---:|".repeat(contestants.len() + levels.len() + 2));

    let wanted = flag(args, "--shape").unwrap_or_default();
    for product in Product::wanted(&wanted, threads) {
        let mut operands = Operands::new(product, threads);
        let calls: Vec<u32> = contestants
            .iter_mut()
            .map(|(name, contestant)| {
                if let Contestant::Here(make, made) = contestant {
                    operands.check(name, made.insert(make(&product)));
                }
                let once = contestant.turn(&mut operands, 1);
                if once.is_nan() {
                    return 0;
                }
                let calls = (TURN / once).clamp(1.0, 1e5) as u32;
                let each = contestant.turn(&mut operands, calls);
                (TURN / each).clamp(1.0, 1e6).ceil() as u32
            })
            .collect();
        // What takes long needs fewer turns for a steady median.
        let rounds = if product.flops() > 2e9 { rounds.div_ceil(3) } else { rounds };
        let mut times = vec![Vec::with_capacity(rounds); contestants.len()];
        let mut peaks = vec![Vec::with_capacity(rounds); levels.len()];
        for round in 0..rounds {
            for (&level, peaks) in levels.iter().zip(&mut peaks) {
                peaks.push(peak_of(level));
            }
            // In another order each round, the same in every run: nobody always comes after the same one.
            let mut order: Vec<usize> = (0..contestants.len()).collect();
            order.sort_by_cached_key(|i| {
                BuildHasherDefault::<DefaultHasher>::new().hash_one((round, i))
            });
            for i in order {
                if calls[i] > 0 {
                    times[i].push(contestants[i].1.turn(&mut operands, calls[i]));
                }
            }
        }
        // Zero for whom does not do this product.
        let rate = |times: &Vec<f64>| {
            if times.is_empty() { 0.0 } else { product.flops() / median(&mut times.clone()) / 1e9 }
        };
        let rates: Vec<f64> = times.iter().map(rate).collect();
        let peers = &rates[ours..];
        let best = (0..peers.len()).max_by(|&i, &j| peers[i].total_cmp(&peers[j])).expect("a peer");
        print!("| {product} |");
        for rate in &rates {
            if *rate > 0.0 { print!(" {rate:.1} |") } else { print!(" |") }
        }
        let times_at_peak = peaks
            .iter()
            .map(|peaks| peaks.iter().map(|peak| product.flops() / peak / 1e9).collect::<Vec<_>>());
        // At one thread these are the prepared products, at more the plain ones.
        for (at_peak, times) in times_at_peak.zip(&times) {
            print!(" {:.1} % |", 100.0 * median_ratio(&at_peak, times));
        }
        let best = ours + best;
        println!(" {} | {:.2} |", contestants[best].0, median_ratio(&times[best], &times[0]));
        std::io::stdout().flush().expect("standard output");
    }
}
