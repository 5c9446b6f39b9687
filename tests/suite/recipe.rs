//! The whole recipe on real data: a CSV file in, an evaluated model out.
#![cfg(feature = "csv")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use slimfit::csv::{self, CsvOptions, Task};
use slimfit::dataset::{Dataset, Stratify};
use slimfit::kernels::optim::Penalty;
use slimfit::preprocess::Standardizer;
use slimfit::{Activation, FitOptions, Layer, Level, Loss, Metric, Model};

struct Recipe {
    file: &'static str,
    target: &'static str,
    task: Task,
}

const BREAST_CANCER: Recipe =
    Recipe { file: "breast_cancer.csv", target: "diagnosis", task: Task::Classification };
const PENGUINS: Recipe =
    Recipe { file: "penguins.csv", target: "species", task: Task::Classification };
const DIGITS: Recipe = Recipe { file: "digits.csv", target: "digit", task: Task::Classification };
const WINE: Recipe =
    Recipe { file: "winequality_red.csv", target: "quality", task: Task::Regression };

/// Standardised training and test rows, and the scale of the targets.
struct Prepared {
    train: Dataset,
    test: Dataset,
    target_scale: f64,
}

impl Recipe {
    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(self.file)
    }

    fn prepare(&self, seed: u64) -> Prepared {
        let mut data =
            csv::read_path(self.path(), &CsvOptions::new(self.target, self.task)).unwrap();
        data.drop_missing();
        let regression = self.task == Task::Regression;
        let stratify = if regression { Stratify::Off } else { Stratify::ByClass };
        let (mut train, mut test) = data.split(0.2, seed, stratify).unwrap();
        let features = Standardizer::fit(&train).unwrap();
        features.apply(&mut train).unwrap();
        features.apply(&mut test).unwrap();
        let mut target_scale = 1.0;
        if regression {
            let targets = Standardizer::fit_targets(&train).unwrap();
            targets.apply_targets(&mut train).unwrap();
            targets.apply_targets(&mut test).unwrap();
            target_scale = targets.scale()[0];
        }
        Prepared { train, test, target_scale }
    }

    /// 32-16, relu, with a last layer and loss that suit the task.
    fn model(&self, train: &Dataset, seed: u64) -> Model {
        let (outputs, loss) = match (self.task, train.classes().len()) {
            (Task::Regression, _) => (1, Loss::MeanSquaredError),
            (_, 2) => (1, Loss::BinaryCrossEntropy),
            (_, classes) => (classes, Loss::CategoricalCrossEntropy),
        };
        let layers = [
            Layer::new(train.feature_count(), 32, Activation::Relu),
            Layer::new(32, 16, Activation::Relu),
            Layer::new(16, outputs, Activation::Identity),
        ];
        Model::new(&layers, loss, seed).unwrap()
    }

    /// Accuracy or RMSE (in the units of the file) on the test rows, mean over five seeds.
    fn mean_score(&self) -> f64 {
        let score = |seed| {
            let Prepared { train, test, target_scale } = self.prepare(seed);
            let mut model = self.model(&train, seed);
            let options = FitOptions { epochs: 50, seed, ..FitOptions::default() };
            model.fit(&train, None, &options, |_| ControlFlow::Continue(())).unwrap();
            match model.evaluate(&test).unwrap().metric {
                Metric::Accuracy(accuracy) => accuracy,
                Metric::Regression { rmse, .. } => rmse * target_scale,
                other => panic!("{other:?}"),
            }
        };
        let mean = (0..5).map(score).sum::<f64>() / 5.0;
        println!("{}: {mean:.4}", self.file);
        mean
    }
}

#[test]
fn breast_cancer() {
    assert!(BREAST_CANCER.mean_score() >= 0.955);
}

#[test]
fn penguins() {
    assert!(PENGUINS.mean_score() >= 0.98);
}

#[test]
fn digits() {
    assert!(DIGITS.mean_score() >= 0.965);
}

#[test]
fn wine_quality() {
    assert!(WINE.mean_score() <= 0.67);
}

/// Parameters after ten epochs, as bits.
fn ten_epochs(recipe: &Recipe, level: Level, threads: Option<usize>) -> Vec<u32> {
    let Prepared { train, test, .. } = recipe.prepare(7);
    let mut model = recipe.model(&train, 7);
    model.set_level(level);
    let penalty = Penalty { l1: 1e-5, l2: 1e-4 };
    let options = FitOptions { epochs: 10, seed: 7, penalty, threads, ..FitOptions::default() };
    model.fit(&train, Some(&test), &options, |_| ControlFlow::Continue(())).unwrap();
    model.params().iter().map(|p| p.to_bits()).collect()
}

#[test]
fn fused_levels_train_to_the_same_bits() {
    for recipe in [BREAST_CANCER, PENGUINS, DIGITS, WINE] {
        let fused = Level::available().filter(|level| level.is_fused());
        let runs: Vec<_> = fused.map(|level| ten_epochs(&recipe, level, Some(1))).collect();
        // Two, where the machine has the wider one: then it has the narrower one.
        assert!(runs.len() >= 2 || Level::avx512().is_none());
        assert!(runs.windows(2).all(|pair| pair[0] == pair[1]), "{}", recipe.file);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for level in Level::available() {
        let alone = ten_epochs(&BREAST_CANCER, level, Some(1));
        for threads in [Some(2), Some(4), None] {
            assert!(alone == ten_epochs(&BREAST_CANCER, level, threads), "{threads:?} at {level}");
        }
    }
}
