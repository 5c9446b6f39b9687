//! MNIST by slimfit: 784-512-256-10, Adam, batches of 128, until 98 % of the test images are right.
//!
//! The time is that of the epochs, the test after each included.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::read::GzDecoder;
use slimfit::dataset::Dataset;
use slimfit::{Activation, BatchSize, FitOptions, Layer, Loss, Metric, Model};

use crate::Outcome;

/// Epochs after which to give up.
const EPOCHS: usize = 20;
const WANTED: f64 = 0.98;

/// Trains, and prints a row of the table.
pub fn run(threads: usize, directory: PathBuf) -> Outcome<()> {
    let train = read(&directory, "train")?;
    let test = read(&directory, "t10k")?;
    let layers = [
        Layer::new(784, 512, Activation::Relu),
        Layer::new(512, 256, Activation::Relu),
        Layer::new(256, 10, Activation::Identity),
    ];
    let mut model = Model::new(&layers, Loss::CategoricalCrossEntropy, 0)?;
    let options = FitOptions {
        epochs: EPOCHS,
        batch_size: BatchSize::Fixed(128),
        threads: Some(threads),
        ..FitOptions::default()
    };
    let (mut epochs, mut reached) = (0, 0.0);
    let start = Instant::now();
    model.fit(&train, Some(&test), &options, |epoch| {
        epochs = epoch.epoch + 1;
        if let Some(Metric::Accuracy(accuracy)) = epoch.validation.map(|test| test.metric) {
            reached = accuracy;
        }
        if reached >= WANTED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let taken = start.elapsed().as_secs_f64();
    println!("| slimfit | {threads} | {taken:.2} | {epochs} | {:.2} % |", reached * 100.0);
    Ok(())
}

/// The images, as numbers from 0 to 1, and their digits.
fn read(directory: &Path, part: &str) -> Outcome<Dataset> {
    let images = idx(&directory.join(format!("{part}-images-idx3-ubyte.gz")), 16)?;
    let digits = idx(&directory.join(format!("{part}-labels-idx1-ubyte.gz")), 8)?;
    let features = images.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let digits: Vec<_> = digits.iter().map(|&digit| usize::from(digit)).collect();
    let names = (0..10).map(|digit| digit.to_string()).collect();
    Ok(Dataset::classification(features, 784, &digits, names)?)
}

/// The bytes of a gzipped IDX file after its header.
fn idx(path: &Path, header: usize) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    if bytes.len() < header {
        return Err(format!("{} is cut short", path.display()).into());
    }
    Ok(bytes.split_off(header))
}
