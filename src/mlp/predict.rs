//! Answers of a network: its forward pass alone, in two buffers that take turns.

use slimfit_kernels::activation::{self, Activation};
use slimfit_kernels::gemm::{self, Epilogue};
use slimfit_kernels::loss::Link;
use slimfit_kernels::{Error, Level, MatMut, MatRef};

use super::workspace::Lengths;
use super::{Layer, Mlp};

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
        let rows = self.check_features(features)?;
        self.pass(rows, params, features, out, workspace, |layer, x, (w, biases), to, scratch| {
            let lhs = MatRef::new(x, rows, layer.inputs)?;
            let rhs = MatRef::new(w, layer.inputs, layer.outputs)?;
            let c = MatMut::new(to, rows, layer.outputs)?;
            let epilogue = Epilogue::BiasActivation(biases, layer.activation);
            gemm::gemm(level, 1.0, lhs, rhs, 0.0, c, epilogue, scratch)
        })?;
        self.apply(link, level, out)
    }

    /// [`Mlp::predict`] for a single row, with the same bits: `features` are [`Mlp::inputs`] numbers,
    /// `out` [`Mlp::outputs`].
    ///
    /// For programs that infer one sample at a time: on a microcontroller, one that has no other use for
    /// products takes less than half the flash of one that calls `predict`, and a seventh less time.
    ///
    /// ```
    /// use slimfit::kernels::loss::Link;
    /// use slimfit::{Activation, Layer, Level, Mlp};
    ///
    /// // The exclusive or of two bits: relu(x + y) - 2 relu(x + y - 1).
    /// const LAYERS: [Layer; 2] =
    ///     [Layer::new(2, 2, Activation::Relu), Layer::new(2, 1, Activation::Identity)];
    /// const XOR: Mlp<'static> = match Mlp::new(&LAYERS) {
    ///     Ok(mlp) => mlp,
    ///     Err(_) => panic!("the layers do not fit together"),
    /// };
    /// let params = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0];
    /// let (mut out, mut workspace) = ([0.0], [0.0; XOR.predict_len(1)]);
    /// for (x, y) in [([0.0, 0.0], 0.0), ([0.0, 1.0], 1.0), ([1.0, 1.0], 0.0)] {
    ///     let level = Level::detect();
    ///     XOR.predict_row(level, Link::Identity, &params, &x, &mut out, &mut workspace)?;
    ///     assert_eq!(out, [y]);
    /// }
    /// # Ok::<(), slimfit::KernelError>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] for slices of the wrong length; the workspace needs [`Mlp::predict_len`]`(1)`.
    pub fn predict_row(
        &self,
        level: Level,
        link: Link,
        params: &[f32],
        features: &[f32],
        out: &mut [f32],
        workspace: &mut [f32],
    ) -> Result<(), Error> {
        let (expected, found) = (self.inputs(), features.len());
        if found != expected {
            return Err(Error::Length { what: "features of a row", expected, found });
        }
        self.pass(1, params, features, out, workspace, |layer, x, (w, biases), to, _| {
            gemm::dense_row(level, x, w, biases, layer.activation, to)
        })?;
        self.apply(link, level, out)
    }

    /// The outputs of the last layer to `out`. `product` computes a layer from what the one below has put
    /// out, its weights and its biases, and may use a scratch slice.
    fn pass(
        &self,
        rows: usize,
        params: &[f32],
        features: &[f32],
        out: &mut [f32],
        workspace: &mut [f32],
        product: impl Fn(&Layer, &[f32], (&[f32], &[f32]), &mut [f32], &mut [f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check_params(params)?;
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
        for (l, (layer, own)) in self.layers.iter().zip(self.split_params(params)).enumerate() {
            let below =
                if l == 0 { features } else { read.get(..rows * layer.inputs).unwrap_or_default() };
            let to = if l + 1 == layer_count {
                &mut *out
            } else {
                write.get_mut(..rows * layer.outputs).unwrap_or_default()
            };
            product(layer, below, own, to, scratch)?;
            core::mem::swap(&mut read, &mut write);
        }
        Ok(())
    }

    /// The outputs of the last layer through the link.
    fn apply(&self, link: Link, level: Level, out: &mut [f32]) -> Result<(), Error> {
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
