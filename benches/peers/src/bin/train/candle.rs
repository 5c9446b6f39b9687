//! candle: `Linear` layers over variables, `AdamW` without decay, batches by `index_select`.

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::{AdamW, Linear, Optimizer, ParamsAdamW, loss};
use slimfit::batch::Batches;

use crate::Outcome;
use crate::job::{Data, Job};
use crate::trainer::{Trainer, split, transposed};

pub struct Candle {
    job: &'static Job,
    data: Data,
    features: Tensor,
    targets: Tensor,
    layers: Vec<Linear>,
    optimizer: AdamW,
}

impl Candle {
    pub fn new(job: &'static Job) -> Outcome<Self> {
        let data = job.data()?;
        let device = Device::Cpu;
        let features = Tensor::from_slice(&data.features, (job.rows, job.inputs()), &device)?;
        let classes: Vec<_> = data.classes.iter().map(|&class| class as u32).collect();
        let mut targets = Tensor::from_vec(classes, job.rows, &device)?;
        if job.binary() {
            targets = targets.to_dtype(DType::F32)?.reshape((job.rows, 1))?;
        }
        let (layers, optimizer) = start(job, &data.params)?;
        Ok(Self { job, data, features, targets, layers, optimizer })
    }
}

fn start(job: &Job, params: &[f32]) -> Outcome<(Vec<Linear>, AdamW)> {
    let (mut vars, mut layers) = (Vec::new(), Vec::new());
    for ((weights, biases), io) in split(job, params).into_iter().zip(job.sizes.windows(2)) {
        let weights = transposed(weights, io[1]);
        let weights = Var::from_vec(weights, (io[1], io[0]), &Device::Cpu)?;
        let biases = Var::from_slice(biases, io[1], &Device::Cpu)?;
        layers.push(Linear::new(weights.as_tensor().clone(), Some(biases.as_tensor().clone())));
        vars.extend([weights, biases]);
    }
    let settings = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    Ok((layers, AdamW::new(vars, settings)?))
}

impl Trainer for Candle {
    fn reset(&mut self) -> Outcome<()> {
        (self.layers, self.optimizer) = start(self.job, &self.data.params)?;
        Ok(())
    }

    fn epoch(&mut self, batches: &mut Batches) -> Outcome<f64> {
        let (mut sum, mut steps) = (0.0, 0);
        while let Some(rows) = batches.next_batch() {
            let rows = Tensor::from_iter(rows.iter().map(|&row| row as u32), &Device::Cpu)?;
            let targets = self.targets.index_select(&rows, 0)?;
            let mut h = self.features.index_select(&rows, 0)?;
            for (l, layer) in self.layers.iter().enumerate() {
                h = layer.forward(&h)?;
                if l + 1 < self.layers.len() {
                    h = h.relu()?;
                }
            }
            let loss = if self.job.binary() {
                loss::binary_cross_entropy_with_logit(&h, &targets)?
            } else {
                loss::cross_entropy(&h, &targets)?
            };
            self.optimizer.backward_step(&loss)?;
            sum += f64::from(loss.to_scalar::<f32>()?);
            steps += 1;
        }
        Ok(sum / f64::from(steps))
    }
}
