//! Many agents in one process, for benchmarks: each is two tasks of the runtime and what its own
//! tasks need.

use tokio::sync::watch;

use crate::agent::{Agent, Config, StartError};
use crate::sessions::AgentState;

/// Agents that start and stop together. They share nothing but the runtime.
#[derive(Debug, Default)]
pub struct Fleet {
    agents: Vec<Agent>,
}

impl Fleet {
    /// Starts an agent for each configuration.
    ///
    /// # Errors
    /// The first that does not start; those before it are stopped by being dropped with the fleet.
    pub fn start(configs: impl IntoIterator<Item = Config>) -> Result<Self, StartError> {
        let agents: Result<Vec<_>, _> = configs.into_iter().map(Agent::start).collect();
        Ok(Self { agents: agents? })
    }

    /// The agents.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Waits until every agent has a session.
    pub async fn connected(&self) {
        for agent in &self.agents {
            let mut state: watch::Receiver<AgentState> = agent.state();
            let is_up = |s: &AgentState| matches!(s, AgentState::Connected { .. });
            // An agent that ended is not waited for.
            let _ended = state.wait_for(is_up).await;
        }
    }

    /// Stops all agents. Tasks go on where the executor lets them.
    pub async fn stop(self) {
        for agent in &self.agents {
            agent.cancel();
        }
        for agent in self.agents {
            agent.stop().await;
        }
    }
}
