//! Reads a table of comma-separated values into a data set.
//!
//! The first line names the columns; one of them is the target, the others are features, except
//! those to be ignored. Fields are trimmed; quoting is that of RFC 4180, a byte order mark is
//! skipped, and so are blank lines.
//!
//! | column | becomes |
//! |---|---|
//! | every cell a number | one feature |
//! | no cell a number, or listed in [`CsvOptions::categorical`] | a feature for each value, named `column=value`, 1 where the row has it and 0 elsewhere (one-hot) |
//! | numbers and texts | an error that names the first text |
//!
//! A **missing** cell is empty, `?`, or `NA` or `NaN` in any case of letters. It becomes NaN (all
//! the features of its column, if that is categorical), which [`Dataset::drop_missing`] drops. A
//! column in which every cell is missing is an error, and so is a number that no `f32` holds
//! (`inf`, `1e39`).
//!
//! Values of a categorical column and classes of a target are in sorted order: as numbers if all
//! of them are, and else by their bytes.
//!
//! ```
//! use slimfit::csv::{self, CsvOptions, Task};
//!
//! let text = "\
//! island,mass,species
//! Dream,3500,Adelie
//! Biscoe,5000,Gentoo
//! Dream,NA,Chinstrap
//! ";
//! let options = CsvOptions::new("species", Task::Classification);
//! let mut penguins = csv::read(text.as_bytes(), &options)?;
//! assert_eq!(penguins.feature_names(), ["island=Biscoe", "island=Dream", "mass"]);
//! assert_eq!(penguins.classes(), ["Adelie", "Chinstrap", "Gentoo"]);
//! assert_eq!(penguins.row(1), Some((&[1.0, 0.0, 5000.0][..], &[2.0][..])));
//! assert_eq!(penguins.drop_missing(), 1);
//! # Ok::<(), slimfit::Error>(())
//! ```

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};

use crate::dataset::Dataset;
use crate::error::Error;

/// What is to be learnt of a target column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Each different value, number or text, is a class.
    Classification,
    /// The values are numbers to come close to.
    Regression,
}

/// Which column is what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Name of the target column.
    pub target: String,
    /// What is to be learnt of it.
    pub task: Task,
    /// Feature columns that are categorical though there are numbers in them.
    pub categorical: Vec<String>,
    /// Columns to leave out.
    pub ignore: Vec<String>,
    /// What separates two fields: a byte of ASCII.
    pub delimiter: u8,
    /// The most different values that a categorical column or a target with classes may have: a
    /// column of names or of numbers to be measured is an error, not a thousand features.
    pub max_categories: usize,
}

impl CsvOptions {
    /// A target and its task; nothing is ignored, categorical columns are those without a number
    /// and have 256 different values at most, and commas separate fields.
    #[must_use]
    pub fn new(target: impl Into<String>, task: Task) -> Self {
        Self {
            target: target.into(),
            task,
            categorical: Vec::new(),
            ignore: Vec::new(),
            delimiter: b',',
            max_categories: 256,
        }
    }
}

/// Reads a file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Table`] if it has no header or no rows, if
/// a row has more or fewer fields than the header, if a name is there twice, if a column has no
/// values or too many different ones, if no feature is left, or if it is not UTF-8;
/// [`Error::NoColumn`] if a column of the options is not there; [`Error::Cell`] if a number is
/// needed and something else is there.
pub fn read_path(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Dataset, Error> {
    Table::open(path, options.delimiter)?.dataset(options)
}

/// Reads anything that can be read, for instance bytes; errors call it `CSV`.
///
/// # Errors
/// As [`read_path`].
pub fn read(reader: impl Read, options: &CsvOptions) -> Result<Dataset, Error> {
    Table::read(reader, "CSV", options.delimiter)?.dataset(options)
}

impl Task {
    /// Guesses what is to be learnt of a column: classes if there is a text in it, or if it has
    /// nothing but whole numbers and at most 20 different ones; a regression otherwise.
    ///
    /// A grade from 1 to 10 is taken for classes too: whoever knows better should say so.
    ///
    /// # Errors
    /// [`Error::NoColumn`] if there is no such column.
    pub fn guess(table: &Table, target: &str) -> Result<Self, Error> {
        let column = table.find(target)?;
        let mut values = HashSet::new();
        let mut whole = true;
        for (_, cell) in table.present(column) {
            let Ok(number) = cell.parse::<f64>() else { return Ok(Self::Classification) };
            whole &= number.fract() == 0.0;
            values.insert(cell);
        }
        Ok(if whole && values.len() <= 20 { Self::Classification } else { Self::Regression })
    }
}

/// A table as it stands in the file: a header, and rows of as many texts.
#[derive(Clone, Debug)]
pub struct Table {
    name: String,
    columns: Vec<String>,
    records: Vec<StringRecord>,
    /// The line on which each record begins.
    lines: Vec<u64>,
}

/// What a column becomes.
enum Kind<'a> {
    Numeric,
    /// Its different values, in order.
    Categorical(Vec<&'a str>),
}

impl Table {
    /// Reads a file whose fields are separated by `delimiter`.
    ///
    /// # Errors
    /// As [`read_path`], without what concerns the contents of cells.
    pub fn open(path: impl AsRef<Path>, delimiter: u8) -> Result<Self, Error> {
        let name = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(file, &name, delimiter),
            Err(source) => Err(Error::Io { path: name, source }),
        }
    }

    /// Reads anything that can be read; errors call it by `name`.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub fn read(mut reader: impl Read, name: &str, delimiter: u8) -> Result<Self, Error> {
        if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\n' | b'\r') {
            return Err(Error::Setting {
                what: "the delimiter (as a byte)",
                expected: "of ASCII, and neither a quote nor the end of a line",
                found: f64::from(delimiter),
            });
        }
        let refuse = |reason: &str| Error::Table { path: name.into(), reason: reason.into() };
        // At once: what the reader of the records calls a line is off after a blank one.
        let mut text = Vec::new();
        if let Err(source) = reader.read_to_end(&mut text) {
            return Err(Error::Io { path: name.into(), source });
        }
        let mut lines = Lines { text: &text, at: 0, line: 1 };
        let mut reader =
            ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).from_reader(text.as_slice());
        let header =
            reader.headers().map_err(|error| refuse(&csv_reason(&error, lines.clone())))?;
        let columns: Vec<String> = header.iter().map(Into::into).collect();
        if columns.is_empty() {
            return Err(refuse(
                "the file is empty, where a header with the names of columns is needed",
            ));
        }
        let mut seen = HashSet::new();
        if let Some(column) = columns.iter().find(|column| !seen.insert(column.as_str())) {
            return Err(refuse(&format!("the header has the column \"{column}\" twice")));
        }
        let mut table = Self { name: name.into(), columns, records: Vec::new(), lines: Vec::new() };
        for record in reader.into_records() {
            let record = record.map_err(|error| refuse(&csv_reason(&error, lines.clone())))?;
            table.lines.push(lines.of(record.position()));
            table.records.push(record);
        }
        if table.records.is_empty() {
            return Err(refuse("there is a header, but no row below it"));
        }
        Ok(table)
    }

    /// Names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows below the header.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.records.len()
    }

    /// Makes a data set of it. The delimiter of the options has done its work before.
    ///
    /// # Errors
    /// As [`read_path`].
    pub fn dataset(&self, options: &CsvOptions) -> Result<Dataset, Error> {
        let target = self.find(&options.target)?;
        let ignored = self.find_all(&options.ignore)?;
        let categorical = self.find_all(&options.categorical)?;
        for (columns, list) in [(&ignored, "ignored"), (&categorical, "a categorical feature")] {
            if columns.contains(&target) {
                return self.refuse(format!(
                    "the target column \"{}\" cannot be {list} as well",
                    options.target
                ));
            }
        }
        let mut features = Vec::new();
        for column in (0..self.columns.len()).filter(|c| *c != target && !ignored.contains(c)) {
            let kind = self.kind(column, categorical.contains(&column), options.max_categories)?;
            features.push((column, kind));
        }
        if features.is_empty() {
            return self.refuse("no feature column is left besides the target".into());
        }
        let target_kind = match options.task {
            Task::Regression => {
                self.check_values(target)?;
                Kind::Numeric
            }
            Task::Classification => {
                Kind::Categorical(self.categories(target, options.max_categories)?)
            }
        };

        let mut feature_names = Vec::new();
        for (column, kind) in &features {
            let name = &self.columns[*column];
            match kind {
                Kind::Numeric => feature_names.push(name.clone()),
                Kind::Categorical(values) => {
                    feature_names.extend(values.iter().map(|value| format!("{name}={value}")));
                }
            }
        }
        let mut values = vec![0.0; self.rows() * feature_names.len()];
        let mut offset = 0;
        for (column, kind) in &features {
            offset += self.encode(*column, kind, &mut values[offset..], feature_names.len())?;
        }
        let (targets, classes) = match target_kind {
            Kind::Numeric => {
                let mut targets = vec![0.0; self.rows()];
                self.encode(target, &Kind::Numeric, &mut targets, 1)?;
                (targets, Vec::new())
            }
            Kind::Categorical(classes) => {
                let index = index_of(&classes);
                let class = |row| self.cell(row, target).and_then(|cell| index.get(cell).copied());
                let targets =
                    (0..self.rows()).map(|row| class(row).map_or(f32::NAN, |class| class as f32));
                (targets.collect(), classes.into_iter().map(Into::into).collect())
            }
        };
        Dataset::new(values, targets, feature_names, vec![options.target.clone()], classes)
    }

    /// Writes the features of one column into a row-major matrix that begins at the first of them
    /// and has `stride` columns; returns how many features there are.
    fn encode(
        &self,
        column: usize,
        kind: &Kind<'_>,
        values: &mut [f32],
        stride: usize,
    ) -> Result<usize, Error> {
        match kind {
            Kind::Numeric => {
                for (row, value) in values.iter_mut().step_by(stride).enumerate() {
                    *value = match self.cell(row, column) {
                        Some(cell) => self.number(row, column, cell)?,
                        None => f32::NAN,
                    };
                }
                Ok(1)
            }
            Kind::Categorical(categories) => {
                let index = index_of(categories);
                for (row, values) in values.chunks_mut(stride).enumerate() {
                    match self.cell(row, column).and_then(|cell| index.get(cell)) {
                        Some(&category) => values[category] = 1.0,
                        None => values[..categories.len()].fill(f32::NAN),
                    }
                }
                Ok(categories.len())
            }
        }
    }

    /// Whether a feature column is of numbers or of categories.
    fn kind(&self, column: usize, listed: bool, limit: usize) -> Result<Kind<'_>, Error> {
        self.check_values(column)?;
        let is_text = |(_, cell): &(usize, &str)| cell.parse::<f32>().is_err();
        let mut texts = self.present(column).filter(is_text);
        match texts.next() {
            _ if listed => Ok(Kind::Categorical(self.categories(column, limit)?)),
            None => Ok(Kind::Numeric),
            Some(_) if self.present(column).all(|cell| is_text(&cell)) => {
                Ok(Kind::Categorical(self.categories(column, limit)?))
            }
            Some((row, cell)) => Err(self.cell_error(
                row,
                column,
                cell,
                "is not a number, and other cells of this column are; list the column as \
                 categorical if that is what it is",
            )),
        }
    }

    /// The different values of a column, sorted.
    fn categories(&self, column: usize, limit: usize) -> Result<Vec<&str>, Error> {
        self.check_values(column)?;
        let values: HashSet<&str> = self.present(column).map(|(_, cell)| cell).collect();
        if values.len() > limit {
            return self.refuse(format!(
                "the column \"{}\" has {} different values, more than the {limit} that categories \
                 may have; is it a number to predict, or a column to ignore?",
                self.columns[column],
                values.len()
            ));
        }
        let mut values: Vec<&str> = values.into_iter().collect();
        values.sort_unstable();
        let numbers: Result<Vec<f64>, _> = values.iter().map(|value| value.parse()).collect();
        if let Ok(numbers) = numbers {
            let mut pairs: Vec<_> = numbers.into_iter().zip(values).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            return Ok(pairs.into_iter().map(|(_, value)| value).collect());
        }
        Ok(values)
    }

    /// `Ok` if not every cell of a column is missing.
    fn check_values(&self, column: usize) -> Result<(), Error> {
        if self.present(column).next().is_some() {
            return Ok(());
        }
        self.refuse(format!(
            "every cell of the column \"{}\" is missing; ignore the column",
            self.columns[column]
        ))
    }

    /// The text of a cell, or `None` if it is missing.
    fn cell(&self, row: usize, column: usize) -> Option<&str> {
        let cell = self.records.get(row)?.get(column)?;
        let missing = matches!(cell, "" | "?")
            || cell.eq_ignore_ascii_case("na")
            || cell.eq_ignore_ascii_case("nan");
        (!missing).then_some(cell)
    }

    /// Rows and texts of the cells of a column that are not missing.
    fn present(&self, column: usize) -> impl Iterator<Item = (usize, &str)> {
        (0..self.rows()).filter_map(move |row| Some((row, self.cell(row, column)?)))
    }

    fn number(&self, row: usize, column: usize, cell: &str) -> Result<f32, Error> {
        match cell.parse::<f32>() {
            Ok(number) if number.is_finite() => Ok(number),
            // Rust reads signs before "nan" too, which is no spelling of a missing value.
            Ok(_) => Err(self.cell_error(row, column, cell, "is not a finite f32")),
            Err(_) => Err(self.cell_error(row, column, cell, "is not a number")),
        }
    }

    fn find(&self, name: &str) -> Result<usize, Error> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| Error::NoColumn {
            path: self.name.clone(),
            name: name.into(),
            columns: self.columns.clone(),
        })
    }

    fn find_all(&self, names: &[String]) -> Result<HashSet<usize>, Error> {
        names.iter().map(|name| self.find(name)).collect()
    }

    fn refuse<T>(&self, reason: String) -> Result<T, Error> {
        Err(Error::Table { path: self.name.clone(), reason })
    }

    fn cell_error(&self, row: usize, column: usize, found: &str, reason: &'static str) -> Error {
        Error::Cell {
            path: self.name.clone(),
            line: self.lines[row],
            column: self.columns[column].clone(),
            found: found.into(),
            reason,
        }
    }
}

fn index_of<'a>(values: &[&'a str]) -> HashMap<&'a str, usize> {
    values.iter().enumerate().map(|(index, value)| (*value, index)).collect()
}

/// Counts lines up to records that come in the order of the text.
#[derive(Clone)]
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first field of a record. Its position is the end of the one before, which
    /// may be followed by the rest of an end of line and by blank lines.
    fn of(&mut self, position: Option<&Position>) -> u64 {
        let from = position.map_or(0, |position| position.byte() as usize);
        let rest = self.text.get(from..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let to = from + blank;
        for at in self.at..to.min(self.text.len()) {
            let ends = match self.text[at] {
                b'\n' => true,
                b'\r' => self.text.get(at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends);
        }
        self.at = self.at.max(to);
        self.line
    }
}

/// What is wrong with a table, by the reader of its records.
fn csv_reason(error: &::csv::Error, mut lines: Lines<'_>) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => format!(
            "line {} has {len} fields where the header has {expected_len}",
            lines.of(pos.as_ref())
        ),
        ErrorKind::Utf8 { pos, err } => format!(
            "line {} is not UTF-8 text (field {}, from 1); save the file as UTF-8",
            lines.of(pos.as_ref()),
            err.field() + 1
        ),
        _ => error.to_string(),
    }
}
