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
            0xc48e_c7d4_6dd6_7e47,
            0xe923_93aa_fa9c_2a19,
            0x079d_8755_eb4c_7c51,
            0x2b0b_11ed_6e6e_3945,
            0xea11_02b9_f2d6_9cfa,
            0x8ba4_21e1_240d_8314,
        ],
        [
            0x9c2e_3779_a535_8f6b,
            0x2553_44e0_a4b0_96fe,
            0x96c9_01b9_6eb7_ab82,
            0x06d9_70f3_c366_bb8f,
            0x8dc2_5d66_bb7b_edb7,
            0x5ac2_371b_6ab8_8067,
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
            0x7038_1df7_1633_bd79,
            0xaf04_78fc_9990_b614,
            0x0ac9_01b9_7ca6_15ee,
            0x3862_b387_acc4_d2b4,
            0x3618_7691_0d3c_3c05,
            0x02fc_b43d_f1d2_7a75,
        ],
        [
            0xe5db_f714_06ad_532c,
            0xd356_c921_394c_49aa,
            0x373a_0276_ce6f_6086,
            0x40ee_8863_433f_b629,
            0xd415_54e1_f8fd_7be6,
            0xb1cd_88a9_47f8_60eb,
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
            0x2f9e_b545_5ac0_9e6e,
            0xf26c_c279_7232_4411,
            0xa016_0dca_841c_2b18,
            0x382c_54d8_755c_1388,
            0xc468_e3d9_5482_da45,
            0xff45_f135_f82c_48b2,
        ],
        [
            0x478f_b645_a366_cde0,
            0xaa4f_dbec_c103_e93a,
            0xad55_1325_6561_aeb2,
            0x3425_e2a5_23c5_d66f,
            0x8d4c_bad6_1ea2_7211,
            0xf5fd_c610_ca29_8f11,
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
