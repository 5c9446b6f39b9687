//! Rows of a matrix by their indices, one after the other: a batch out of a shuffled data set.
//!
//! A short row costs more as a call of `memcpy` than as the two or three registers that it fills, and
//! the rows of most tables are short.

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::Simd;

/// Longest row that is copied register by register.
const SHORT: usize = 64;

stamp! {
    /// Copies the rows of `data`, `cols` numbers each, that have these indices, in their order;
    /// an index may be there more than once.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` is not whole rows of `cols` numbers, has no such row, or `out` is not
    /// as long as the rows that are asked for; `out` is as it was then.
    ///
    /// ```
    /// use slimfit_kernels::{Level, gather_rows};
    ///
    /// let (data, mut out) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0; 4]);
    /// gather_rows(Level::detect(), &data, 2, &[2, 0], &mut out)?;
    /// assert_eq!(out, [5.0, 6.0, 1.0, 2.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn gather_rows(data: &[f32], cols: usize, rows: &[usize], out: &mut [f32])
        -> Result<(), Error> = gather_rows_in;
}

#[inline(always)]
fn gather_rows_in<S: Simd>(
    s: S,
    data: &[f32],
    cols: usize,
    rows: &[usize],
    out: &mut [f32],
) -> Result<(), Error> {
    let count = data.len().checked_div(cols).unwrap_or(0);
    check_len("data in whole rows", data.len(), count * cols)?;
    check_len("gathered rows", out.len(), rows.len().saturating_mul(cols))?;
    // One comparison for all: a branch a row would end the loop's vectors.
    let last = rows.iter().fold(0, |last, &row| if row > last { row } else { last });
    if !rows.is_empty() && last >= count {
        let (what, expected) = ("rows to gather from (at least)", last.saturating_add(1));
        return Err(Error::Length { what, expected, found: count });
    }
    if cols == 1 {
        for (to, &row) in out.iter_mut().zip(rows) {
            if let Some(from) = data.get(row) {
                *to = *from;
            }
        }
        return Ok(());
    }
    if cols > SHORT {
        for (to, &row) in out.chunks_exact_mut(cols).zip(rows) {
            if let Some(from) = data.get(row * cols..).and_then(|rest| rest.get(..cols)) {
                to.copy_from_slice(from);
            }
        }
        return Ok(());
    }
    // Register by register of all rows: a loop along the row would be compiled to `memcpy` again.
    for column in (0..cols).step_by(S::LANES) {
        for (to, &row) in out.chunks_exact_mut(cols).zip(rows) {
            let from = data.get(row * cols + column..).and_then(|rest| rest.get(..cols - column));
            let (Some(from), Some(to)) = (from, to.get_mut(column..)) else { continue };
            if let ([from, ..], [to, ..]) = (s.chunks(from).0, s.chunks_mut(to).0) {
                s.store(s.load(from), to);
            } else {
                s.store_tail(s.load_tail(from, 0.0), to);
            }
        }
    }
    Ok(())
}
