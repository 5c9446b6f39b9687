//! The trainer: a model that owns its parameters, `fit`, `evaluate`, `predict`.
//!
//! `fit` runs epochs of minibatch steps over a shuffled data set. All buffers are made before the
//! first epoch. Work is split between threads only where it pays, and never changes a bit: neither
//! does the number of threads.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use slimfit_kernels::loss::{self, Link, Loss, Weights};
use slimfit_kernels::optim::Penalty;
use slimfit_kernels::{Error as KernelError, Level};

use crate::aligned::Aligned;
use crate::batch::{BatchSize, Batches};
use crate::dataset::Dataset;
use crate::error::{Error, check_len, zeros};
use crate::executor::{Awake, Executor, Rayon};
use crate::metrics::{self, Outputs};
use crate::mlp::{Batch, Layer, LayerProducts, Mlp, OptimizerState, StepOptions, Workspace};
use crate::optimizer::Optimizer;
use crate::rng::{self, Stream};
use crate::schedule::Schedule;

/// Rows that one prediction pass takes at a time. A constant, so that the shapes of the products,
/// and with them the bits, do not depend on the number of threads.
const PREDICT_ROWS: usize = 256;

/// Multiply-adds below which a prediction is not split between threads.
const PREDICT_PIECE: usize = 1 << 20;

/// More threads than this are taken for a mistake.
const MAX_THREADS: usize = 1024;

/// A network with its parameters and its loss.
///
/// ```
/// use slimfit::dataset::Dataset;
/// use slimfit::{Activation, FitOptions, Layer, Loss, Metric, Model};
/// use std::ops::ControlFlow;
///
/// let inputs = vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
/// let classes = vec!["same".to_string(), "different".to_string()];
/// let xor = Dataset::classification(inputs, 2, &[0, 1, 1, 0], classes)?;
///
/// let layers = [Layer::new(2, 8, Activation::Tanh), Layer::new(8, 1, Activation::Identity)];
/// let mut model = Model::new(&layers, Loss::BinaryCrossEntropy, 1)?;
/// let mut options = FitOptions { epochs: 200, ..FitOptions::default() };
/// options.optimizer = options.optimizer.with_learning_rate(0.05);
/// model.fit(&xor, None, &options, |_| ControlFlow::Continue(()))?;
/// assert_eq!(model.evaluate(&xor)?.metric, Metric::Accuracy(1.0));
/// # Ok::<(), slimfit::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    layers: Vec<Layer>,
    loss: Loss,
    params: Vec<f32>,
    level: Level,
}

/// How to fit.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows of a step.
    pub batch_size: BatchSize,
    /// The optimizer and its learning rate.
    pub optimizer: Optimizer,
    /// How the learning rate changes from epoch to epoch.
    pub schedule: Schedule,
    /// L1 and L2 penalties on the weights.
    pub penalty: Penalty,
    /// Largest L2 norm of the gradient.
    pub clip_norm: Option<f32>,
    /// A weight for each class in the training loss, for classes of very different sizes.
    pub class_weights: Option<Vec<f32>>,
    /// When to stop early.
    pub early_stopping: Option<EarlyStopping>,
    /// Seed of the shuffles and of random batch sizes.
    pub seed: u64,
    /// Threads to use, in a pool made for this call; `None` for those of the rayon pool around it. Any
    /// number gives the same bits. A pool of its own is kept awake from the first epoch to the last if
    /// products are split, which saves a tenth of a step of 784-512-256-10, and keeps its processors
    /// busy.
    pub threads: Option<usize>,
}

impl Default for FitOptions {
    /// 50 epochs of batches of 32 by Adam, nothing else.
    fn default() -> Self {
        Self {
            epochs: 50,
            batch_size: BatchSize::Fixed(32),
            optimizer: Optimizer::default(),
            schedule: Schedule::Constant,
            penalty: Penalty::default(),
            clip_norm: None,
            class_weights: None,
            early_stopping: None,
            seed: 0,
            threads: None,
        }
    }
}

/// Stops when the loss no longer falls, and goes back to the parameters of the best epoch.
///
/// The loss is that of the validation data, or without these the training loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Epochs without a new best loss after which to stop; at least 1.
    pub patience: usize,
    /// How much lower a loss must be to be a new best one.
    pub min_delta: f32,
}

/// What is known after an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochReport {
    /// Epochs count from 0.
    pub epoch: usize,
    /// Mean training loss over the epoch's rows, each taken before its step's update.
    pub loss: f64,
    /// The same with the penalties.
    pub total_loss: f64,
    /// Learning rate of the epoch.
    pub learning_rate: f32,
    /// Steps of the epoch.
    pub steps: usize,
    /// Rows of the epoch's largest step.
    pub batch_size: usize,
    /// Loss and metric on the validation data.
    pub validation: Option<Evaluation>,
    /// Time of the epoch's steps, validation left out.
    pub duration: Duration,
}

/// What `fit` did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// One report an epoch.
    pub epochs: Vec<EpochReport>,
    /// With early stopping: the epoch whose parameters the model has.
    pub best_epoch: Option<usize>,
}

/// Loss and metric on a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss, without penalties and class weights.
    pub loss: f64,
    /// What suits the task.
    pub metric: Metric,
}

/// What tells a person how good a model is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// Classification: the share of rows whose most probable class is the right one.
    Accuracy(f64),
    /// Regression.
    Regression {
        /// Root of the mean squared error.
        rmse: f64,
        /// Coefficient of determination.
        r2: f64,
    },
}

impl Model {
    /// A network with weights drawn for its activations; see [`Mlp::init`].
    ///
    /// # Errors
    /// As [`Mlp::new`], and if the loss does not go with the last layer.
    pub fn new(layers: &[Layer], loss: Loss, seed: u64) -> Result<Self, Error> {
        let mlp = Mlp::new(layers)?;
        let mut params = zeros("parameters", mlp.parameter_len())?;
        mlp.init(None, &mut rng::generator(seed, Stream::Weights), &mut params)?;
        Self::from_params(layers, loss, params)
    }

    /// A network with given parameters, in the order of [`Mlp`].
    ///
    /// # Errors
    /// As [`Mlp::new`]; if the number of parameters or the last layer is wrong, or a parameter is not
    /// finite.
    pub fn from_params(layers: &[Layer], loss: Loss, params: Vec<f32>) -> Result<Self, Error> {
        let mlp = Mlp::new(layers)?;
        mlp.check_params(&params)?;
        if let Some(found) = params.iter().copied().find(|param| !param.is_finite()) {
            let (what, expected) = ("a parameter", "finite");
            return Err(KernelError::Parameter { what, expected, found }.into());
        }
        mlp.check_loss(loss)?;
        loss.check()?;
        if loss == Loss::CategoricalCrossEntropy && mlp.outputs() < 2 {
            let (expected, found) = (2, mlp.outputs());
            let what = "outputs for classes (at least)";
            return Err(KernelError::Length { what, expected, found }.into());
        }
        if loss == Loss::BinaryCrossEntropy && mlp.outputs() != 1 {
            let (expected, found) = (1, mlp.outputs());
            return Err(KernelError::Length {
                what: "outputs for a binary class",
                expected,
                found,
            }
            .into());
        }
        Ok(Self { layers: layers.to_vec(), loss, params, level: Level::detect() })
    }

    /// The network's shape.
    ///
    /// # Panics
    /// Never: the layers were checked when the model was made.
    #[must_use]
    pub fn mlp(&self) -> Mlp<'_> {
        Mlp::new(&self.layers).expect("layers are checked by the constructors")
    }

    /// All parameters, in the order of [`Mlp`].
    #[must_use]
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The loss that the model was made for.
    #[must_use]
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The instruction set in use: at first the widest of the machine.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Uses another instruction set.
    pub fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Trains on `train`; after each epoch measures on `validation`, and calls `on_epoch`, which
    /// may stop the training.
    ///
    /// With `epochs: 0` nothing is done. A batch larger than the data holds all rows.
    ///
    /// # Errors
    /// For data that are not finite, have no rows or only one class, or do not fit the network or each
    /// other; for settings out of range; and if a loss or a parameter becomes NaN or infinite. The
    /// model is unchanged then.
    pub fn fit(
        &mut self,
        train: &Dataset,
        validation: Option<&Dataset>,
        options: &FitOptions,
        on_epoch: impl FnMut(&EpochReport) -> ControlFlow<()> + Send,
    ) -> Result<History, Error> {
        self.check_data(train)?;
        train.check_classes()?;
        if let Some(validation) = validation {
            self.check_data(validation)?;
            if validation.classes() != train.classes() {
                return Err(Error::Task { what: "the validation data have other classes" });
            }
            if validation.feature_names() != train.feature_names() {
                return Err(Error::Task { what: "the validation data have other feature columns" });
            }
        }
        options.check()?;
        let level = self.level;
        match options.threads {
            Some(1) => Fit::new(self, train, validation, options, &level)?.run(&level, on_epoch),
            Some(threads) => {
                let executor = Rayon { level, threads };
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .map_err(|error| Error::Threads { threads, reason: error.to_string() })?;
                let fit = Fit::new(self, train, validation, options, &executor)?;
                let processors = std::thread::available_parallelism().map_or(1, usize::from);
                if fit.is_whole() || threads > processors {
                    return pool.install(|| fit.run(&executor, on_epoch));
                }
                pool.install(|| Awake::run(executor, |awake| fit.run(&awake, on_epoch)))
            }
            None => {
                let executor = Rayon::here(level);
                let fit = Fit::new(self, train, validation, options, &executor)?;
                if executor.threads == 1 {
                    return fit.run(&executor, on_epoch);
                }
                // Enters the pool once, so that no step has to.
                rayon::scope(|_| fit.run(&executor, on_epoch))
            }
        }
    }

    /// Loss and metric on a data set.
    ///
    /// # Errors
    /// For data that are not finite, have no rows, or do not fit the network.
    pub fn evaluate(&self, data: &Dataset) -> Result<Evaluation, Error> {
        self.check_data(data)?;
        let executor = Rayon::here(self.level);
        Evaluator::new(&self.mlp(), self.loss, data, &executor)?.evaluate(&executor, &self.params)
    }

    /// The network's answers to `features`, `[rows, inputs]` row-major: probabilities of the class 1
    /// (binary) or of each class, or values; `[rows, outputs]`.
    ///
    /// # Errors
    /// If `features` is not a whole number of rows.
    pub fn predict(&self, features: &[f32]) -> Result<Vec<f32>, Error> {
        let mlp = self.mlp();
        let rows = features.len() / mlp.inputs();
        let whole = features.len().next_multiple_of(mlp.inputs());
        check_len("features (whole rows)", features.len(), whole)?;
        let mut out = zeros("predictions", rows.saturating_mul(mlp.outputs()))?;
        let executor = Rayon::here(self.level);
        let mut workspace = zeros("workspace", predict_len(&mlp, rows, &executor))?;
        let link = self.loss.link();
        predict(&executor, &mlp, link, &self.params, features, &mut out, &mut workspace)?;
        Ok(out)
    }

    fn check_data(&self, data: &Dataset) -> Result<(), Error> {
        if data.rows() == 0 {
            return Err(Error::Empty { what: "a data set has no rows" });
        }
        data.check_finite()?;
        let mlp = self.mlp();
        let classes = if self.loss == Loss::BinaryCrossEntropy { 2 } else { mlp.outputs() };
        let categorical = self.loss.link() != Link::Identity;
        for (what, expected, found) in [
            ("features of the data", mlp.inputs(), data.feature_count()),
            if categorical {
                ("classes of the data", classes, data.classes().len())
            } else {
                ("targets of the data", mlp.outputs(), data.target_count())
            },
        ] {
            if expected != found {
                return Err(KernelError::Length { what, expected, found }.into());
            }
        }
        Ok(())
    }
}

impl FitOptions {
    /// Whether all settings lie in their ranges.
    fn check(&self) -> Result<(), Error> {
        let in_range = |what, expected, found: f64, within| {
            if within { Ok(()) } else { Err(Error::Setting { what, expected, found }) }
        };
        self.batch_size.check()?;
        self.optimizer.check()?;
        self.schedule.validate()?;
        for (what, found) in [("l1", self.penalty.l1), ("l2", self.penalty.l2)] {
            let within = found >= 0.0 && found.is_finite();
            in_range(what, "finite and at least 0", f64::from(found), within)?;
        }
        if let Some(norm) = self.clip_norm {
            in_range("clip_norm", "above 0", f64::from(norm), norm > 0.0)?;
        }
        for &weight in self.class_weights.iter().flatten() {
            let within = weight >= 0.0 && weight.is_finite();
            in_range("a class weight", "finite and at least 0", f64::from(weight), within)?;
        }
        if self.class_weights.iter().any(|weights| weights.iter().all(|&weight| weight == 0.0)) {
            in_range("every class weight", "above 0 for some class", 0.0, false)?;
        }
        if let Some(EarlyStopping { patience, min_delta }) = self.early_stopping {
            in_range("patience", "at least 1", 0.0, patience > 0)?;
            let within = min_delta >= 0.0 && min_delta.is_finite();
            in_range("min_delta", "finite and at least 0", f64::from(min_delta), within)?;
        }
        let threads = self.threads.unwrap_or(1);
        let within = (1..=MAX_THREADS).contains(&threads);
        in_range("the number of threads", "1 to 1024", threads as f64, within)
    }
}

/// One `fit`: everything it needs, made before the first epoch.
struct Fit<'f> {
    model: &'f mut Model,
    options: &'f FitOptions,
    batches: Batches,
    train: &'f Dataset,
    validation: Option<Evaluator<'f>>,
    /// The parameters in training; the model gets them at the end.
    params: Aligned,
    optimizer_state: Aligned,
    workspace: Aligned,
    products: Vec<LayerProducts>,
    features: Aligned,
    targets: Aligned,
}

/// Sums over the rows of an epoch.
#[derive(Default)]
struct EpochSums {
    loss: f64,
    total_loss: f64,
    steps: usize,
    batch_size: usize,
}

impl<'f> Fit<'f> {
    fn new<E: Executor>(
        model: &'f mut Model,
        train: &'f Dataset,
        validation: Option<&'f Dataset>,
        options: &'f FitOptions,
        executor: &E,
    ) -> Result<Self, Error> {
        let batches = Batches::new(train.rows(), options.batch_size, options.seed)?;
        let rows = options.batch_size.most(train.rows());
        let mlp = model.mlp();
        let parameter_len = mlp.parameter_len();
        let state_len = options.optimizer.state_len(parameter_len);
        let optimizer_state = Aligned::zeros("optimizer state", state_len)?;
        let workspace_len = mlp.workspace_len(rows, executor.threads());
        let workspace = Aligned::zeros("workspace", workspace_len)?;
        let validation = match validation {
            Some(data) => Some(Evaluator::new(&mlp, model.loss, data, executor)?),
            None => None,
        };
        Ok(Self {
            options,
            batches,
            train,
            validation,
            params: Aligned::copy("parameters", &model.params)?,
            optimizer_state,
            workspace,
            products: mlp.prepare(executor, rows).collect::<Result<_, _>>()?,
            features: Aligned::zeros("batch", rows * train.feature_count())?,
            targets: Aligned::zeros("batch", rows * train.target_count())?,
            model,
        })
    }

    /// Whether no product of a step is worth splitting.
    fn is_whole(&self) -> bool {
        !self.products.is_empty()
    }

    fn run<E: Executor>(
        mut self,
        executor: &E,
        mut on_epoch: impl FnMut(&EpochReport) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let options = self.options;
        // Room for a usual number of epochs: very many, to be stopped early, is a usual setting too.
        let mut history =
            History { epochs: Vec::with_capacity(options.epochs.min(1024)), best_epoch: None };
        let mut best = options.early_stopping.map(|rule| Best::new(rule, self.params.to_vec()));
        let mut steps = 0;
        for epoch in 0..options.epochs {
            let start = Instant::now();
            let factor = options.schedule.factor(u32::try_from(epoch).unwrap_or(u32::MAX));
            let learning_rate = options.optimizer.learning_rate() * factor;
            let sums = self.epoch(executor, learning_rate, &mut steps)?;
            let duration = start.elapsed();

            let rows = self.train.rows() as f64;
            let (loss, total_loss) = (sums.loss / rows, sums.total_loss / rows);
            if !total_loss.is_finite() || !self.params.iter().all(|param| param.is_finite()) {
                return Err(Error::Diverged { epoch });
            }
            let validation = match &mut self.validation {
                Some(evaluator) => Some(evaluator.evaluate(executor, &self.params)?),
                None => None,
            };
            if validation.is_some_and(|evaluation| !evaluation.loss.is_finite()) {
                return Err(Error::Diverged { epoch });
            }
            let watched = validation.map_or(loss, |evaluation| evaluation.loss);
            self.batches.end_epoch(watched);
            let EpochSums { steps, batch_size, .. } = sums;
            let report = EpochReport {
                epoch,
                loss,
                total_loss,
                learning_rate,
                steps,
                batch_size,
                validation,
                duration,
            };
            history.epochs.push(report);
            let stop = best.as_mut().is_some_and(|best| best.watch(epoch, watched, &self.params));
            if on_epoch(&report).is_break() || stop {
                break;
            }
        }
        if let Some(best) = best {
            history.best_epoch = best.epoch;
            self.params.copy_from_slice(&best.params);
        }
        self.model.params.copy_from_slice(&self.params);
        Ok(history)
    }

    /// Takes the steps of one epoch.
    fn epoch<E: Executor>(
        &mut self,
        executor: &E,
        learning_rate: f32,
        steps: &mut u32,
    ) -> Result<EpochSums, Error> {
        let Model { layers, loss, .. } = &*self.model;
        let mlp = Mlp::new(layers)?;
        let options = StepOptions {
            loss: *loss,
            optimizer: self.options.optimizer.with_learning_rate(learning_rate),
            penalty: self.options.penalty,
            clip_norm: self.options.clip_norm,
        };
        let class = self.options.class_weights.as_deref();
        let weights = Weights { class, ..Weights::default() };
        let capacity = self.options.batch_size.most(self.train.rows());
        let mut workspace =
            Workspace::new(&mlp, capacity, &mut self.workspace)?.with_products(&self.products)?;
        let mut state = OptimizerState { values: &mut self.optimizer_state, steps: *steps };

        let mut sums = EpochSums::default();
        self.batches.start_epoch();
        while let Some(rows) = self.batches.next_batch() {
            let features = &mut self.features[..rows.len() * self.train.feature_count()];
            let targets = &mut self.targets[..rows.len() * self.train.target_count()];
            self.train.gather_on(executor, rows, features, targets)?;
            let batch = Batch { features, targets, weights };
            let loss =
                mlp.step(executor, &options, batch, &mut self.params, &mut state, &mut workspace)?;
            let count = rows.len() as f64;
            sums.loss += f64::from(loss.data) * count;
            sums.total_loss += f64::from(loss.total()) * count;
            sums.steps += 1;
            sums.batch_size = sums.batch_size.max(rows.len());
        }
        *steps = state.steps;
        Ok(sums)
    }
}

/// The best parameters so far, under early stopping.
struct Best {
    rule: EarlyStopping,
    params: Vec<f32>,
    epoch: Option<usize>,
    loss: f64,
    waited: usize,
}

impl Best {
    fn new(rule: EarlyStopping, params: Vec<f32>) -> Self {
        Self { rule, params, epoch: None, loss: f64::INFINITY, waited: 0 }
    }

    /// Takes note of an epoch; says whether to stop.
    fn watch(&mut self, epoch: usize, loss: f64, params: &[f32]) -> bool {
        if loss < self.loss - f64::from(self.rule.min_delta) {
            self.loss = loss;
            self.epoch = Some(epoch);
            self.waited = 0;
            self.params.copy_from_slice(params);
        } else {
            self.waited += 1;
        }
        self.waited >= self.rule.patience
    }
}

/// Measures a network on a data set, again and again, in buffers of its own.
struct Evaluator<'d> {
    layers: Vec<Layer>,
    loss: Loss,
    data: &'d Dataset,
    outputs: Vec<f32>,
    workspace: Vec<f32>,
}

impl<'d> Evaluator<'d> {
    fn new<E: Executor>(
        mlp: &Mlp<'_>,
        loss: Loss,
        data: &'d Dataset,
        executor: &E,
    ) -> Result<Self, Error> {
        Ok(Self {
            layers: mlp.layers().to_vec(),
            loss,
            data,
            outputs: zeros("predictions", data.rows().saturating_mul(mlp.outputs()))?,
            workspace: zeros("workspace", predict_len(mlp, data.rows(), executor))?,
        })
    }

    fn evaluate<E: Executor>(&mut self, executor: &E, params: &[f32]) -> Result<Evaluation, Error> {
        let Self { layers, loss, data, outputs, workspace } = self;
        let mlp = Mlp::new(layers)?;
        // Losses take logits, so the link is left out; the most probable class is the same.
        predict(executor, &mlp, Link::Identity, params, data.features(), outputs, workspace)?;
        let (columns, targets) = (mlp.outputs(), data.targets());
        let weights = Weights::default();
        let value = loss::value(executor.level(), *loss, outputs, columns, targets, weights)?;
        let metric = if loss.link() == Link::Identity {
            Metric::Regression {
                rmse: metrics::rmse(outputs, targets)?,
                r2: metrics::r2(outputs, columns, targets)?,
            }
        } else {
            Metric::Accuracy(metrics::accuracy(outputs, columns, targets, Outputs::Logits)?)
        };
        Ok(Evaluation { loss: f64::from(value), metric })
    }
}

/// Pieces that a prediction of `rows` rows is split into.
fn predict_pieces<E: Executor>(mlp: &Mlp<'_>, rows: usize, executor: &E) -> usize {
    let work = mlp.parameter_len().saturating_mul(rows);
    (work / PREDICT_PIECE).min(executor.threads()).min(rows.div_ceil(PREDICT_ROWS)).max(1)
}

/// Length of the workspace of [`predict`].
fn predict_len<E: Executor>(mlp: &Mlp<'_>, rows: usize, executor: &E) -> usize {
    mlp.predict_len(PREDICT_ROWS.min(rows)).saturating_mul(predict_pieces(mlp, rows, executor))
}

/// [`Mlp::predict`] for any number of rows, in passes of [`PREDICT_ROWS`], between threads.
fn predict<E: Executor>(
    executor: &E,
    mlp: &Mlp<'_>,
    link: Link,
    params: &[f32],
    features: &[f32],
    out: &mut [f32],
    workspace: &mut [f32],
) -> Result<(), Error> {
    let rows = features.len() / mlp.inputs();
    let pieces = predict_pieces(mlp, rows, executor);
    let piece_len = mlp.predict_len(PREDICT_ROWS.min(rows));
    let split = Predict { executor, mlp, link, params, piece_len };
    split.run(pieces, features, out, workspace)
}

/// What the pieces of a prediction share.
#[derive(Clone, Copy)]
struct Predict<'p, E> {
    executor: &'p E,
    mlp: &'p Mlp<'p>,
    link: Link,
    params: &'p [f32],
    piece_len: usize,
}

impl<E: Executor> Predict<'_, E> {
    fn run(
        &self,
        pieces: usize,
        features: &[f32],
        out: &mut [f32],
        workspace: &mut [f32],
    ) -> Result<(), Error> {
        let Self { executor, mlp, link, params, piece_len } = *self;
        if pieces > 1 {
            let passes = (features.len() / mlp.inputs()).div_ceil(PREDICT_ROWS);
            let rows = passes * (pieces / 2) / pieces * PREDICT_ROWS;
            let (front, back) = features.split_at(rows * mlp.inputs());
            let (front_out, back_out) = out.split_at_mut(rows * mlp.outputs());
            let (front_space, back_space) = workspace.split_at_mut(pieces / 2 * piece_len);
            let (front, back) = executor.join(
                || self.run(pieces / 2, front, front_out, front_space),
                || self.run(pieces - pieces / 2, back, back_out, back_space),
            );
            return front.and(back);
        }
        let passes = features.chunks(PREDICT_ROWS * mlp.inputs());
        for (features, out) in passes.zip(out.chunks_mut(PREDICT_ROWS * mlp.outputs())) {
            mlp.predict(executor.level(), link, params, features, out, workspace)?;
        }
        Ok(())
    }
}
