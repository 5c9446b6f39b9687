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
            0x9c86_8c30_990a_34da,
            0xcb95_e023_6ef0_7469,
            0x4deb_d324_6ad4_ba7b,
            0xde8f_8d0e_9e15_5011,
            0xc383_d5ec_103d_38e6,
            0x3506_dce5_3a53_c340,
        ],
        [
            0x341f_9243_083e_0b34,
            0xd21b_52e8_9cce_f923,
            0x20b1_40c2_9148_c3cc,
            0xaf08_19c5_1adb_1db8,
            0xe83b_d9da_5ab1_6bc3,
            0xad77_8e1b_3775_3d05,
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
            0xdad6_77ab_3b8f_2480,
            0xd4da_c402_9c25_52a5,
            0x2fc0_d6ea_3c6a_aba0,
            0x99c4_a4b0_2a84_092e,
            0x7f1e_58ed_5f36_bc97,
            0x6954_752e_35a2_afa7,
        ],
        [
            0x8dfe_34e3_b43b_abd6,
            0x61a8_9393_341e_ddf9,
            0xaeb7_7368_fab1_867e,
            0xb709_4069_127c_f685,
            0xbc44_84e7_fdeb_ba59,
            0x5262_6ba3_75fd_64d0,
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
            0xb118_38f4_ca5f_41a2,
            0x6599_9689_0aea_5475,
            0x4309_8a00_1098_418c,
            0xe005_50ec_86bf_f220,
            0x2688_747d_6e94_fbbc,
            0x50b6_84ef_87ef_b451,
        ],
        [
            0x96d3_33cc_0feb_c16d,
            0x998d_420f_d205_0bac,
            0xc4e4_7458_48ac_5cdf,
            0x1da9_ca07_21e6_730c,
            0xde11_01cd_3636_9593,
            0xee5f_7726_d0e1_2aee,
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
