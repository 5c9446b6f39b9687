//! What the trainer says when its input does not make sense.
//!
//! A message names what its reader can go and look at: the file, the line, the column, the two
//! counts that differ. Rows of a [`Dataset`](crate::dataset::Dataset) are counted from 0, as its
//! slices are; lines of a file from 1, as editors do.

use core::fmt;

/// Why a request was refused. Nothing has been changed then.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A kernel refused its arguments: lengths, shapes, numeric settings.
    Kernel(slimfit_kernels::Error),
    /// A setting lies outside its range, or is NaN.
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// Its value.
        found: f64,
    },
    /// There is nothing to work on: no rows, no columns.
    Empty {
        /// What is empty, and why where that is known.
        what: &'static str,
    },
    /// A number in a data set, or in the outputs of a network, cannot be used.
    Value {
        /// Its row, from 0.
        row: usize,
        /// Name of its column.
        column: String,
        /// The number.
        found: f32,
        /// What it should be.
        expected: String,
    },
    /// A class index is negative, fractional, infinite or too large.
    Class {
        /// Its row, from 0.
        row: usize,
        /// Name of the target column.
        column: String,
        /// The value found.
        found: f32,
        /// The number of classes.
        classes: usize,
    },
    /// All rows are of one class: there is nothing to tell apart.
    OneClass {
        /// That class.
        class: String,
        /// How many rows there are.
        rows: usize,
    },
    /// The loss became NaN or infinite.
    Diverged {
        /// In this epoch, from 0.
        epoch: usize,
    },
    /// There is no memory for a buffer.
    Memory {
        /// What for.
        what: &'static str,
        /// Its length in numbers; `usize::MAX` if that overflows.
        len: usize,
    },
    /// The threads asked for could not be started.
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        reason: String,
    },
    /// Something asked for classes, or for a target, that the data set does not have.
    Task {
        /// What was asked for, and what the data set has.
        what: &'static str,
    },
    /// A name stands for two things.
    Duplicate {
        /// What it names: a column, a class.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file could not be opened or read.
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table has no column of the name asked for.
    NoColumn {
        /// The file.
        path: String,
        /// The name asked for.
        name: String,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// A cell of a table cannot be read as its column asks.
    Cell {
        /// The file.
        path: String,
        /// The line on which its row begins, from 1.
        line: u64,
        /// Name of its column.
        column: String,
        /// Its text.
        found: String,
        /// Why it cannot be used, and what can be done.
        reason: &'static str,
    },
    /// A table is not laid out as it should be.
    Table {
        /// The file.
        path: String,
        /// What is wrong, with counts and names.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => error.fmt(f),
            Self::Setting { what, expected, found } => {
                write!(f, "{what} is {found}, but must be {expected}")
            }
            Self::Diverged { epoch } => write!(
                f,
                "the loss of epoch {epoch} (from 0) is not finite: try a lower learning rate, \
                 clip_norm, or standardised features"
            ),
            Self::Memory { what, len } => {
                write!(f, "no memory for {len} numbers ({what})")
            }
            Self::Threads { threads, reason } => {
                write!(f, "could not start {threads} threads: {reason}")
            }
            Self::Empty { what } | Self::Task { what } => f.write_str(what),
            Self::Value { row, column, found, expected } => {
                write!(f, "row {row} (from 0), column \"{column}\": {found} where {expected}")
            }
            Self::Class { row, column, found, classes } => write!(
                f,
                "row {row} (from 0), column \"{column}\": {found} is not a class index below \
                 {classes}"
            ),
            Self::OneClass { class, rows } => write!(
                f,
                "all {rows} rows are of the class \"{class}\": classification needs rows of two \
                 classes or more"
            ),
            Self::Duplicate { what, name } => write!(f, "the {what} \"{name}\" is there twice"),
            Self::Io { path, source } => write!(f, "{path}: {source}"),
            Self::NoColumn { path, name, columns } => {
                write!(f, "{path}: there is no column \"{name}\"; there are")?;
                for (index, column) in columns.iter().enumerate() {
                    write!(f, "{} \"{column}\"", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Cell { path, line, column, found, reason } => {
                write!(f, "{path}: line {line}, column \"{column}\": \"{found}\" {reason}")
            }
            Self::Table { path, reason } => write!(f, "{path}: {reason}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<slimfit_kernels::Error> for Error {
    fn from(error: slimfit_kernels::Error) -> Self {
        Self::Kernel(error)
    }
}

/// `Ok` if a slice has the length it should have.
pub(crate) fn check_len(what: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected {
        Ok(())
    } else {
        Err(slimfit_kernels::Error::Length { what, expected, found }.into())
    }
}

/// A buffer, or an error if there is no memory for it: sizes come from the user.
pub(crate) fn zeros<T: Clone + Default>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Error::Memory { what, len })?;
    buffer.resize(len, T::default());
    Ok(buffer)
}
