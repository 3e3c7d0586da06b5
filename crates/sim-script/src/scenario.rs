//! Scenarios: a cluster and what is done to it, as text.
//!
//! ```text
//! # Why this is here.
//! seed 12
//! set managers 3
//! set chaos 60000000
//! 12.500000 crash-manager who=leader ms=3000
//! ```
//!
//! What is not set follows from the seed. A scenario holds if every invariant does.

use std::fmt;
use std::str::FromStr;

use crate::params::Params;
use crate::rng::{Rng, mix};
use crate::schedule::{self, Step};

/// A cluster and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Where every other random number follows from.
    pub seed: u64,
    /// What the run is like.
    pub params: Params,
    /// What is done.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// What a seed says.
    pub fn of_seed(seed: u64) -> Self {
        Self::of_seed_lasting(seed, None)
    }

    /// What a seed says, with faults for so long.
    pub fn of_seed_lasting(seed: u64, chaos: Option<u64>) -> Self {
        let params = Self::params(seed);
        let params = Params {
            chaos: chaos.unwrap_or(params.chaos),
            ..params
        };
        let steps = schedule::from_seed(&mut Rng::new(mix(seed) ^ 0xfa01), &params);
        Self {
            seed,
            params,
            steps,
        }
    }

    fn params(seed: u64) -> Params {
        Params::from_rng(&mut Rng::new(seed))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        let usual = Self::params(self.seed).all();
        for ((name, value), (_, usual)) in self.params.all().into_iter().zip(usual) {
            if value != usual {
                writeln!(f, "set {name} {value}")?;
            }
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: Option<&str>, line: &str| {
            let number = word.and_then(|w| w.replace('_', "").parse().ok());
            number.ok_or_else(|| format!("{line:?}: a number is needed"))
        };
        let lines = text.lines().map(str::trim);
        let mut lines = lines.filter(|l| !l.is_empty() && !l.starts_with('#'));
        let first = lines.next().unwrap_or_default();
        let seed = number(first.strip_prefix("seed "), first)?;
        let (mut params, mut steps) = (Self::params(seed), Vec::new());
        for line in lines {
            let Some(rest) = line.strip_prefix("set ") else {
                steps.push(line.parse()?);
                continue;
            };
            let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
            if !params.set(name, number(Some(value), line)?) {
                return Err(format!("{line:?}: there is no parameter {name}"));
            }
        }
        Ok(Self {
            seed,
            params,
            steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_survives_being_written_and_read() {
        for seed in 0..20 {
            let scenario = Scenario::of_seed_lasting(seed, Some(70_000_000));
            assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            "",
            "sed 1",
            "seed 1\nset colour 3",
            "seed 1\nset managers x",
            "seed 1\nnow",
        ] {
            assert!(bad.parse::<Scenario>().is_err(), "{bad:?}");
        }
    }
}
