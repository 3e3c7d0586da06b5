//! Clients on hosts of their own, and the last one, who waits until everything is as desired.

use std::sync::Arc;
use std::time::Duration;

use invariants::as_desired;
use tokio::time::{sleep, timeout};
use torture::{Caller, Client, Doors, Opened, Scene};
use transport::Dialer;
use types::TaskState;

use crate::nodes::{Ended, Stage};

/// Connecting takes no longer, or counts as failed.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Pause between two looks at a condition.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Simulated time since the beginning.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Ways in over the simulated network.
pub(crate) struct SimulatedDoors(pub(crate) Arc<Stage>);

impl SimulatedDoors {
    /// Connects to a manager as the first one: control calls need a manager's certificate.
    async fn connect(&self, via: usize) -> anyhow::Result<Caller> {
        let dialer = Dialer::member(self.0.credentials(0).await?);
        let addr = self.0.hosts[via].address();
        let channel = timeout(CONNECT_TIME_MAX, dialer.connect(&addr)).await??;
        Ok(Caller::over(channel, ""))
    }
}

impl Doors for SimulatedDoors {
    fn count(&self) -> usize {
        self.0.managers().count()
    }

    fn open(&self, via: usize) -> Opened<'_> {
        Box::pin(async move { self.connect(via).await.ok() })
    }
}

/// Clients that share a host and work until `end`.
pub(crate) async fn run_all([one, other]: [Client; 2], end: Duration) -> Ended {
    let is_over = || elapsed() >= end;
    tokio::join!(one.run(is_over), other.run(is_over));
    Ok(())
}

/// After everything is healed: waits until all is as desired, and reads everything through every
/// manager.
pub(crate) async fn last(stage: Arc<Stage>, scene: Arc<Scene>, begin: Duration) -> Ended {
    sleep(begin.saturating_sub(elapsed())).await;
    for via in 0..scene.doors.count() {
        while !is_settled(&stage, &scene, via).await {
            sleep(LOOK_PERIOD).await;
        }
        scene.read_all(via).await?;
    }
    Ok(())
}

/// Whether everything is as desired, on paper and on the nodes.
async fn is_settled(stage: &Stage, scene: &Scene, via: usize) -> bool {
    let Some(mut caller) = scene.doors.open(via).await else {
        return false;
    };
    let Ok(Ok(state)) = timeout(CONNECT_TIME_MAX, caller.tables()).await else {
        return false;
    };
    let running = state.tasks().iter();
    let running = running.filter(|t| t.status.state == TaskState::Running);
    let engines = stage
        .hosts
        .iter()
        .map(|h| h.executor.engine().running_count());
    as_desired(&state).is_ok() && running.count() == engines.sum::<usize>()
}
