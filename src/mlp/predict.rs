//! Answers of a network: its forward pass alone, in two buffers that take turns.

use slimfit_kernels::activation::{self, Activation};
use slimfit_kernels::gemm::{self, Epilogue};
use slimfit_kernels::loss::Link;
use slimfit_kernels::{Error, Level, MatMut, MatRef};

use super::Mlp;
use super::workspace::Lengths;

impl Mlp<'_> {
    /// The network's answers to `features`, `[rows, inputs]`: what the last layer puts out, through
    /// the link of the loss (probabilities for the cross-entropies), `[rows, outputs]`.
    ///
    /// # Errors
    /// [`Error::Length`] for slices of the wrong length; the workspace needs [`Mlp::predict_len`].
    pub fn predict(
        &self,
        level: Level,
        link: Link,
        params: &[f32],
        features: &[f32],
        out: &mut [f32],
        workspace: &mut [f32],
    ) -> Result<(), Error> {
        self.check_params(params)?;
        let rows = self.check_features(features)?;
        let expected = rows.saturating_mul(self.outputs());
        if out.len() != expected {
            return Err(Error::Length { what: "predictions", expected, found: out.len() });
        }
        let expected = self.predict_len(rows);
        if workspace.len() < expected {
            let found = workspace.len();
            return Err(Error::Length { what: "workspace (at least)", expected, found });
        }
        let hidden = Lengths::new(self.layers, rows).hidden;
        let mut scratch = workspace;
        let mut read = scratch.split_off_mut(..hidden).unwrap_or_default();
        let mut write = scratch.split_off_mut(..hidden).unwrap_or_default();
        let layer_count = self.layers.len();
        for (l, (layer, (weights, biases))) in
            self.layers.iter().zip(self.split_params(params)).enumerate()
        {
            let below =
                if l == 0 { features } else { read.get(..rows * layer.inputs).unwrap_or_default() };
            let lhs = MatRef::new(below, rows, layer.inputs)?;
            let rhs = MatRef::new(weights, layer.inputs, layer.outputs)?;
            let to = if l + 1 == layer_count {
                &mut *out
            } else {
                write.get_mut(..rows * layer.outputs).unwrap_or_default()
            };
            let c = MatMut::new(to, rows, layer.outputs)?;
            let epilogue = Epilogue::BiasActivation(biases, layer.activation);
            gemm::gemm(level, 1.0, lhs, rhs, 0.0, c, epilogue, scratch)?;
            core::mem::swap(&mut read, &mut write);
        }
        match link {
            Link::Identity => Ok(()),
            Link::Sigmoid => activation::forward_in_place(level, Activation::Sigmoid, out),
            #[cfg(feature = "all")]
            Link::Softmax => slimfit_kernels::softmax::softmax_in_place(level, out, self.outputs()),
            #[cfg(not(feature = "all"))]
            Link::Softmax => Err(Error::Combination("softmax needs the feature `all`")),
        }
    }
}
