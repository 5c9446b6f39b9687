//! What several tests share.

use slimfit::Activation;

/// The definition of an activation, in f64.
pub(crate) fn activation(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Identity => z,
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu(slope) => {
            if z > 0.0 {
                z
            } else {
                f64::from(slope) * z
            }
        }
        Activation::Elu(alpha) => {
            if z > 0.0 {
                z
            } else {
                f64::from(alpha) * z.exp_m1()
            }
        }
        Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        Activation::Tanh => z.tanh(),
        Activation::Gelu => 0.5 * z * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2),
        Activation::Silu => z / (1.0 + (-z).exp()),
        Activation::Softplus => z.max(0.0) + (-z.abs()).exp().ln_1p(),
        other => panic!("no definition of {other:?}"),
    }
}

/// The result is an error with this message.
#[track_caller]
pub(crate) fn says(result: Result<impl Sized, slimfit::Error>, message: &str) {
    match result {
        Ok(_) => panic!("accepted, where this was due: {message}"),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}
