//! Matrices as strided views over slices: element (i, j) lies at `i * row_stride + j * col_stride`.
//!
//! Bounds are checked once, when a view is made. A transpose swaps the strides and moves nothing.
//!
//! A matrix to write to is a pointer, not a slice: the columns of a matrix stored by rows lie between each
//! other, and two slices that hold one half of them each would share elements. No two matrices do. Who
//! makes one from a slice has the slice to himself, no two index pairs of it share an element, and a split
//! deals the index pairs out.

use core::fmt;
use core::marker::PhantomData;

use crate::Error;

/// Number of slice elements a view spans: 0 without elements, else the last one's index plus one.
const fn span(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let Some(down) = (rows - 1).checked_mul(row_stride) else { return None };
    let Some(across) = (cols - 1).checked_mul(col_stride) else { return None };
    let Some(last) = down.checked_add(across) else { return None };
    last.checked_add(1)
}

/// The shape and strides of a matrix, wherever it lies.
///
/// ```
/// use slimfit_kernels::{Layout, MatRef};
///
/// let weights = Layout::row_major(2, 3);
/// assert_eq!(weights.t(), Layout::strided(3, 2, 1, 3));
/// assert_eq!(MatRef::new(&[0.0; 6], 2, 3)?.t().layout(), weights.t());
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl Layout {
    /// Row after row.
    #[must_use]
    pub const fn row_major(rows: usize, cols: usize) -> Self {
        Self { rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Any strides.
    #[must_use]
    pub const fn strided(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        Self { rows, cols, row_stride, col_stride }
    }

    /// The transpose.
    #[must_use]
    pub const fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.rows
    }
    /// Number of columns.
    #[must_use]
    pub const fn cols(self) -> usize {
        self.cols
    }
    /// Rows and columns.
    #[must_use]
    pub const fn shape(self) -> (usize, usize) {
        (self.rows, self.cols)
    }
    /// Elements from one row to the next.
    #[must_use]
    pub const fn row_stride(self) -> usize {
        self.row_stride
    }
    /// Elements from one column to the next.
    #[must_use]
    pub const fn col_stride(self) -> usize {
        self.col_stride
    }

    /// Length of the shortest slice that holds the matrix; nothing if no slice does.
    #[must_use]
    pub const fn span(self) -> Option<usize> {
        span(self.rows, self.cols, self.row_stride, self.col_stride)
    }

    /// Whether the larger stride steps over all that the smaller one spans, so that no element is
    /// reached twice. The span must not overflow.
    const fn is_distinct(self) -> bool {
        let Self { rows, cols, row_stride, col_stride } = self;
        rows == 0
            || cols == 0
            || (rows == 1 || row_stride > (cols - 1) * col_stride) && (cols == 1 || col_stride > 0)
            || (cols == 1 || col_stride > (rows - 1) * row_stride) && (rows == 1 || row_stride > 0)
    }

    /// [`Layout::span`], or an error.
    pub(crate) const fn check(self) -> Result<usize, Error> {
        let Self { rows, cols, row_stride, col_stride } = self;
        match self.span() {
            Some(span) => Ok(span),
            None => Err(Error::View { rows, cols, row_stride, col_stride, len: usize::MAX }),
        }
    }

    /// The same for a matrix to write to, which must not reach an element twice.
    pub(crate) const fn check_mut(self) -> Result<usize, Error> {
        let Self { row_stride, col_stride, .. } = self;
        match self.check() {
            Ok(_) if !self.is_distinct() => Err(Error::Overlap { row_stride, col_stride }),
            span => span,
        }
    }
}

/// A read-only matrix.
///
/// ```
/// use slimfit_kernels::MatRef;
///
/// let m = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3)?;
/// assert_eq!(m.get(1, 0), Some(4.0));
/// assert_eq!(m.t().get(0, 1), Some(4.0));
/// assert!(MatRef::new(&[1.0; 5], 2, 3).is_err());
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> MatRef<'a> {
    /// A row-major matrix: `data` has exactly `rows * cols` elements.
    ///
    /// # Errors
    /// [`Error::Length`] if the length does not fit, [`Error::View`] if it overflows `usize`.
    pub const fn new(data: &'a [f32], rows: usize, cols: usize) -> Result<Self, Error> {
        match rows.checked_mul(cols) {
            Some(len) if len == data.len() => {
                Ok(Self { data, rows, cols, row_stride: cols, col_stride: 1 })
            }
            Some(expected) => {
                Err(Error::Length { what: "matrix data", expected, found: data.len() })
            }
            None => {
                Err(Error::View { rows, cols, row_stride: cols, col_stride: 1, len: data.len() })
            }
        }
    }

    /// A matrix with any strides; a stride of zero repeats a row or column.
    ///
    /// # Errors
    /// [`Error::View`] if an element would lie outside `data`.
    pub const fn with_strides(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, Error> {
        match span(rows, cols, row_stride, col_stride) {
            Some(span) if span <= data.len() => {
                Ok(Self { data, rows, cols, row_stride, col_stride })
            }
            _ => Err(Error::View { rows, cols, row_stride, col_stride, len: data.len() }),
        }
    }

    /// The transpose, over the same slice.
    #[must_use]
    pub const fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// `count` rows from row `start` on.
    ///
    /// # Errors
    /// [`Error::Length`] if there are fewer.
    pub fn row_range(self, start: usize, count: usize) -> Result<Self, Error> {
        let data = row_range(self.shape(), self.row_stride, start, count)
            .and_then(|from| self.data.get(from..))
            .ok_or(Error::Length {
                what: "row range end",
                expected: self.rows,
                found: start.saturating_add(count),
            })?;
        Ok(Self { data, rows: count, ..self })
    }

    /// Element (`row`, `col`), or `None` outside the matrix.
    #[must_use]
    pub fn get(self, row: usize, col: usize) -> Option<f32> {
        if row < self.rows && col < self.cols {
            self.data.get(row * self.row_stride + col * self.col_stride).copied()
        } else {
            None
        }
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.rows
    }
    /// Number of columns.
    #[must_use]
    pub const fn cols(self) -> usize {
        self.cols
    }
    /// Rows and columns.
    #[must_use]
    pub const fn shape(self) -> (usize, usize) {
        (self.rows, self.cols)
    }
    /// Elements from one row to the next.
    #[must_use]
    pub const fn row_stride(self) -> usize {
        self.row_stride
    }
    /// Elements from one column to the next.
    #[must_use]
    pub const fn col_stride(self) -> usize {
        self.col_stride
    }
    /// Shape and strides.
    #[must_use]
    pub const fn layout(self) -> Layout {
        Layout::strided(self.rows, self.cols, self.row_stride, self.col_stride)
    }
    /// The slice below the view; it may be longer than the view reaches.
    #[must_use]
    pub const fn data(self) -> &'a [f32] {
        self.data
    }
}

/// Offset of row `start`, if rows `start..start + count` exist.
fn row_range(
    (rows, cols): (usize, usize),
    row_stride: usize,
    start: usize,
    count: usize,
) -> Option<usize> {
    let end = start.checked_add(count)?;
    if end > rows {
        None
    } else if count == 0 || cols == 0 {
        // An empty view needs no data, and the offset of the row after the last may lie outside.
        Some(0)
    } else {
        start.checked_mul(row_stride)
    }
}

/// A matrix to write to; no two index pairs share an element.
///
/// ```
/// use slimfit_kernels::MatMut;
///
/// let mut data = [0.0; 6];
/// let (mut left, mut right) = MatMut::new(&mut data, 2, 3)?.split_at_col(1)?;
/// if let (Some(x), Some(y)) = (left.get_mut(1, 0), right.get_mut(0, 1)) {
///     (*x, *y) = (1.0, 2.0);
/// }
/// assert_eq!(data, [0.0, 0.0, 2.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), slimfit_kernels::Error>(())
/// ```
pub struct MatMut<'a> {
    /// Element (0, 0), if there is one. Each other one is in bounds of the same slice.
    first: *mut f32,
    layout: Layout,
    slice: PhantomData<&'a mut [f32]>,
}

impl fmt::Debug for MatMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatMut").field("layout", &self.layout).finish_non_exhaustive()
    }
}

// SAFETY: a matrix is the only way to its elements while it lives, as `&mut [f32]` would be, and lends
// them out by `&mut self` alone.
unsafe impl Send for MatMut<'_> {}
// SAFETY: as above; nothing of an element can be had through `&self`.
unsafe impl Sync for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// A row-major matrix: `data` has exactly `rows * cols` elements.
    ///
    /// # Errors
    /// [`Error::Length`] if the length does not fit, [`Error::View`] if it overflows `usize`.
    pub const fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Result<Self, Error> {
        match MatRef::new(data, rows, cols) {
            Ok(of) => Ok(Self::over(data, of.layout())),
            Err(error) => Err(error),
        }
    }

    /// A matrix with strides under which no element is reached twice: the larger stride steps over
    /// all that the smaller one spans.
    ///
    /// # Errors
    /// [`Error::View`] if an element would lie outside `data`, [`Error::Overlap`] if two would
    /// share a place.
    pub const fn with_strides(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Result<Self, Error> {
        if let Err(error) = MatRef::with_strides(data, rows, cols, row_stride, col_stride) {
            return Err(error);
        }
        let layout = Layout::strided(rows, cols, row_stride, col_stride);
        if layout.is_distinct() {
            Ok(Self::over(data, layout))
        } else {
            Err(Error::Overlap { row_stride, col_stride })
        }
    }

    /// The matrix of a layout that is known to be distinct and to lie in `data`.
    const fn over(data: &'a mut [f32], layout: Layout) -> Self {
        Self { first: data.as_mut_ptr(), layout, slice: PhantomData }
    }

    /// The transpose, over the same slice.
    #[must_use]
    pub const fn t(self) -> Self {
        Self { layout: self.layout.t(), ..self }
    }

    /// The same matrix for a shorter time.
    pub const fn reborrow(&mut self) -> MatMut<'_> {
        MatMut { first: self.first, layout: self.layout, slice: PhantomData }
    }

    /// Element (`row`, `col`), or `None` outside the matrix.
    pub const fn get_mut(&mut self, row: usize, col: usize) -> Option<&mut f32> {
        let Layout { rows, cols, row_stride, col_stride } = self.layout;
        if row < rows && col < cols {
            // SAFETY: an element of the matrix: it lies in the slice that the matrix was made from, by the
            // check of its bounds there, which also showed that the offset does not overflow. The borrow of
            // `self` keeps every other way to it closed.
            Some(unsafe { &mut *self.first.add(row * row_stride + col * col_stride) })
        } else {
            None
        }
    }

    /// Where element (0, 0) lies, if there is one.
    pub(crate) const fn as_mut_ptr(&mut self) -> *mut f32 {
        self.first
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.layout.rows
    }
    /// Number of columns.
    #[must_use]
    pub const fn cols(&self) -> usize {
        self.layout.cols
    }
    /// Rows and columns.
    #[must_use]
    pub const fn shape(&self) -> (usize, usize) {
        self.layout.shape()
    }
    /// Elements from one row to the next.
    #[must_use]
    pub const fn row_stride(&self) -> usize {
        self.layout.row_stride
    }
    /// Elements from one column to the next.
    #[must_use]
    pub const fn col_stride(&self) -> usize {
        self.layout.col_stride
    }
    /// Shape and strides.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Rows before `row`, and the rest, as two matrices: to be written by two threads.
    ///
    /// # Errors
    /// [`Error::Length`] if `row` is past the end.
    pub fn split_at_row(self, row: usize) -> Result<(Self, Self), Error> {
        self.split(row, "row to split at")
    }

    /// Columns before `col`, and the rest, as two matrices: to be written by two threads, even if the
    /// columns lie between each other.
    ///
    /// # Errors
    /// [`Error::Length`] if `col` is past the end.
    pub fn split_at_col(self, col: usize) -> Result<(Self, Self), Error> {
        let (left, right) = self.t().split(col, "column to split at")?;
        Ok((left.t(), right.t()))
    }

    /// Rows before `at`, which an error calls `what`, and the rest.
    fn split(self, at: usize, what: &'static str) -> Result<(Self, Self), Error> {
        let Layout { rows, row_stride, .. } = self.layout;
        if at > rows {
            return Err(Error::Length { what, expected: rows, found: at });
        }
        let part = |first, rows| Self { first, layout: Layout { rows, ..self.layout }, ..self };
        // One that is empty points anywhere, and its offset may overflow.
        let rest = self.first.wrapping_add(at.wrapping_mul(row_stride));
        Ok((part(self.first, at), part(rest, rows - at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_check_their_bounds() {
        assert!(MatRef::new(&[0.0; 6], 2, 3).is_ok());
        assert!(matches!(MatRef::new(&[0.0; 7], 2, 3), Err(Error::Length { .. })));
        assert!(matches!(MatRef::new(&[], usize::MAX, 2), Err(Error::View { .. })));
        assert!(MatRef::with_strides(&[0.0; 6], 2, 3, 3, 1).is_ok());
        assert!(MatRef::with_strides(&[0.0; 5], 2, 3, 3, 1).is_err());
        assert!(MatRef::with_strides(&[0.0; 3], 100, 3, 0, 1).is_ok());
        assert!(MatRef::with_strides(&[], 0, usize::MAX, usize::MAX, 1).is_ok());
        assert!(MatRef::with_strides(&[0.0; 9], 3, 2, usize::MAX, 1).is_err());
    }

    #[test]
    fn mutable_views_refuse_shared_elements() {
        let mut data = [0.0; 64];
        for (rows, cols, row_stride, col_stride) in
            [(2, 3, 0, 1), (2, 3, 2, 1), (3, 3, 2, 2), (2, 2, 1, 1), (1, 2, 1, 0), (4, 3, 3, 2)]
        {
            let error = MatMut::with_strides(&mut data, rows, cols, row_stride, col_stride);
            assert!(matches!(error, Err(Error::Overlap { .. })), "{rows} {cols}");
        }
        for (rows, cols, row_stride, col_stride) in
            [(2, 3, 3, 1), (2, 3, 1, 2), (3, 3, 6, 2), (1, 3, 0, 1), (4, 1, 1, 0), (0, 5, 0, 0)]
        {
            assert!(MatMut::with_strides(&mut data, rows, cols, row_stride, col_stride).is_ok());
        }
    }

    fn add_one(m: &mut MatMut<'_>) {
        let (rows, cols) = m.shape();
        for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
            *m.get_mut(i, j).unwrap() += 1.0;
        }
        assert!(m.get_mut(rows, 0).is_none());
        assert!(m.get_mut(0, cols).is_none());
    }

    #[test]
    fn the_parts_of_a_split_matrix_cover_it_once() {
        // By rows with gaps, by columns, and with gaps both ways.
        for (row_stride, col_stride) in [(5, 1), (1, 3), (10, 2)] {
            let mut expected = [0.0; 27];
            for (i, j) in (0..3).flat_map(|i| (0..4).map(move |j| (i, j))) {
                expected[i * row_stride + j * col_stride] = 1.0;
            }
            for at in 0..=4 {
                for by_rows in [true, false] {
                    let mut data = [0.0; 27];
                    let m = MatMut::with_strides(&mut data, 3, 4, row_stride, col_stride).unwrap();
                    let parts = if by_rows { m.split_at_row(at) } else { m.split_at_col(at) };
                    let Ok((mut front, mut back)) = parts else {
                        assert!(by_rows && at == 4, "{at}");
                        continue;
                    };
                    let shapes =
                        if by_rows { ((at, 4), (3 - at, 4)) } else { ((3, at), (3, 4 - at)) };
                    assert_eq!((front.shape(), back.shape()), shapes);
                    add_one(&mut front);
                    add_one(&mut back);
                    assert_eq!(data, expected, "{row_stride} {col_stride} {at} {by_rows}");
                }
            }
            let mut data = [0.0; 27];
            let m = MatMut::with_strides(&mut data, 3, 4, row_stride, col_stride).unwrap();
            assert!(m.split_at_col(5).is_err());
        }
    }

    #[test]
    fn a_matrix_without_elements_is_split_too() {
        let m = MatMut::with_strides(&mut [], usize::MAX, 0, usize::MAX, 1).unwrap();
        let (above, mut below) = m.split_at_row(7).unwrap();
        assert_eq!((above.shape(), below.shape()), ((7, 0), (usize::MAX - 7, 0)));
        assert!(below.get_mut(0, 0).is_none());
        assert!(below.split_at_col(1).is_err());
    }

    /// For a sanitizer: each thread writes the columns that it was lent. (Wasm has no threads.)
    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn columns_are_written_by_two_threads() {
        let mut data = [0.0; 64 * 33];
        let (mut left, mut right) =
            MatMut::new(&mut data, 64, 33).unwrap().split_at_col(16).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| add_one(&mut left));
            add_one(&mut right);
        });
        assert!(data.iter().all(|&x| x == 1.0));
    }

    #[test]
    fn row_ranges() {
        let data: [f32; 6] = core::array::from_fn(|i| i as f32);
        let m = MatRef::new(&data, 3, 2).unwrap();
        assert_eq!(m.row_range(1, 2).unwrap().get(0, 1), Some(3.0));
        assert!(m.row_range(3, 0).is_ok());
        assert!(m.row_range(2, 2).is_err());
        assert!(m.row_range(usize::MAX, 2).is_err());
    }
}
