//! The bits of a training run: the same at any number of threads, and on every level that fuses
//! multiply and add those recorded here, whatever the machine. Levels that do not fuse agree on
//! others, recorded too.
//!
//! A change that is meant to move a bit records the hashes that the failing test prints.
#![cfg(feature = "std")]

use std::ops::ControlFlow;

use slimfit::batch::BatchSize;
use slimfit::dataset::Dataset;
use slimfit::kernels::optim::{AdaGrad, Adam, Momentum, Penalty, Sgd};
use slimfit::{Activation, FitOptions, Layer, Level, Loss, Model, Optimizer};

const OPTIMIZERS: [(&str, Optimizer); 6] = [
    ("sgd", Optimizer::Sgd(Sgd { learning_rate: 0.05 })),
    ("momentum", Optimizer::Momentum(Momentum { nesterov: false, ..MOMENTUM })),
    ("nesterov", Optimizer::Momentum(MOMENTUM)),
    ("adam", Optimizer::Adam(ADAM)),
    ("adamw", Optimizer::Adam(Adam { decay: 0.01, ..ADAM })),
    ("adagrad", Optimizer::AdaGrad(AdaGrad { learning_rate: 0.01, epsilon: 1e-7 })),
];
const MOMENTUM: Momentum = Momentum { learning_rate: 0.01, momentum: 0.9, nesterov: true };
const ADAM: Adam =
    Adam { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.0 };

struct Shape {
    dims: &'static [usize],
    hidden: Activation,
    loss: Loss,
    rows: usize,
    batch: usize,
    /// Of the parameters and predictions after ten epochs by each optimizer, where multiply-add
    /// rounds once, and where it rounds twice.
    hashes: [[u64; OPTIMIZERS.len()]; 2],
}

/// All on one thread: no product is worth cutting.
const SMALL: Shape = Shape {
    dims: &[30, 32, 16, 1],
    hidden: Activation::Relu,
    loss: Loss::BinaryCrossEntropy,
    rows: 150,
    batch: 32,
    hashes: [
        [
            0xa789_98db_8e32_7dcc,
            0x5d48_eebf_f26a_85c1,
            0x2bad_7ba9_943e_3551,
            0x56c0_f3bb_f5bf_3e11,
            0xef7d_6276_18e3_842c,
            0xe12e_703e_b1f0_38a9,
        ],
        [
            0x7475_9b7b_e6f2_8ce3,
            0x16d4_ea04_21cc_26d2,
            0x57d2_e0c9_1f0a_2fa6,
            0xee57_e50f_6b3d_fcb6,
            0x21d8_434a_8edc_e595,
            0x2f45_6e6c_c6a4_9742,
        ],
    ],
};

/// The first product of a step goes to six threads, the second to two.
const MEDIUM: Shape = Shape {
    dims: &[784, 512, 256, 10],
    hidden: Activation::Gelu,
    loss: Loss::CategoricalCrossEntropy,
    rows: 40,
    batch: 32,
    hashes: [
        [
            0xadc2_6feb_c794_a512,
            0x94b9_9041_83ac_4d50,
            0x99fd_02fb_f25a_0a93,
            0x3792_dbf5_2978_87c2,
            0xa918_ca2b_0f63_73eb,
            0xfb92_f1cf_01a3_6452,
        ],
        [
            0xcc0b_5107_3e26_8ff0,
            0xaf4a_c6f6_1a57_e79e,
            0x2897_36e4_319e_8490,
            0x9961_50b1_2aaf_107c,
            0x8fbd_24c7_5dd7_fb20,
            0x14e9_d64e_be69_7300,
        ],
    ],
};

/// 784-2048-2048-10 at a quarter of the width: the first product of a step goes to three threads,
/// the second to eight.
const LARGE: Shape = Shape {
    dims: &[196, 512, 512, 10],
    hidden: Activation::Tanh,
    loss: Loss::CategoricalCrossEntropy,
    rows: 80,
    batch: 64,
    hashes: [
        [
            0xcc42_a0c3_8ba5_98cf,
            0xcfea_cf6d_8331_8752,
            0x34e0_9435_ef78_13d8,
            0xbb90_0bb9_69e3_1c6f,
            0x07cc_f55a_95de_a640,
            0xb33c_7519_d677_5807,
        ],
        [
            0xa18a_3e7c_f17c_582f,
            0x8941_8f35_bad4_1819,
            0x1d7a_f436_946e_ab42,
            0xcf6a_8fcd_408c_1f7b,
            0x3dd5_13ec_cc37_00f4,
            0x8d09_c032_f670_452a,
        ],
    ],
};

impl Shape {
    /// Made of whole numbers only, so that they are the same everywhere.
    fn data(&self) -> Dataset {
        let (inputs, outputs) = (self.dims[0], self.dims[self.dims.len() - 1]);
        let mut state = 1u32;
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as f32 / 32_768.0 - 1.0
        };
        let features = (0..self.rows * inputs).map(|_| number()).collect();
        let classes = outputs.max(2);
        let labels: Vec<_> = (0..self.rows).map(|row| row * 7 % classes).collect();
        let names = (0..classes).map(|class| class.to_string()).collect();
        Dataset::classification(features, inputs, &labels, names).unwrap()
    }

    /// The hash (64-bit FNV-1a) of a run of ten epochs.
    fn train(&self, optimizer: Optimizer, level: Level, threads: usize) -> u64 {
        let layers: Vec<_> = (1..self.dims.len())
            .map(|l| {
                let last = l == self.dims.len() - 1;
                let activation = if last { Activation::Identity } else { self.hidden };
                Layer::new(self.dims[l - 1], self.dims[l], activation)
            })
            .collect();
        let data = self.data();
        let mut model = Model::new(&layers, self.loss, 1).unwrap();
        model.set_level(level);
        let options = FitOptions {
            epochs: 10,
            batch_size: BatchSize::Fixed(self.batch),
            optimizer,
            penalty: Penalty { l1: 1e-5, l2: 1e-4 },
            clip_norm: Some(1.0),
            threads: Some(threads),
            ..FitOptions::default()
        };
        model.fit(&data, Some(&data), &options, |_| ControlFlow::Continue(())).unwrap();
        let predictions = model.predict(data.features()).unwrap();
        let values = model.params().iter().chain(&predictions);
        values.flat_map(|x| x.to_bits().to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// At every level, on any number of threads.
    fn has_the_recorded_bits(&self) {
        let mut wrong = Vec::new();
        for (i, (name, optimizer)) in OPTIMIZERS.into_iter().enumerate() {
            for level in Level::available() {
                let alone = self.train(optimizer, level, 1);
                if alone != self.hashes[usize::from(!level.is_fused())][i] {
                    wrong.push(format!("{name} at {level}: {alone:#018x}"));
                }
                for threads in [2, 3, 4, 8] {
                    if self.train(optimizer, level, threads) != alone {
                        wrong.push(format!("{name} at {level}: other bits on {threads} threads"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{:?}: {wrong:#?}", self.dims);
    }
}

#[test]
fn a_small_network_has_the_recorded_bits() {
    SMALL.has_the_recorded_bits();
}

#[test]
fn a_medium_network_has_the_recorded_bits() {
    MEDIUM.has_the_recorded_bits();
}

#[test]
fn a_large_network_has_the_recorded_bits() {
    LARGE.has_the_recorded_bits();
}
