//! CSV: what a column becomes, and what is said of a file that makes no sense.

use std::io::Read;
use std::path::PathBuf;

use slimfit::Error;
use slimfit::csv::{self, CsvOptions, Table, Task};
use slimfit::dataset::Dataset;

use crate::common::says;

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", file].iter().collect()
}

fn options(target: &str, task: Task) -> CsvOptions {
    CsvOptions::new(target, task)
}

fn regression(text: &str) -> Result<Dataset, Error> {
    csv::read(text.as_bytes(), &options("y", Task::Regression))
}

fn classification(text: &str) -> Result<Dataset, Error> {
    csv::read(text.as_bytes(), &options("y", Task::Classification))
}

#[test]
fn breast_cancer() {
    let mut data =
        csv::read_path(path("breast_cancer.csv"), &options("diagnosis", Task::Classification))
            .unwrap();
    assert_eq!((data.rows(), data.feature_count(), data.drop_missing()), (569, 30, 0));
    assert_eq!(data.classes(), ["benign", "malignant"]);
    assert_eq!(data.class_counts(), [357, 212]);
    assert_eq!(data.feature_names()[0], "mean_radius");
    let (x, y) = data.row(0).unwrap();
    assert_eq!((&x[..3], y), (&[17.99, 10.38, 122.8][..], &[1.0][..]));
    data.check().unwrap();
}

#[test]
fn digits_are_sorted_as_numbers() {
    let data = csv::read_path(path("digits.csv"), &options("digit", Task::Classification)).unwrap();
    assert_eq!((data.rows(), data.feature_count()), (1797, 64));
    assert_eq!(data.classes(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let ten = classification("x,y\n1,10\n1,9\n1,-1\n").unwrap();
    assert_eq!(
        (ten.classes(), ten.targets()),
        (&["-1", "9", "10"].map(String::from)[..], &[2.0, 1.0, 0.0][..])
    );
}

#[test]
fn penguins_have_categories_and_missing_cells() {
    let table = Table::open(path("penguins.csv"), b',').unwrap();
    let wanted = options("species", Task::guess(&table, "species").unwrap());
    let mut data = table.dataset(&wanted).unwrap();
    assert_eq!(
        data.feature_names(),
        [
            "island=Biscoe",
            "island=Dream",
            "island=Torgersen",
            "bill_length_mm",
            "bill_depth_mm",
            "flipper_length_mm",
            "body_mass_g",
            "sex=female",
            "sex=male",
            "year"
        ]
    );
    assert_eq!(data.classes(), ["Adelie", "Chinstrap", "Gentoo"]);
    assert_eq!((data.rows(), data.drop_missing(), data.rows()), (344, 11, 333));
    assert_eq!(data.class_counts(), [146, 68, 119]);
    assert_eq!(data.row(0).unwrap().0, [0., 0., 1., 39.1, 18.7, 181., 3750., 0., 1., 2007.]);
    data.check().unwrap();
}

#[test]
fn wine_is_a_regression_if_one_says_so() {
    let file = path("winequality_red.csv");
    let data = csv::read_path(&file, &options("quality", Task::Regression)).unwrap();
    assert_eq!((data.rows(), data.feature_count(), data.is_classification()), (1599, 11, false));
    assert_eq!((data.feature_names()[0].as_str(), data.targets()[0]), ("fixed acidity", 5.0));
    let table = Table::open(&file, b',').unwrap();
    assert_eq!((table.rows(), table.columns().len()), (1599, 12));
    assert_eq!(Task::guess(&table, "quality").unwrap(), Task::Classification);
    assert_eq!(Task::guess(&table, "alcohol").unwrap(), Task::Regression);
}

#[test]
fn a_task_is_guessed_from_the_cells_there_are() {
    let guess =
        |text: &str| Task::guess(&Table::read(text.as_bytes(), "t", b',').unwrap(), "y").unwrap();
    assert_eq!(guess("y,x\n1,1\n0,1\nNA,1\n"), Task::Classification);
    assert_eq!(guess("y,x\n1,1\n0.5,1\n"), Task::Regression);
    assert_eq!(guess("y,x\n0.5,1\nhigh,1\n"), Task::Classification);
    let count = |n: usize| guess(&(0..n).fold("y,x\n".into(), |text, i| format!("{text}{i},1\n")));
    assert_eq!((count(20), count(21)), (Task::Classification, Task::Regression));
    let table = Table::read(&b"a,b\n1,2\n"[..], "t.csv", b',').unwrap();
    says(Task::guess(&table, "y"), "t.csv: there is no column \"y\"; there are \"a\", \"b\"");
}

#[test]
fn missing_cells_become_nan() {
    let data =
        regression("a,b,y\n,u,1\nNA,?,2\n ? ,v, nan \nNaN, na,4\n5,\"\",5\n1e2,u,-.5\n").unwrap();
    assert_eq!(data.feature_names(), ["a", "b=u", "b=v"]);
    let cells: Vec<String> =
        data.features().iter().chain(data.targets()).map(ToString::to_string).collect();
    let n = "NaN";
    let rows = [[n, "1", "0"], [n, n, n], [n, "0", "1"], [n, n, n], ["5", n, n], ["100", "1", "0"]];
    assert_eq!(cells, [&rows.concat()[..], &["1", "2", n, "4", "5", "-0.5"]].concat());
    let labels = classification("x,y\n1,b\n2,NA\n3,a\n").unwrap();
    assert_eq!((labels.targets()[0], labels.targets()[2]), (1.0, 0.0));
    assert!(labels.targets()[1].is_nan());
}

#[test]
fn columns_are_what_the_user_says() {
    let text = "id,zip,y,size\nr1,20,1,3\nr2,x,2,4\nr3,3,3,5\n";
    let mut wanted = options("y", Task::Regression);
    wanted.ignore = vec!["id".into()];
    says(
        csv::read(text.as_bytes(), &wanted),
        "CSV: line 3, column \"zip\": \"x\" is not a number, and other cells of this column are; \
         list the column as categorical if that is what it is",
    );
    wanted.categorical = vec!["zip".into()];
    let data = csv::read(text.as_bytes(), &wanted).unwrap();
    assert_eq!(data.feature_names(), ["zip=20", "zip=3", "zip=x", "size"]);
    assert_eq!(data.row(2).unwrap().0, [0.0, 1.0, 0.0, 5.0]);
    let numbers = text.replace(",x,", ",100,");
    let data = csv::read(numbers.as_bytes(), &wanted).unwrap();
    assert_eq!(data.feature_names(), ["zip=3", "zip=20", "zip=100", "size"]);

    wanted.delimiter = b';';
    let data = csv::read(numbers.replace(',', ";").as_bytes(), &wanted).unwrap();
    assert_eq!(data.feature_names(), ["zip=3", "zip=20", "zip=100", "size"]);
}

#[test]
fn quotes_marks_and_ends_of_lines() {
    let data = regression("\u{feff}\"a, b\",y\r\n\r\n\"1\" ,2\r\n3,4").unwrap();
    assert_eq!(data.feature_names(), ["a, b"]);
    assert_eq!((data.features(), data.targets()), (&[1.0, 3.0][..], &[2.0, 4.0][..]));
}

#[test]
fn cells_are_named_by_the_line_they_stand_on() {
    // A blank line, and a field over two lines, before the row in question.
    for (text, line) in [
        ("x,y\n1,1\nz,2\n", 3),
        ("x,y\r\n1,1\r\nz,2\r\n", 3),
        ("\nx,y\n\n1,1\n\n\nz,2\n", 7),
        ("\r\nx,y\r\n\r\n1,1\r\n\r\n\r\nz,2", 7),
        ("x,y\r1,1\r\rz,2", 4),
        ("x,t,y\n1,\"a\nb\",1\nz,c,2\n", 4),
    ] {
        says(
            regression(text),
            &format!(
                "CSV: line {line}, column \"x\": \"z\" is not a number, and other cells of this \
                 column are; list the column as categorical if that is what it is"
            ),
        );
    }
}

#[test]
fn numbers_must_be_numbers_that_f32_holds() {
    for cell in ["inf", "-Infinity", "1e39", "-nan"] {
        says(
            regression(&format!("x,y\n1,1\n{cell},2\n")),
            &format!("CSV: line 3, column \"x\": \"{cell}\" is not a finite f32"),
        );
        says(
            regression(&format!("x,y\n1,1\n2,{cell}\n")),
            &format!("CSV: line 3, column \"y\": \"{cell}\" is not a finite f32"),
        );
    }
    says(regression("x,y\n1,1\n2,low\n"), "CSV: line 3, column \"y\": \"low\" is not a number");
}

#[test]
fn columns_that_are_not_there() {
    let text = "a,b,y\n1,2,3\n";
    let missing = "CSV: there is no column \"c\"; there are \"a\", \"b\", \"y\"";
    says(csv::read(text.as_bytes(), &options("c", Task::Regression)), missing);
    let mut wanted = options("y", Task::Regression);
    wanted.categorical = vec!["c".into()];
    says(csv::read(text.as_bytes(), &wanted), missing);
    wanted.categorical = vec!["y".into()];
    says(
        csv::read(text.as_bytes(), &wanted),
        "CSV: the target column \"y\" cannot be a categorical feature as well",
    );
    wanted.categorical.clear();
    wanted.ignore = vec!["c".into()];
    says(csv::read(text.as_bytes(), &wanted), missing);
    wanted.ignore = vec!["y".into()];
    says(
        csv::read(text.as_bytes(), &wanted),
        "CSV: the target column \"y\" cannot be ignored as well",
    );
    wanted.ignore = vec!["a".into(), "b".into()];
    says(csv::read(text.as_bytes(), &wanted), "CSV: no feature column is left besides the target");
}

#[test]
fn tables_that_are_none() {
    let empty = "CSV: the file is empty, where a header with the names of columns is needed";
    says(regression(""), empty);
    says(regression("\n\n"), empty);
    says(regression("x,y\n"), "CSV: there is a header, but no row below it");
    says(regression("x,y,x\n1,2,3\n"), "CSV: the header has the column \"x\" twice");
    says(regression("x,y\n1,2\n3\n"), "CSV: line 3 has 1 fields where the header has 2");
    says(regression("\nx,y\n\n\n1,2\n3\n"), "CSV: line 6 has 1 fields where the header has 2");
    says(regression("x,y\n1,2,3\n"), "CSV: line 2 has 3 fields where the header has 2");
    says(
        regression("x,z,y\n1,,2\n3,NA,4\n"),
        "CSV: every cell of the column \"z\" is missing; ignore the column",
    );
    says(
        classification("x,y\n1,\n3,NA\n"),
        "CSV: every cell of the column \"y\" is missing; ignore the column",
    );
    says(regression("a,a=u,y\nu,1,2\nv,1,2\n"), "the column \"a=u\" is there twice");
    says(
        csv::read(&b"x,y\n1,2\n\xff,2\n"[..], &options("y", Task::Regression)),
        "CSV: line 3 is not UTF-8 text (field 1, from 1); save the file as UTF-8",
    );
}

#[test]
fn too_many_categories() {
    let rows: Vec<String> = (0..257).map(|row| format!("n{row},{row},1\n")).collect();
    let text = format!("name,x,y\n{}", rows.concat());
    says(
        regression(&text),
        "CSV: the column \"name\" has 257 different values, more than the 256 that categories may \
         have; is it a number to predict, or a column to ignore?",
    );
    let mut wanted = options("x", Task::Classification);
    wanted.ignore = vec!["name".into()];
    assert!(csv::read(text.as_bytes(), &wanted).is_err());
    wanted.max_categories = 257;
    assert_eq!(csv::read(text.as_bytes(), &wanted).unwrap().classes().len(), 257);
}

/// A reader that fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the wire is cut"))
    }
}

#[test]
fn files_that_cannot_be_read() {
    let wanted = options("y", Task::Regression);
    let Err(Error::Io { path, source }) = csv::read_path("no/such.csv", &wanted) else {
        panic!("a missing file is an input error");
    };
    assert_eq!((path.as_str(), source.kind()), ("no/such.csv", std::io::ErrorKind::NotFound));
    let error = csv::read_path("no/such.csv", &wanted).unwrap_err();
    assert!(error.to_string().starts_with("no/such.csv: "), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(csv::read_path(env!("CARGO_MANIFEST_DIR"), &wanted).is_err());

    says(csv::read(Broken, &wanted), "CSV: the wire is cut");
    says(csv::read((&b"x,y\n1,2\n"[..]).chain(Broken), &wanted), "CSV: the wire is cut");
}

#[test]
fn one_class_only_is_found_by_the_check() {
    let data = classification("x,y\n1,a\n2,a\n").unwrap();
    says(
        data.check(),
        "all 2 rows are of the class \"a\": classification needs rows of two classes or more",
    );
}

#[test]
fn delimiters_that_mean_something_else_are_refused() {
    for delimiter in [b'"', b'\n', b'\r', 0xff] {
        let error = Table::read("a,b\n1,2\n".as_bytes(), "table", delimiter).unwrap_err();
        assert!(error.to_string().contains("delimiter"), "{error}");
    }
}
