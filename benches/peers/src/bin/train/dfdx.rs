//! dfdx: a network typed by its sizes, `Adam`, batches copied into tensors of constant shape.

use dfdx::optim::Adam;
use dfdx::prelude::*;
use slimfit::batch::Batches;

use crate::Outcome;
use crate::job::{self, Job};
use crate::trainer::{Epochs, Trainer, split, transposed};
use crate::worker::Contestant;

type Hidden<const I: usize, const O: usize> = (modules::Linear<I, O, f32, Cpu>, ReLU);
type Net<const I: usize, const G: usize, const H: usize, const O: usize> =
    (Hidden<I, G>, Hidden<G, H>, modules::Linear<H, O, f32, Cpu>);

/// Inputs, two hidden layers, outputs, batch.
struct Dfdx<const I: usize, const G: usize, const H: usize, const O: usize, const B: usize> {
    job: &'static Job,
    data: job::Data,
    /// `[rows, outputs]`: the class, or one-hot.
    targets: Vec<f32>,
    device: Cpu,
    net: Net<I, G, H, O>,
    /// Taken while a tape holds it.
    gradients: Option<Gradients<f32, Cpu>>,
    optimizer: Adam<Net<I, G, H, O>, f32, Cpu>,
}

/// The contestant for a job: its sizes must be known to the compiler.
pub fn contestant(job: &'static Job) -> Outcome<Box<dyn Contestant>> {
    dfdx::flush_denormals_to_zero();
    Ok(match (job.sizes, job.batch) {
        ([30, 32, 16, 1], 32) => Box::new(new::<30, 32, 16, 1, 32>(job)?),
        ([784, 512, 256, 10], 128) => Box::new(new::<784, 512, 256, 10, 128>(job)?),
        ([784, 2048, 2048, 10], 1024) => Box::new(new::<784, 2048, 2048, 10, 1024>(job)?),
        _ => return Err("dfdx has no network of this job's sizes".into()),
    })
}

fn new<const I: usize, const G: usize, const H: usize, const O: usize, const B: usize>(
    job: &'static Job,
) -> Outcome<Epochs<Dfdx<I, G, H, O, B>>> {
    let data = job.data()?;
    let device = Cpu::default();
    let targets = if O == 1 {
        data.classes.iter().map(|&class| class as f32).collect()
    } else {
        let one_hot = |&class: &usize| (0..O).map(move |o| f32::from(u8::from(o == class)));
        data.classes.iter().flat_map(one_hot).collect()
    };
    let net = start(job, &data.params, &device);
    let gradients = Some(net.alloc_grads());
    let optimizer = Adam::new(&net, AdamConfig::default());
    Ok(Epochs { job, trainer: Dfdx { job, data, targets, device, net, gradients, optimizer } })
}

fn start<const I: usize, const G: usize, const H: usize, const O: usize>(
    job: &Job,
    params: &[f32],
    device: &Cpu,
) -> Net<I, G, H, O> {
    let parts = split(job, params);
    ((linear(parts[0], device), ReLU), (linear(parts[1], device), ReLU), linear(parts[2], device))
}

fn linear<const I: usize, const O: usize>(
    (weights, biases): (&[f32], &[f32]),
    device: &Cpu,
) -> modules::Linear<I, O, f32, Cpu> {
    modules::Linear {
        weight: device.tensor_from_vec(transposed(weights, O), (Const::<O>, Const::<I>)),
        bias: device.tensor_from_vec(biases.to_vec(), (Const::<O>,)),
    }
}

impl<const I: usize, const G: usize, const H: usize, const O: usize, const B: usize> Trainer
    for Dfdx<I, G, H, O, B>
{
    fn reset(&mut self) -> Outcome<()> {
        self.net = start(self.job, &self.data.params, &self.device);
        self.gradients = Some(self.net.alloc_grads());
        self.optimizer = Adam::new(&self.net, AdamConfig::default());
        Ok(())
    }

    fn epoch(&mut self, batches: &mut Batches) -> Outcome<f64> {
        let (mut sum, mut steps) = (0.0, 0);
        let mut features: Tensor<Rank2<B, I>, f32, Cpu> = self.device.zeros();
        let mut targets: Tensor<Rank2<B, O>, f32, Cpu> = self.device.zeros();
        let mut gathered = Vec::with_capacity(B * I);
        while let Some(rows) = batches.next_batch() {
            gather(&self.data.features, I, rows, &mut gathered);
            features.copy_from(&gathered);
            gather(&self.targets, O, rows, &mut gathered);
            targets.copy_from(&gathered);
            let gradients = self.gradients.take().ok_or("the gradients were lost in a failure")?;
            let logits = self.net.forward_mut(features.clone().traced(gradients));
            let loss = if O == 1 {
                binary_cross_entropy_with_logits_loss(logits, targets.clone())
            } else {
                cross_entropy_with_logits_loss(logits, targets.clone())
            };
            sum += f64::from(loss.array());
            steps += 1;
            let mut gradients = loss.backward();
            self.optimizer
                .update(&mut self.net, &gradients)
                .map_err(|error| format!("{error:?}"))?;
            self.net.zero_grads(&mut gradients);
            self.gradients = Some(gradients);
        }
        Ok(sum / f64::from(steps))
    }
}

fn gather(all: &[f32], columns: usize, rows: &[usize], into: &mut Vec<f32>) {
    into.clear();
    for &row in rows {
        into.extend_from_slice(&all[row * columns..][..columns]);
    }
}
