//! What all contestants are given: the same rows, initial weights and orders of rows.

use std::fs;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use slimfit::batch::{BatchSize, Batches};
use slimfit::{Activation, Layer, Loss, Mlp};

use crate::Outcome;

/// Seed of the orders of rows in the check of the losses.
pub const SEED: u64 = 0;

/// A network, its data, and how it is trained: by Adam with its usual settings, hidden layers with
/// ReLU, one logit with binary cross-entropy or several with softmax cross-entropy.
pub struct Job {
    pub name: &'static str,
    pub sizes: &'static [usize],
    pub batch: usize,
    pub rows: usize,
    /// Epochs after which the losses are compared.
    pub check_epochs: usize,
}

pub const JOBS: [Job; 3] = [
    Job { name: "small", sizes: &[30, 32, 16, 1], batch: 32, rows: 512, check_epochs: 10 },
    Job { name: "medium", sizes: &[784, 512, 256, 10], batch: 128, rows: 2560, check_epochs: 2 },
    Job { name: "large", sizes: &[784, 2048, 2048, 10], batch: 1024, rows: 4096, check_epochs: 2 },
];

/// The numbers of a job.
pub struct Data {
    /// `[rows, inputs]`.
    pub features: Vec<f32>,
    /// One class a row.
    pub classes: Vec<usize>,
    /// `W_0, b_0, W_1, b_1, …`, weights `[inputs, outputs]`.
    pub params: Vec<f32>,
}

impl Job {
    pub fn named(name: &str) -> Outcome<&'static Self> {
        let found = JOBS.iter().find(|job| job.name == name);
        found.ok_or_else(|| format!("no job is named {name}").into())
    }

    pub fn title(&self) -> String {
        let sizes: Vec<_> = self.sizes.iter().map(usize::to_string).collect();
        let loss = if self.binary() { "BCE" } else { "CE" };
        format!("{} ({loss}, Adam, batch {}, {} rows)", sizes.join("-"), self.batch, self.rows)
    }

    pub fn inputs(&self) -> usize {
        self.sizes[0]
    }

    pub fn outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    pub fn binary(&self) -> bool {
        self.outputs() == 1
    }

    pub fn loss(&self) -> Loss {
        if self.binary() { Loss::BinaryCrossEntropy } else { Loss::CategoricalCrossEntropy }
    }

    pub fn classes(&self) -> usize {
        self.outputs().max(2)
    }

    pub fn layers(&self) -> Vec<Layer> {
        let last = self.sizes.len() - 2;
        let layers = self.sizes.windows(2).enumerate().map(|(l, io)| {
            let activation = if l == last { Activation::Identity } else { Activation::Relu };
            Layer::new(io[0], io[1], activation)
        });
        layers.collect()
    }

    pub fn batches(&self) -> Outcome<Batches> {
        Ok(Batches::new(self.rows, BatchSize::Fixed(self.batch), SEED)?)
    }

    /// The job's data: features uniform in -0.5..0.5, small enough that no loss saturates (some
    /// frameworks clip it then), and as class the group of columns with the largest sum,
    /// or for one row in eight a random one, so that the loss has a floor.
    pub fn data(&self) -> Outcome<Data> {
        let (inputs, classes) = (self.inputs(), self.classes());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let features: Vec<f32> = (0..self.rows * inputs)
            .map(|_| (rng.next_u32() >> 8) as f32 / 16_777_216.0 - 0.5)
            .collect();
        let classes = features.chunks_exact(inputs).map(|row| {
            let class = rng.next_u32() as usize;
            if class.is_multiple_of(8) {
                return class / 8 % classes;
            }
            let sum = |class: usize| row.iter().skip(class).step_by(classes).sum::<f32>();
            (0..classes).max_by(|&a, &b| sum(a).total_cmp(&sum(b))).unwrap_or_default()
        });
        let classes = classes.collect();
        let layers = self.layers();
        let mlp = Mlp::new(&layers)?;
        let mut params = vec![0.0; mlp.parameter_len()];
        mlp.init(None, &mut ChaCha8Rng::seed_from_u64(2), &mut params)?;
        Ok(Data { features, classes, params })
    }

    /// Writes everything where a contestant in another language can read it: little-endian `f32`
    /// and `u32`, and the sizes as text.
    pub fn write(&self, directory: &Path) -> Outcome<()> {
        let data = self.data()?;
        let mut orders = Vec::new();
        let mut batches = self.batches()?;
        for _ in 0..self.check_epochs {
            batches.start_epoch();
            while let Some(rows) = batches.next_batch() {
                orders.extend(rows.iter().map(|&row| row as u32));
            }
        }
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let words = |values: &[u32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let classes: Vec<u32> = data.classes.iter().map(|&class| class as u32).collect();
        let sizes: Vec<_> = self.sizes.iter().map(usize::to_string).collect();
        let text = format!(
            "sizes {}\nbatch {}\nrows {}\ncheck_epochs {}\n",
            sizes.join(" "),
            self.batch,
            self.rows,
            self.check_epochs
        );
        let files: [(&str, Vec<u8>); 5] = [
            ("features.f32", floats(&data.features)),
            ("classes.u32", words(&classes)),
            ("params.f32", floats(&data.params)),
            ("orders.u32", words(&orders)),
            ("job.txt", text.into_bytes()),
        ];
        for (name, bytes) in files {
            fs::write(directory.join(name), bytes)?;
        }
        Ok(())
    }
}
