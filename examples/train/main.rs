//! The main job: a CSV file in, an evaluated model and its learning curve out.
//!
//! ```sh
//! cargo run --release --example train
//! cargo run --release --example train -- tests/data/penguins.csv --target species
//! cargo run --release --example train -- tests/data/digits.csv
//! cargo run --release --example train -- tests/data/winequality_red.csv --task regression
//! cargo run --release --example train -- --help
//! ```
//!
//! The recipe: rows with missing cells are dropped; a test part is split off, and a validation part
//! from the rest, by class where there are classes; features (and the targets of a regression) are
//! standardised by the training part alone; a network of dense layers is trained in batches, and
//! measured on the validation part after each epoch; the test part is looked at once, at the end.

mod args;
mod plot;
mod report;

use std::error::Error;
use std::fmt;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use slimfit::csv::{CsvOptions, Table, Task};
use slimfit::dataset::{Dataset, Stratify};
use slimfit::preprocess::Standardizer;
use slimfit::{Activation, EpochReport, History, Layer, Loss, Metric, Model};

use crate::args::Args;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The parts of the data, as the network sees them.
struct Parts {
    train: Dataset,
    validation: Option<Dataset>,
    test: Dataset,
    /// From the targets of a regression to those that the network sees.
    target_scaler: Option<Standardizer>,
}

impl Parts {
    /// What an error of 1 in the network's targets is in those of the file.
    fn target_scale(&self) -> f64 {
        self.target_scaler.as_ref().map_or(1.0, |scaler| scaler.scale()[0])
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let options = args.fit_options();
    let curve = args.curve_path()?;
    let data = load(args)?;
    let parts = prepare(&data, args)?;
    println!(
        "{} rows to train on, {} to validate, {} to test",
        parts.train.rows(),
        parts.validation.as_ref().map_or(0, Dataset::rows),
        parts.test.rows()
    );

    let (layers, loss) = network(args, &data);
    let mut model = Model::new(&layers, loss, args.seed)?;
    report::print_model(&model, args);
    let progress = Progress::new(args.epochs, parts.target_scale());
    let start = Instant::now();
    let validation = parts.validation.as_ref();
    let history = model.fit(&parts.train, validation, &options, |epoch| progress.show(epoch))?;
    progress.finish();
    let duration = start.elapsed();
    print!("{} epochs in {duration:.2?}", history.epochs.len());
    match history.best_epoch {
        Some(best) => println!("; the parameters are those of epoch {}", best + 1),
        None => println!(),
    }

    if let Some(threads) = args.threads {
        // Evaluation and prediction run in the pool around them: here, rayon's global one.
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    report::print_test(&model, &parts.test, parts.target_scaler.as_ref())?;
    if let Some(path) = curve {
        plot::write(path, &history, parts.target_scale())?;
        println!("\nlearning curve: {}", path.display());
    }
    Ok(())
}

/// Reads the table, says what it is, and drops rows with missing cells.
fn load(args: &Args) -> Result<Dataset, Box<dyn Error>> {
    let table = Table::open(&args.data, args.delimiter())?;
    let last = table.columns().last().ok_or("the table has no columns")?;
    let target = args.target.as_ref().unwrap_or(last);
    let task = match args.task() {
        Some(task) => task,
        None => Task::guess(&table, target)?,
    };
    let mut data = table.dataset(&CsvOptions {
        categorical: args.categorical.clone(),
        ignore: args.ignore.clone(),
        ..CsvOptions::new(target, task)
    })?;
    println!(
        "{}: {} rows, {} features; target \"{target}\": {}",
        args.data.display(),
        data.rows(),
        data.feature_count(),
        match task {
            Task::Regression => "regression".into(),
            Task::Classification => format!("classification ({})", data.classes().join(", ")),
        }
    );
    let dropped = data.drop_missing();
    println!("{dropped} rows with missing cells dropped");
    data.check()?;
    Ok(data)
}

/// Splits, and standardises by the training part.
fn prepare(data: &Dataset, args: &Args) -> Result<Parts, slimfit::Error> {
    let stratify = if data.is_classification() { Stratify::ByClass } else { Stratify::Off };
    let (mut train, mut test) = data.split(args.test, args.seed, stratify)?;
    let mut validation = None;
    if args.validation != 0.0 {
        let (rest, part) = train.split(args.validation, args.seed, stratify)?;
        (train, validation) = (rest, Some(part));
    }
    let features = Standardizer::fit(&train)?;
    let target_scaler =
        (!data.is_classification()).then(|| Standardizer::fit_targets(&train)).transpose()?;
    for part in [Some(&mut train), validation.as_mut(), Some(&mut test)].into_iter().flatten() {
        features.apply(part)?;
        if let Some(targets) = &target_scaler {
            targets.apply_targets(part)?;
        }
    }
    Ok(Parts { train, validation, test, target_scaler })
}

/// Hidden layers as asked for, and a last layer and a loss that suit the task.
fn network(args: &Args, data: &Dataset) -> (Vec<Layer>, Loss) {
    let (outputs, loss) = match data.classes().len() {
        0 => (data.target_count(), Loss::MeanSquaredError),
        2 => (1, Loss::BinaryCrossEntropy),
        classes => (classes, Loss::CategoricalCrossEntropy),
    };
    let mut inputs = data.feature_count();
    let mut layers = Vec::new();
    for &units in &args.hidden {
        layers.push(Layer::new(inputs, units, args.activation()));
        inputs = units;
    }
    // Sigmoid and softmax are part of the losses, which take what comes before them.
    layers.push(Layer::new(inputs, outputs, Activation::Identity));
    (layers, loss)
}

/// A bar on a terminal; elsewhere ten lines.
struct Progress {
    bar: ProgressBar,
    epochs: usize,
    target_scale: f64,
}

impl Progress {
    fn new(epochs: usize, target_scale: f64) -> Self {
        let bar = ProgressBar::new(epochs as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} epoch {pos}/{len}  {msg}") {
            bar.set_style(style);
        }
        Self { bar, epochs, target_scale }
    }

    fn show(&self, epoch: &EpochReport) -> ControlFlow<()> {
        let text = Summary { epoch, target_scale: self.target_scale }.to_string();
        let number = epoch.epoch + 1;
        if self.bar.is_hidden() && number.is_multiple_of(self.epochs.div_ceil(10)) {
            println!("epoch {number}/{}  {text}", self.epochs);
        }
        self.bar.set_message(text);
        self.bar.inc(1);
        ControlFlow::Continue(())
    }

    fn finish(&self) {
        // An early stop leaves the bar where it is.
        self.bar.abandon();
    }
}

/// An epoch in a line.
struct Summary<'a> {
    epoch: &'a EpochReport,
    target_scale: f64,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.epoch.loss)?;
        let Some(validation) = self.epoch.validation else { return Ok(()) };
        write!(f, ", validation loss {:.4}", validation.loss)?;
        match measure(validation.metric, self.target_scale) {
            Some((name, value)) => write!(f, ", {name} {value:.4}"),
            None => Ok(()),
        }
    }
}

/// Name and value of a metric, in the units of the file.
fn measure(metric: Metric, target_scale: f64) -> Option<(&'static str, f64)> {
    match metric {
        Metric::Accuracy(accuracy) => Some(("accuracy", accuracy)),
        Metric::Regression { rmse, .. } => Some(("RMSE", rmse * target_scale)),
        _ => None,
    }
}

/// The lines of the learning curve, with a number for each epoch; those of the validation are
/// empty if there was none.
struct Curves {
    train_loss: Vec<f64>,
    validation_loss: Vec<f64>,
    metric_name: &'static str,
    metric: Vec<f64>,
}

impl Curves {
    fn new(history: &History, target_scale: f64) -> Self {
        let validations = || history.epochs.iter().filter_map(|epoch| epoch.validation);
        let measures: Vec<_> =
            validations().filter_map(|v| measure(v.metric, target_scale)).collect();
        Self {
            train_loss: history.epochs.iter().map(|epoch| epoch.loss).collect(),
            validation_loss: validations().map(|validation| validation.loss).collect(),
            metric_name: measures.first().map_or("", |(name, _)| name),
            metric: measures.into_iter().map(|(_, value)| value).collect(),
        }
    }
}
