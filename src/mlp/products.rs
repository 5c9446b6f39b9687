//! The products of a network's training step, prepared for one number of rows.
//!
//! In a small network the checks before a product take a good part of the time of the product. They
//! are the same step after step: [`Mlp::prepare`] makes them once, and a
//! [workspace](Workspace::with_products) that knows the result leaves them out. The bits are the same.

use slimfit_kernels::gemm::{EpilogueKind, Prepared};
use slimfit_kernels::{Error, Layout, Level};

use super::{Layer, Mlp, Workspace};
use crate::{Executor, parallel};

/// The products of one layer for one number of rows; see [`Mlp::prepare`].
#[derive(Clone, Copy, Debug)]
pub struct LayerProducts {
    layer: Layer,
    /// The layer whose derivative `below` multiplies by.
    layer_below: Option<Layer>,
    level: Level,
    rows: usize,
    /// x W, with bias and, unless that saves its derivative, activation.
    pub(super) forward: Prepared,
    /// xᵀ δ.
    pub(super) weights: Prepared,
    /// 1ᵀ δ.
    pub(super) biases: Prepared,
    /// δ Wᵀ times the derivative of the layer below, if there is one.
    pub(super) below: Option<Prepared>,
}

impl<'a> Mlp<'a> {
    /// The products of each layer in steps of `rows` rows, for [`Workspace::with_products`]. Nothing for a
    /// network whose products are split between threads.
    ///
    /// # Errors
    /// [`Error::View`] for a number of rows that no slice can hold.
    pub fn prepare<E: Executor>(
        &self,
        executor: &E,
        rows: usize,
    ) -> impl Iterator<Item = Result<LayerProducts, Error>> + use<'a, E> {
        let layers = self.layers;
        let level = executor.level();
        let whole = layers
            .iter()
            .all(|layer| parallel::is_whole(executor, rows, layer.outputs, layer.inputs));
        layers.iter().enumerate().filter(move |_| whole).map(move |(l, layer)| {
            let below = l.checked_sub(1).and_then(|l| layers.get(l));
            LayerProducts::new(level, rows, *layer, below.copied())
        })
    }
}

impl LayerProducts {
    fn new(level: Level, rows: usize, layer: Layer, below: Option<Layer>) -> Result<Self, Error> {
        let Layer { inputs, outputs: units, activation } = layer;
        let (x, delta) = (Layout::row_major(rows, inputs), Layout::row_major(rows, units));
        let weights = Layout::row_major(inputs, units);
        let new = |lhs, rhs, c, epilogue| Prepared::new(level, 1.0, lhs, rhs, 0.0, c, epilogue);
        let forward = if layer.saves_derivative() {
            EpilogueKind::Bias
        } else {
            EpilogueKind::BiasActivation(activation)
        };
        let derivative = |below: Layer| {
            if layer.is_wide() {
                EpilogueKind::Derivative(below.activation, x)
            } else {
                EpilogueKind::DerivativeInPlace(below.activation)
            }
        };
        let ones = Layout::strided(1, rows, 0, 0);
        Ok(Self {
            layer,
            layer_below: below,
            level,
            rows,
            forward: new(x, weights, delta, forward)?,
            weights: new(x.t(), delta, weights, EpilogueKind::None)?,
            biases: new(ones, delta, Layout::row_major(1, units), EpilogueKind::None)?,
            below: below.map(|it| new(delta, weights.t(), x, derivative(it))).transpose()?,
        })
    }
}

impl<'w> Workspace<'w> {
    /// The same workspace with products from [`Mlp::prepare`], which steps of their level and number of
    /// rows then use.
    ///
    /// # Errors
    /// [`Error::Combination`] if they were made for other layers than the workspace was.
    pub fn with_products(mut self, products: &'w [LayerProducts]) -> Result<Self, Error> {
        let layers = self.mlp.layers();
        let below = core::iter::once(None).chain(layers.iter().map(Some));
        let own = layers.iter().zip(below);
        let of = products.iter().map(|of| (&of.layer, of.layer_below.as_ref()));
        if !products.is_empty() && !of.eq(own) {
            return Err(Error::Combination("the products were prepared for another network"));
        }
        let same = |of: &LayerProducts| products.first().is_some_and(|first| first.is_like(of));
        if !products.iter().all(same) {
            return Err(Error::Combination("the products were prepared for several sizes of step"));
        }
        self.products = products;
        Ok(self)
    }

    /// The products of steps at this level, of as many rows as the last forward pass has.
    pub(super) fn products(&self, level: Level) -> &'w [LayerProducts] {
        match self.products {
            [first, ..] if first.rows == self.rows && first.level == level => self.products,
            _ => &[],
        }
    }
}

impl LayerProducts {
    /// Whether both are of steps of one size.
    fn is_like(&self, other: &Self) -> bool {
        self.rows == other.rows && self.level == other.level
    }
}
