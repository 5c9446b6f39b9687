//! No allocation in a step, none in an epoch after the first, on any thread: counted by the allocator
//! itself.
//!
//! A program without the usual harness, whose main thread allocates too: when a test has begun, and
//! when it has run for a minute.
#![allow(unsafe_code, reason = "a counting allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use slimfit::batch::BatchSize;
use slimfit::dataset::Dataset;
use slimfit::kernels::loss::Weights;
use slimfit::kernels::optim::Penalty;
use slimfit::{
    Activation, Batch, FitOptions, Layer, Level, Loss, Mlp, Model, Optimizer, OptimizerState,
    StepOptions, Workspace,
};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's word for `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

const LAYERS: [Layer; 3] = [
    Layer::new(20, 32, Activation::Relu),
    Layer::new(32, 16, Activation::Gelu),
    Layer::new(16, 3, Activation::Identity),
];

fn data(rows: usize) -> Dataset {
    let features = (0..rows * 20).map(|i| (i as f32 * 0.37).sin()).collect();
    let labels: Vec<usize> = (0..rows).map(|row| row % 3).collect();
    let classes = vec!["a".into(), "b".into(), "c".into()];
    Dataset::classification(features, 20, &labels, classes).unwrap()
}

fn main() {
    on_one_thread();
    on_several_threads();
    println!("steps and later epochs do not allocate: ok");
}

fn on_several_threads() {
    // Large enough for products, sums, gathers, activations and updates to be split, and hundreds of
    // forks an epoch: a queue that grows by blocks of jobs would show.
    let layers = [
        Layer::new(20, 700, Activation::Relu),
        Layer::new(700, 300, Activation::Gelu),
        Layer::new(300, 3, Activation::Identity),
    ];
    let data = data(1000);
    for threads in [Some(2), Some(3), Some(8), None] {
        check_epochs(&layers, &data, threads, 60);
    }
}

fn on_one_thread() {
    let data = data(100);
    let mlp = Mlp::new(&LAYERS).unwrap();
    let mut params = vec![0.1; mlp.parameter_len()];
    let optimizer = Optimizer::default();
    let mut values = vec![0.0; optimizer.state_len(params.len())];
    let mut state = OptimizerState { values: &mut values, steps: 0 };
    let mut buffer = vec![0.0; mlp.workspace_len(100, 1)];
    let mut workspace = Workspace::new(&mlp, 100, &mut buffer).unwrap();
    let options = StepOptions {
        loss: Loss::CategoricalCrossEntropy,
        optimizer,
        penalty: Penalty { l1: 1e-4, l2: 1e-4 },
        clip_norm: Some(1.0),
    };
    let (features, targets) = (data.features(), data.targets());
    let batch = Batch { features, targets, weights: Weights::default() };
    for level in Level::available() {
        let before = count();
        for _ in 0..3 {
            mlp.step(&level, &options, batch, &mut params, &mut state, &mut workspace).unwrap();
        }
        assert_eq!(count(), before, "steps at {level}");
    }

    check_epochs(&LAYERS, &data, Some(1), 40);
}

/// Epochs after the first, each with validation, allocate nothing.
fn check_epochs(layers: &[Layer], data: &Dataset, threads: Option<usize>, largest: usize) {
    let mut model = Model::new(layers, Loss::CategoricalCrossEntropy, 1).unwrap();
    let batch_size = BatchSize::Random { min: 5, max: largest };
    let options = FitOptions { epochs: 6, batch_size, threads, ..FitOptions::default() };
    let mut counts = [0; 6];
    let before = count();
    model
        .fit(data, Some(data), &options, |epoch| {
            counts[epoch.epoch] = count();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(counts[0] > before, "the allocator counts");
    assert!(counts.iter().all(|&count| count == counts[0]), "{threads:?} threads: {counts:?}");
}
