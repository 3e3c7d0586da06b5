//! What a simulated task does, and the labels that say so.

use std::time::Duration;

use executor::{ExecError, TaskRun};
use types::Labels;

/// What a task does. Each field can be set by a label of the service or, over it, of the
/// container; the label's name is given with the field.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// `sim.prepare-delay-ms`: time that preparing takes.
    pub prepare_delay: Duration,
    /// `sim.start-delay-ms`: time that starting takes.
    pub start_delay: Duration,
    /// `sim.run-ms`: time after which the task ends by itself; `None` is never.
    pub run: Option<Duration>,
    /// `sim.exit-code`: exit code when it ends by itself.
    pub exit_code: i32,
    /// `sim.fail-prepare`: preparing is rejected with this reason.
    pub fail_prepare: Option<String>,
    /// `sim.fail-start`: starting is rejected with this reason.
    pub fail_start: Option<String>,
    /// `sim.fail-rate`: share of tasks whose start is rejected, 0–1, drawn by seed and task id.
    pub fail_rate: f64,
    /// `sim.stop-delay-ms`: time between the stop signal and the end.
    pub stop_delay: Duration,
    /// `sim.log`: written to standard output at the start, line by line.
    pub log: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            prepare_delay: Duration::ZERO,
            start_delay: Duration::ZERO,
            run: None,
            exit_code: 0,
            fail_prepare: None,
            fail_start: None,
            fail_rate: 0.0,
            stop_delay: Duration::ZERO,
            log: String::new(),
        }
    }
}

impl Script {
    /// The script of a task: this one, changed by the labels of its service and container.
    ///
    /// # Errors
    ///
    /// [`ExecError::Rejected`] when a label's value cannot be read or its name is unknown.
    pub fn of(&self, run: &TaskRun) -> Result<Self, ExecError> {
        let mut script = self.clone();
        script.apply(&run.task.service_annotations().labels)?;
        script.apply(&run.container()?.labels)?;
        Ok(script)
    }

    fn apply(&mut self, labels: &Labels) -> Result<(), ExecError> {
        let ours = labels
            .iter()
            .filter_map(|(k, v)| Some((k.strip_prefix("sim.")?, v)));
        for (key, value) in ours {
            self.set(key, value).ok_or_else(|| {
                ExecError::rejected(format!(
                    "the label sim.{key}={value:?} cannot be understood"
                ))
            })?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let millis = || value.parse().map(Duration::from_millis).ok();
        match key {
            "prepare-delay-ms" => self.prepare_delay = millis()?,
            "start-delay-ms" => self.start_delay = millis()?,
            "run-ms" => self.run = Some(millis()?),
            "exit-code" => self.exit_code = value.parse().ok()?,
            "fail-prepare" => self.fail_prepare = Some(value.to_owned()),
            "fail-start" => self.fail_start = Some(value.to_owned()),
            "fail-rate" => self.fail_rate = rate(value)?,
            "stop-delay-ms" => self.stop_delay = millis()?,
            "log" => value.clone_into(&mut self.log),
            _ => return None,
        }
        Some(())
    }
}

fn rate(text: &str) -> Option<f64> {
    let rate: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&rate).then_some(rate)
}
