//! What a public function says when its arguments do not fit together.

use core::fmt;

/// Why a kernel refused its arguments. It refuses before it writes anything.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice does not have the length that the other arguments ask for.
    Length {
        /// Which argument.
        what: &'static str,
        /// The length it should have (for scratch space: at least).
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// A matrix does not have the shape that the other arguments ask for.
    Shape {
        /// Which argument.
        what: &'static str,
        /// Rows and columns it should have.
        expected: (usize, usize),
        /// Rows and columns it has.
        found: (usize, usize),
    },
    /// A view reaches past the end of its slice, or its extent overflows `usize`.
    View {
        /// Rows of the view.
        rows: usize,
        /// Columns of the view.
        cols: usize,
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
        /// Length of the slice.
        len: usize,
    },
    /// A mutable view would reach one element by two index pairs.
    Overlap {
        /// Elements from one row to the next.
        row_stride: usize,
        /// Elements from one column to the next.
        col_stride: usize,
    },
    /// A setting lies outside its range, or is NaN.
    Parameter {
        /// Which setting.
        what: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// Its value.
        found: f32,
    },
    /// A class index is negative, fractional, NaN or too large.
    Class {
        /// The row it stands in.
        row: usize,
        /// Its value.
        found: f32,
        /// The number of classes.
        classes: usize,
    },
    /// Settings that are right by themselves do not go together.
    Combination(
        /// Which, and why.
        &'static str,
    ),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { what, expected, found } => {
                write!(f, "{what}: length {found} where {expected} is needed")
            }
            Self::Shape { what, expected: (er, ec), found: (r, c) } => {
                write!(f, "{what}: shape {r} x {c} where {er} x {ec} is needed")
            }
            Self::View { rows, cols, row_stride, col_stride, len } => write!(
                f,
                "a view of {rows} x {cols} with strides ({row_stride}, {col_stride}) does not fit \
                 into {len} elements"
            ),
            Self::Overlap { row_stride, col_stride } => write!(
                f,
                "strides ({row_stride}, {col_stride}) make two elements of a mutable view share \
                 one place"
            ),
            Self::Parameter { what, expected, found } => {
                write!(f, "{what} is {found}, but must be {expected}")
            }
            Self::Class { row, found, classes } => {
                write!(f, "row {row}: {found} is not a class index below {classes}")
            }
            Self::Combination(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for Error {}

/// `Ok` if a slice has the length it should have.
pub(crate) fn check_len(what: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}
