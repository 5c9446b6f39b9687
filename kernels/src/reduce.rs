//! Reductions in a fixed order.
use crate::dispatch::stamp;
use crate::simd::{BLOCK, Simd};

stamp! {
    /// Sum of all elements; zero for an empty slice.
    pub fn sum(x: &[f32]) -> f32 = sum_in;
}

#[inline(always)]
fn sum_in<S: Simd>(s: S, x: &[f32]) -> f32 {
    let (blocks, tail) = x.as_chunks::<BLOCK>();
    let mut acc = s.splat_block(0.0);
    for block in blocks {
        for (acc, x) in acc.as_mut().iter_mut().zip(s.load_block(block).as_ref()) {
            *acc = s.add(*acc, *x);
        }
    }
    for (acc, x) in acc.as_mut().iter_mut().zip(s.load_block_tail(tail, 0.0).as_ref()) {
        *acc = s.add(*acc, *x);
    }
    s.sum_block(acc)
}
