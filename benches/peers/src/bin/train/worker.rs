//! A contestant in a process of its own.
//!
//! On standard output it says `ready` with its losses, the mean of each epoch of the check; then
//! for each line it reads, a number of seconds, it trains for about as long and says
//! `turn <seconds> <steps>`. It ends with its input.

use std::io::{BufRead, Write};
use std::time::Duration;

use crate::Outcome;

/// Epochs after which training starts again from the initial weights, so that what is timed is
/// training, and not the far end of it.
pub const EPOCHS: usize = 200;

/// Trains, one turn after the other.
pub trait Contestant {
    /// The mean loss of each epoch of the check.
    fn check(&mut self) -> Outcome<Vec<f64>>;

    /// Trains for about this long; returns the time that epochs took, and their steps.
    fn turn(&mut self, budget: Duration) -> Outcome<(Duration, usize)>;
}

/// Answers the lines that the driver writes.
pub fn serve(contestant: &mut dyn Contestant) -> Outcome<()> {
    let losses = contestant.check()?;
    let losses: Vec<_> = losses.iter().map(f64::to_string).collect();
    let mut out = std::io::stdout();
    writeln!(out, "ready {}", losses.join(" "))?;
    for line in std::io::stdin().lock().lines() {
        let budget = Duration::try_from_secs_f64(line?.trim().parse()?)?;
        let (taken, steps) = contestant.turn(budget)?;
        writeln!(out, "turn {} {steps}", taken.as_secs_f64())?;
    }
    Ok(())
}
