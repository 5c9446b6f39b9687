//! The trainer: what its settings do, what it refuses, and that a refusal changes nothing.
#![cfg(feature = "std")]

use std::ops::ControlFlow;

use slimfit::batch::{BatchSize, Grow};
use slimfit::dataset::Dataset;
use slimfit::kernels::optim::{Adam, Penalty, Sgd};
use slimfit::{
    Activation, EarlyStopping, Error, FitOptions, Layer, Level, Loss, Metric, Model, Optimizer,
    Schedule,
};

fn ring_names() -> Vec<String> {
    vec!["inner".into(), "outer".into()]
}

/// Two rings around the origin, one inside the other.
fn rings(rows: usize) -> Dataset {
    let features = (0..rows).flat_map(|row| {
        let angle = row as f32 * 2.4;
        let radius = if row % 2 == 0 { 0.5 } else { 1.5 };
        [radius * angle.cos(), radius * angle.sin()]
    });
    let labels: Vec<usize> = (0..rows).map(|row| row % 2).collect();
    Dataset::classification(features.collect(), 2, &labels, ring_names()).unwrap()
}

/// y = 3 a - 2 b + 1
fn plane(rows: usize) -> Dataset {
    let points = (0..rows).map(|row| ((row as f32 * 0.7).sin(), (row as f32 * 1.3).cos()));
    let features = points.clone().flat_map(|(a, b)| [a, b]).collect();
    let targets = points.map(|(a, b)| 3.0 * a - 2.0 * b + 1.0).collect();
    Dataset::regression(features, 2, targets).unwrap()
}

fn ring_model() -> Model {
    let layers = [Layer::new(2, 16, Activation::Tanh), Layer::new(16, 1, Activation::Identity)];
    Model::new(&layers, Loss::BinaryCrossEntropy, 3).unwrap()
}

fn options() -> FitOptions {
    let adam = Adam { learning_rate: 0.01, ..Adam::default() };
    FitOptions { epochs: 30, optimizer: Optimizer::Adam(adam), ..FitOptions::default() }
}

fn go(_: &slimfit::EpochReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn it_learns_rings_and_planes() {
    let (train, test) = (rings(400), rings(101));
    let mut model = ring_model();
    let history = model.fit(&train, Some(&test), &options(), go).unwrap();
    assert_eq!(history.epochs.len(), 30);
    let evaluation = model.evaluate(&test).unwrap();
    assert_eq!(evaluation.metric, Metric::Accuracy(1.0));
    assert_eq!(history.epochs[29].validation, Some(evaluation));
    let probabilities = model.predict(test.features()).unwrap();
    for (probability, class) in probabilities.iter().zip(test.targets()) {
        assert_eq!(*probability > 0.5, *class == 1.0);
    }

    let layers = [Layer::new(2, 1, Activation::Identity)];
    let mut line = Model::new(&layers, Loss::MeanSquaredError, 0).unwrap();
    let sgd = Optimizer::Sgd(Sgd { learning_rate: 0.1 });
    let options = FitOptions { epochs: 100, optimizer: sgd, ..FitOptions::default() };
    line.fit(&plane(200), None, &options, go).unwrap();
    for (found, expected) in line.params().iter().zip([3.0, -2.0, 1.0]) {
        assert!((found - expected).abs() < 1e-4, "{:?}", line.params());
    }
    let Metric::Regression { rmse, r2 } = line.evaluate(&plane(50)).unwrap().metric else {
        panic!()
    };
    assert!(rmse < 1e-3 && r2 > 0.9999);
}

#[test]
fn other_losses_fit_a_plane_too() {
    for loss in [Loss::MeanAbsoluteError, Loss::Huber(0.5)] {
        let layers = [Layer::new(2, 1, Activation::Identity)];
        let mut line = Model::new(&layers, loss, 0).unwrap();
        let options = FitOptions {
            epochs: 300,
            schedule: Schedule::Exponential { decay: 0.98 },
            ..options()
        };
        line.fit(&plane(200), None, &options, go).unwrap();
        for (found, expected) in line.params().iter().zip([3.0, -2.0, 1.0]) {
            assert!((found - expected).abs() < 0.02, "{loss:?} {:?}", line.params());
        }
    }
}

#[test]
fn the_seed_decides_everything() {
    let run = |seed| {
        let mut model = ring_model();
        let batch_size = BatchSize::Random { min: 10, max: 40 };
        let options = FitOptions { epochs: 4, seed, batch_size, ..options() };
        model.fit(&rings(333), None, &options, go).unwrap();
        model.params().to_vec()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let layers = [Layer::new(2, 1, Activation::Identity)];
    let of = |seed| Model::new(&layers, Loss::MeanSquaredError, seed).unwrap().params().to_vec();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn the_callback_may_stop_it() {
    let mut seen = 0;
    let stop_at_three = |report: &slimfit::EpochReport| {
        assert_eq!(report.epoch, seen);
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut model = ring_model();
    let history = model.fit(&rings(64), None, &options(), stop_at_three).unwrap();
    assert_eq!(history.epochs.len(), 3);
    let mut three = ring_model();
    three.fit(&rings(64), None, &FitOptions { epochs: 3, ..options() }, go).unwrap();
    assert_eq!(model.params(), three.params());
}

#[test]
fn reports_tell_what_happened() {
    let options = FitOptions {
        epochs: 5,
        schedule: Schedule::Step { every: 2, factor: 0.5 },
        batch_size: BatchSize::Dynamic {
            initial: 10,
            factor: 2.0,
            max: 35,
            grow: Grow::Every { epochs: 2 },
        },
        penalty: Penalty { l1: 0.01, l2: 0.02 },
        ..options()
    };
    let mut model = ring_model();
    let history = model.fit(&rings(100), None, &options, go).unwrap();
    let facts: Vec<_> =
        history.epochs.iter().map(|e| (e.learning_rate, e.batch_size, e.steps)).collect();
    assert_eq!(
        facts,
        [(0.01, 10, 10), (0.01, 10, 10), (0.005, 20, 5), (0.005, 20, 5), (0.0025, 35, 3)]
    );
    assert!(history.epochs.iter().all(|e| e.total_loss > e.loss && e.validation.is_none()));
    assert_eq!(history.best_epoch, None);
}

#[test]
fn early_stopping_goes_back_to_the_best_epoch() {
    // A learning rate that grows the loss soon after the start.
    let (train, validation) = (rings(60), rings(31));
    let rough = Optimizer::Adam(Adam { learning_rate: 2.0, ..Adam::default() });
    let early_stopping = Some(EarlyStopping { patience: 4, min_delta: 0.0 });
    let options =
        FitOptions { epochs: 200, optimizer: rough, early_stopping, ..FitOptions::default() };
    let mut model = ring_model();
    let history = model.fit(&train, Some(&validation), &options, go).unwrap();
    let losses: Vec<f64> = history.epochs.iter().map(|e| e.validation.unwrap().loss).collect();
    let best = history.best_epoch.unwrap();
    assert_eq!(losses.len(), best + 5, "stops four epochs after the best");
    assert!(losses.iter().all(|&loss| loss >= losses[best]));
    assert!(losses[best] < losses[best + 4]);
    assert_eq!(model.evaluate(&validation).unwrap().loss, losses[best]);
}

#[test]
fn a_batch_larger_than_the_data_is_the_whole_data() {
    let fit = |size| {
        let mut model = ring_model();
        let options = FitOptions { batch_size: BatchSize::Fixed(size), ..options() };
        let history = model.fit(&rings(50), None, &options, go).unwrap();
        assert!(history.epochs.iter().all(|e| e.steps == 1 && e.batch_size == 50));
        model.params().to_vec()
    };
    assert_eq!(fit(50), fit(1000));
}

#[test]
fn class_weights_move_the_boundary() {
    let share_of_ones = |class_weights| {
        let mut model = ring_model();
        let options = FitOptions { epochs: 3, class_weights, ..options() };
        model.fit(&rings(100), None, &options, go).unwrap();
        model.predict(rings(100).features()).unwrap().iter().sum::<f32>()
    };
    let even = share_of_ones(None);
    assert!(share_of_ones(Some(vec![1.0, 5.0])) > even + 5.0);
    assert!(share_of_ones(Some(vec![5.0, 1.0])) < even - 5.0);
}

#[test]
fn predictions_do_not_depend_on_how_rows_are_grouped() {
    let mut model = ring_model();
    model.fit(&rings(64), None, &options(), go).unwrap();
    for level in Level::available() {
        model.set_level(level);
        let features = rings(1000);
        let all = model.predict(features.features()).unwrap();
        assert_eq!(all.len(), 1000);
        let again = model.predict(&features.features()[..2 * 512]).unwrap();
        assert!(all[..512] == again, "{level}");
    }
    assert!(model.predict(&[]).unwrap().is_empty());
    assert!(model.predict(&[0.5]).unwrap_err().to_string().contains("features"));
    assert!(model.predict(&[0.5; 513]).unwrap_err().to_string().contains("features"));
}

/// A network and data so large that products, updates and predictions are all split.
#[test]
fn threads_do_not_change_a_bit() {
    let rows = 700;
    let features = (0..rows * 300).map(|i| (i as f32 * 0.37).sin()).collect();
    let labels: Vec<usize> = (0..rows).map(|row| row % 3).collect();
    let classes = vec!["a".into(), "b".into(), "c".into()];
    let data = Dataset::classification(features, 300, &labels, classes).unwrap();
    let layers = [
        Layer::new(300, 600, Activation::Relu),
        Layer::new(600, 400, Activation::Gelu),
        Layer::new(400, 3, Activation::Identity),
    ];
    let run = |threads| {
        let mut model = Model::new(&layers, Loss::CategoricalCrossEntropy, 1).unwrap();
        let batch_size = BatchSize::Fixed(256);
        let threads = Some(threads);
        let options = FitOptions { epochs: 2, batch_size, threads, ..FitOptions::default() };
        let history = model.fit(&data, Some(&data), &options, go).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap()).build();
        let predictions = pool.unwrap().install(|| model.predict(data.features()).unwrap());
        let validation = history.epochs.iter().map(|epoch| epoch.validation).collect::<Vec<_>>();
        (model.params().to_vec(), predictions, validation)
    };
    let alone = run(1);
    for threads in [2, 3, 7] {
        assert!(alone == run(threads), "{threads} threads");
    }
}

#[test]
fn very_many_epochs_may_be_asked_for() {
    let options = FitOptions { epochs: usize::MAX, ..options() };
    let mut model = ring_model();
    let history = model.fit(&rings(20), None, &options, |_| ControlFlow::Break(())).unwrap();
    assert_eq!(history.epochs.len(), 1);
}

/// The message of a refused fit, which must leave the model as it was.
fn refused(model: &mut Model, train: &Dataset, options: &FitOptions) -> String {
    let before = model.params().to_vec();
    let error = model.fit(train, None, options, go).unwrap_err();
    assert_eq!(model.params(), before, "{error}");
    error.to_string()
}

#[test]
fn bad_input_is_refused_with_its_reason() {
    let with = |at: usize, value: f32| {
        let mut features = rings(20).features().to_vec();
        features[at] = value;
        let labels: Vec<usize> = (0..20).map(|row| row % 2).collect();
        Dataset::classification(features, 2, &labels, ring_names()).unwrap()
    };
    let one_class = Dataset::classification(vec![0.0; 8], 2, &[1; 4], ring_names()).unwrap();
    let empty = rings(20).subset(&[]).unwrap();
    let mut model = ring_model();
    for (data, named) in [
        (with(7, f32::NAN), "row 3"),
        (with(7, f32::INFINITY), "\"x1\""),
        (one_class, "\"outer\""),
        (plane(20), "classes"),
        (empty, "no rows"),
    ] {
        let message = refused(&mut model, &data, &options());
        assert!(message.contains(named), "{message} / {named}");
    }
    let narrow = Dataset::classification(vec![0.0, 1.0], 1, &[0, 1], ring_names()).unwrap();
    assert!(refused(&mut model, &narrow, &options()).contains("features"));
    assert!(model.evaluate(&narrow).is_err());
    assert!(model.predict(&[0.0; 3]).is_err());

    let empty = rings(20).subset(&[]).unwrap();
    assert!(model.evaluate(&empty).unwrap_err().to_string().contains("no rows"));
    let other = Dataset::classification(vec![0.0; 4], 2, &[0, 1], vec!["x".into(), "y".into()]);
    for (validation, named) in [(empty, "no rows"), (other.unwrap(), "other classes")] {
        let error = model.fit(&rings(20), Some(&validation), &options(), go).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }

    for (options, named) in [
        (FitOptions { batch_size: BatchSize::Fixed(0), ..options() }, "batch"),
        (FitOptions { threads: Some(0), ..options() }, "threads"),
        (FitOptions { clip_norm: Some(f32::NAN), ..options() }, "clip_norm"),
        (FitOptions { threads: Some(100_000), ..options() }, "threads"),
        (FitOptions { class_weights: Some(vec![1.0; 3]), ..options() }, "class weights"),
        (FitOptions { class_weights: Some(vec![f32::NAN, 1.0]), ..options() }, "class weight"),
        (FitOptions { class_weights: Some(vec![0.0, 0.0]), ..options() }, "class weight"),
        (FitOptions { penalty: Penalty { l1: 0.0, l2: -1.0 }, ..options() }, "l2"),
        (FitOptions { schedule: Schedule::Exponential { decay: 2.0 }, ..options() }, "decay"),
        (
            FitOptions {
                early_stopping: Some(EarlyStopping { patience: 0, min_delta: 0.0 }),
                ..options()
            },
            "patience",
        ),
        (
            FitOptions {
                early_stopping: Some(EarlyStopping { patience: 1, min_delta: f32::INFINITY }),
                ..options()
            },
            "min_delta",
        ),
        (
            FitOptions { optimizer: Optimizer::Sgd(Sgd { learning_rate: -1.0 }), ..options() },
            "learning",
        ),
    ] {
        let message = refused(&mut model, &rings(20), &options);
        assert!(message.contains(named), "{message} / {named}");
    }
}

#[test]
fn a_loss_that_explodes_is_an_error_and_changes_nothing() {
    let layers = [Layer::new(2, 1, Activation::Identity)];
    let mut line = Model::new(&layers, Loss::MeanSquaredError, 0).unwrap();
    let before = line.params().to_vec();
    let sgd = Optimizer::Sgd(Sgd { learning_rate: 1e6 });
    let options = FitOptions { optimizer: sgd, ..FitOptions::default() };
    let error = line.fit(&plane(200), None, &options, go).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
    assert_eq!(line.params(), before);
    // The one step of the one epoch: its loss was finite, what it left is not.
    let sgd = Optimizer::Sgd(Sgd { learning_rate: f32::MAX });
    let options = FitOptions { epochs: 1, optimizer: sgd, ..FitOptions::default() };
    let error = line.fit(&plane(20), None, &options, go).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 0 }), "{error}");
    assert_eq!(line.params(), before);
}

#[test]
fn models_must_suit_their_loss() {
    let layer = |outputs, activation| [Layer::new(2, outputs, activation)];
    let error = |layers: &[Layer], loss| Model::new(layers, loss, 0).unwrap_err().to_string();
    let sigmoid = error(&layer(1, Activation::Sigmoid), Loss::BinaryCrossEntropy);
    assert!(sigmoid.contains("logits"), "{sigmoid}");
    assert!(error(&layer(2, Activation::Identity), Loss::BinaryCrossEntropy).contains("binary"));
    assert!(error(&[], Loss::MeanSquaredError).contains("layers"));
    let few =
        Model::from_params(&layer(1, Activation::Identity), Loss::MeanSquaredError, vec![0.0]);
    assert!(few.unwrap_err().to_string().contains("parameters"));
}
