//! What is printed: the network, and how it does on the test part.

use slimfit::dataset::Dataset;
use slimfit::metrics::{ConfusionMatrix, Outputs, mae, r2, rmse};
use slimfit::preprocess::Standardizer;
use slimfit::{Error, Model};

use crate::args::Args;

/// More classes make a table that no screen holds.
const MOST_COLUMNS: usize = 20;

pub(crate) fn print_model(model: &Model, args: &Args) {
    let mlp = model.mlp();
    let sizes: Vec<String> = std::iter::once(mlp.inputs())
        .chain(mlp.layers().iter().map(|layer| layer.outputs))
        .map(|size| size.to_string())
        .collect();
    println!(
        "network {} ({} parameters), {:?}, {:?}, {:?}; {}",
        sizes.join("-"),
        mlp.parameter_len(),
        args.activation(),
        model.loss(),
        args.optimizer,
        model.level()
    );
}

/// Predicts the test part and says how good that is.
pub(crate) fn print_test(
    model: &Model,
    test: &Dataset,
    target_scaler: Option<&Standardizer>,
) -> Result<(), Error> {
    let loss = model.evaluate(test)?.loss;
    let mut predictions = model.predict(test.features())?;
    println!("\ntest loss  {loss:.4}");
    if let Some(scaler) = target_scaler {
        let mut targets = test.targets().to_vec();
        scaler.inverse_slice(&mut targets)?;
        scaler.inverse_slice(&mut predictions)?;
        println!("test RMSE  {:.4}", rmse(&predictions, &targets)?);
        println!("test MAE   {:.4}", mae(&predictions, &targets)?);
        println!("test R2    {:.4}", r2(&predictions, test.target_count(), &targets)?);
    } else {
        let columns = model.mlp().outputs();
        let matrix =
            ConfusionMatrix::new(&predictions, columns, test.targets(), Outputs::Probabilities)?;
        println!("test accuracy  {:.4}\n", matrix.accuracy());
        print_classes(&matrix, test.classes());
    }
    Ok(())
}

/// A row for each class: what it was taken for, and its precision, recall and F1.
fn print_classes(matrix: &ConfusionMatrix, classes: &[String]) {
    let name_width = classes.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
    let columns = if classes.len() <= MOST_COLUMNS { classes } else { &[] };
    let width = |name: &String| name.chars().count().max(5);

    print!("{:name_width$}", "actual");
    for name in columns {
        print!("  {name:>0$}", width(name));
    }
    println!("  {:>5}  precision  recall     f1", "rows");
    for (class, name) in classes.iter().enumerate() {
        print!("{name:name_width$}");
        for (predicted, column) in columns.iter().enumerate() {
            print!("  {:>1$}", matrix.count(class, predicted), width(column));
        }
        println!(
            "  {:>5}  {:>9}  {:>6}  {:>5}",
            matrix.support(class),
            share(matrix.precision(class)),
            share(matrix.recall(class)),
            share(matrix.f1(class))
        );
    }
}

fn share(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.3}"))
}
