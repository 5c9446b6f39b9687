//! Activations, forward beside backward.

/// An activation that works on each element by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// `z`
    Identity,
    /// `max(z, 0)`
    Relu,
    /// `z` where positive, else `slope * z`.
    LeakyRelu(f32),
    /// `z` where positive, else `alpha * (exp(z) - 1)`.
    Elu(f32),
    /// `1 / (1 + exp(-z))`
    Sigmoid,
    /// `tanh(z)`
    Tanh,
    /// `z * Φ(z)`, with the normal distribution function Φ by `erf`.
    Gelu,
    /// `z * sigmoid(z)`
    Silu,
    /// `ln(1 + exp(z))`
    Softplus,
}

/// What the forward pass keeps for the backward pass, in one number an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The output: the derivative follows from it.
    Output,
    /// The derivative itself, computed in the same pass as the output.
    Derivative,
}

impl Activation {
    /// What the backward pass of this activation reads.
    #[must_use]
    pub const fn saves(self) -> Saved {
        match self {
            Self::Gelu | Self::Silu | Self::Softplus => Saved::Derivative,
            _ => Saved::Output,
        }
    }
}
