//! Learning rate schedules: a factor on the optimizer's learning rate, by epoch.

use slimfit_kernels::Error;

/// How the learning rate changes from epoch to epoch (epochs count from zero).
///
/// ```
/// use slimfit::Schedule;
///
/// let halved = Schedule::Step { every: 10, factor: 0.5 };
/// assert_eq!([0, 9, 10, 25].map(|epoch| halved.factor(epoch)), [1.0, 1.0, 0.5, 0.25]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// Always the optimizer's learning rate.
    #[default]
    Constant,
    /// `decay^epoch`
    Exponential {
        /// In (0, 1].
        decay: f32,
    },
    /// `factor^(epoch / every)`, the division rounded down.
    Step {
        /// Epochs between two changes; at least 1.
        every: u32,
        /// In (0, 1].
        factor: f32,
    },
}

impl Schedule {
    /// What to multiply the learning rate with in this epoch.
    #[must_use]
    pub fn factor(self, epoch: u32) -> f32 {
        let (base, power) = match self {
            Self::Constant => return 1.0,
            Self::Exponential { decay } => (decay, epoch),
            Self::Step { every, factor } => (factor, epoch / every.max(1)),
        };
        // In f64, so that the rounding of hundreds of factors does not add up.
        libm::pow(f64::from(base), f64::from(power)) as f32
    }

    /// Whether the settings lie in their ranges.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the one that does not.
    pub fn validate(self) -> Result<(), Error> {
        let (what, base, every) = match self {
            Self::Constant => return Ok(()),
            Self::Exponential { decay } => ("learning rate decay", decay, 1),
            Self::Step { every, factor } => ("learning rate factor", factor, every),
        };
        if !(base > 0.0 && base <= 1.0) {
            return Err(Error::Parameter { what, expected: "in (0, 1]", found: base });
        }
        if every == 0 {
            return Err(Error::Parameter {
                what: "epochs between learning rate steps",
                expected: "at least 1",
                found: 0.0,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_fall_as_documented() {
        let exponential = Schedule::Exponential { decay: 0.9 };
        assert_eq!(exponential.factor(0), 1.0);
        assert!((exponential.factor(50) - 0.9f32.powi(50)).abs() < 1e-8);
        assert_eq!(Schedule::Constant.factor(1000), 1.0);
        assert_eq!(exponential.factor(u32::MAX), 0.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (schedule, named) in [
            (Schedule::Exponential { decay: 0.0 }, "decay"),
            (Schedule::Exponential { decay: f32::NAN }, "decay"),
            (Schedule::Step { every: 1, factor: 1.5 }, "factor"),
            (Schedule::Step { every: 0, factor: 0.5 }, "epochs"),
        ] {
            assert!(
                format!("{}", schedule.validate().unwrap_err()).contains(named),
                "{schedule:?}"
            );
        }
    }
}
