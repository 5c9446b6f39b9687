//! burn on its Flex backend: a module of `Linear` layers, `Adam`, batches by `select`.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::nn::loss::{
    BinaryCrossEntropyLoss, BinaryCrossEntropyLossConfig, CrossEntropyLoss, CrossEntropyLossConfig,
};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use slimfit::batch::Batches;

use crate::Outcome;
use crate::job::{Data, Job};
use crate::trainer::{Trainer, split};

#[derive(Module, Debug)]
struct Net {
    layers: Vec<Linear>,
}

impl Net {
    fn new(job: &Job, params: &[f32], device: &Device) -> Self {
        let parts = split(job, params).into_iter().zip(job.sizes.windows(2));
        let layers = parts.map(|((weights, biases), io)| Linear {
            weight: Param::from_data(TensorData::new(weights.to_vec(), [io[0], io[1]]), device),
            bias: Some(Param::from_data(TensorData::new(biases.to_vec(), [io[1]]), device)),
        });
        Self { layers: layers.collect() }
    }

    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let mut h = features;
        for (l, layer) in self.layers.iter().enumerate() {
            h = layer.forward(h);
            if l + 1 < self.layers.len() {
                h = activation::relu(h);
            }
        }
        h
    }
}

pub struct Burn {
    job: &'static Job,
    data: Data,
    device: Device,
    features: Tensor<2>,
    targets: Tensor<1, Int>,
    binary_loss: BinaryCrossEntropyLoss,
    class_loss: CrossEntropyLoss,
    /// Taken out while the optimizer makes the next one of it.
    net: Option<Net>,
    optimizer: ModuleOptimizer,
}

impl Burn {
    pub fn new(job: &'static Job) -> Outcome<Self> {
        let data = job.data()?;
        let device = Device::flex().autodiff();
        let shape = [job.rows, job.inputs()];
        let features = Tensor::from_data(TensorData::new(data.features.clone(), shape), &device);
        let classes: Vec<_> = data.classes.iter().map(|&class| class as i64).collect();
        let targets = Tensor::from_data(TensorData::new(classes, [job.rows]), &device);
        Ok(Self {
            features,
            targets,
            binary_loss: BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device),
            class_loss: CrossEntropyLossConfig::new().init(&device),
            net: Some(Net::new(job, &data.params, &device)),
            optimizer: optimizer(),
            job,
            data,
            device,
        })
    }
}

fn optimizer() -> ModuleOptimizer {
    AdamConfig::new().with_epsilon(1e-8).init()
}

impl Trainer for Burn {
    fn reset(&mut self) -> Outcome<()> {
        self.net = Some(Net::new(self.job, &self.data.params, &self.device));
        self.optimizer = optimizer();
        Ok(())
    }

    fn epoch(&mut self, batches: &mut Batches) -> Outcome<f64> {
        let (mut sum, mut steps) = (0.0, 0);
        let mut net = self.net.take().ok_or("the network was lost in a failed epoch")?;
        while let Some(rows) = batches.next_batch() {
            let indices: Vec<_> = rows.iter().map(|&row| row as i64).collect();
            let indices: Tensor<1, Int> =
                Tensor::from_data(TensorData::new(indices, [rows.len()]), &self.device);
            let features = self.features.clone().select(0, indices.clone());
            let targets = self.targets.clone().select(0, indices);
            let logits = net.forward(features);
            let loss = if self.job.binary() {
                self.binary_loss.forward(logits, targets.reshape([rows.len(), 1]))
            } else {
                self.class_loss.forward(logits, targets)
            };
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            net = self.optimizer.step(1e-3, net, gradients);
            sum += f64::from(loss.into_scalar::<f32>());
            steps += 1;
        }
        self.net = Some(net);
        Ok(sum / f64::from(steps))
    }
}
