//! Initial weights.
//!
//! A layer keeps the variance of what flows through it if its weights have variance
//! `2 / (inputs + outputs)` (Glorot & Bengio 2010, for activations that are linear around zero), or
//! `2 / inputs` where the activation sends half of it to zero (He et al. 2015).

use rand_core::Rng;
use slimfit_kernels::activation::Activation;
use slimfit_kernels::math;

/// The distribution that weights are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Initializer {
    /// Uniform in ±sqrt(6 / (inputs + outputs)).
    GlorotUniform,
    /// Normal with variance 2 / (inputs + outputs).
    GlorotNormal,
    /// Uniform in ±sqrt(6 / inputs).
    HeUniform,
    /// Normal with variance 2 / inputs.
    HeNormal,
}

impl Initializer {
    /// He for the family of relu, Glorot for the others; both uniform.
    #[must_use]
    pub const fn for_activation(activation: Activation) -> Self {
        match activation {
            Activation::Relu => Self::HeUniform,
            #[cfg(feature = "all")]
            Activation::LeakyRelu(_) | Activation::Elu(_) | Activation::Gelu | Activation::Silu => {
                Self::HeUniform
            }
            _ => Self::GlorotUniform,
        }
    }

    /// Draws the weights of a layer.
    pub(crate) fn fill(
        self,
        inputs: usize,
        outputs: usize,
        rng: &mut impl Rng,
        weights: &mut [f32],
    ) {
        let fan = match self {
            Self::GlorotUniform | Self::GlorotNormal => (inputs + outputs) as f32,
            Self::HeUniform | Self::HeNormal => inputs as f32,
        };
        match self {
            Self::GlorotUniform | Self::HeUniform => {
                let limit = math::sqrt(6.0 / fan);
                for weight in weights {
                    *weight = limit * (2.0 * unit(rng) - 1.0);
                }
            }
            Self::GlorotNormal | Self::HeNormal => {
                let deviation = math::sqrt(2.0 / fan);
                for weight in weights {
                    *weight = deviation * normal(rng);
                }
            }
        }
    }
}

/// Uniform in [0, 1), a multiple of 2^-24.
fn unit(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Standard normal, by the transform of Box & Muller, of whose two values it uses one.
fn normal(rng: &mut impl Rng) -> f32 {
    // 1 - u lies in (0, 1], so that its logarithm is finite.
    let radius = math::sqrt(-2.0 * libm::logf(1.0 - unit(rng)));
    radius * libm::cosf(2.0 * core::f32::consts::PI * unit(rng))
}
