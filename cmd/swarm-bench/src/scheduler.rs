//! `swarm-bench scheduler`: time from building the scheduler's index until every task has a node.
//!
//! The shapes are those of SwarmKit's own scheduler benchmark: equal nodes, tasks that reserve
//! nothing, optionally a network plugin that every third node has. Plans are applied to the
//! tables as a leader applies them before it proposes; nothing is logged or sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use scheduler::Scheduler;
use serde::Serialize;
use store::{Draft, Image, ImageItem, Object, State};
use types::entropy::SeededEntropy;
use types::network::NetworkAttachment;
use types::node::{EngineDescription, NodeDescription, NodeStatus, Platform, PluginDescription};
use types::options::Strategy;
use types::task::{Placement, PlacementPreference};
use types::{
    Annotations, Driver, Meta, Network, NetworkId, NetworkSpec, Node, NodeId, NodeSpec, NodeState,
    Resources, Service, ServiceId, ServiceSpec, Task, TaskId, TaskState, TaskStatus, Timestamp,
};

use crate::Format;

/// Name of the network plugin that `--plugin-filter` asks for.
const PLUGIN: &str = "bench-network";

/// Every so many nodes have the plugin, as in SwarmKit's benchmark.
const PLUGIN_EVERY: u64 = 3;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 1_000)]
    nodes: u64,
    /// Tasks to place.
    #[arg(long, default_value_t = 100_000)]
    tasks: u64,
    /// The services that the tasks belong to.
    #[arg(long, value_enum, default_value_t = Services::None)]
    services: Services,
    /// Tasks need a network plugin that every third node has.
    #[arg(long)]
    plugin_filter: bool,
    /// How services rank nodes; their tasks then reserve a little.
    #[arg(long, value_enum)]
    strategy: Option<Ranking>,
    /// What services say about nodes besides.
    #[arg(long, value_enum, default_value_t = Wish::Nothing)]
    wish: Wish,
}

/// How services rank nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Ranking {
    /// Fewest tasks first.
    Spread,
    /// Fullest node first.
    Binpack,
    /// By draw.
    Random,
}

/// What services say about nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    /// Nothing.
    Nothing,
    /// A soft constraint, by regular expression, that holds on half of the nodes.
    Constraint,
    /// A soft affinity: not where the first service is.
    Affinity,
    /// Spread over ten racks.
    Preference,
}

/// The services that the tasks belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Services {
    /// One service has all tasks.
    One,
    /// Each task has its own service.
    Each,
    /// No task has a service.
    None,
}

/// What was measured. Times are in seconds.
#[derive(Debug, Serialize)]
struct Report {
    nodes: u64,
    tasks: u64,
    services: Services,
    plugin_filter: bool,
    strategy: Option<Ranking>,
    wish: Wish,
    index_secs: f64,
    plan_secs: f64,
    apply_secs: f64,
    observe_secs: f64,
    total_secs: f64,
    cpu_secs: f64,
    tasks_per_sec: f64,
    plans: usize,
    tasks_per_node_min: usize,
    tasks_per_node_max: usize,
    peak_rss_mib: f64,
}

/// Time spent in each part.
#[derive(Debug, Default)]
struct Parts {
    index: Duration,
    plan: Duration,
    apply: Duration,
    observe: Duration,
    /// CPU time of the whole: what is missing from the wall time went to other processes.
    cpu: Duration,
    plans: usize,
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// If a task got no node.
pub fn run(args: &Args, format: Format) -> anyhow::Result<()> {
    let state = cluster(args)?;
    let (state, parts) = place_all(state)?;
    let placed = state.tasks().count(TaskState::Assigned) as u64;
    ensure!(
        placed == args.tasks,
        "placed {placed} of {} tasks: every task must get a node",
        args.tasks
    );
    let report = report(args, &state, &parts)?;
    match format {
        Format::Json => println!("{}", serde_json::to_string(&report)?),
        Format::Table => print_table(&report),
    }
    Ok(())
}

/// Plans and applies until nothing is left to do.
fn place_all(mut state: State) -> anyhow::Result<(State, Parts)> {
    let now = Timestamp::from_secs(1_000_000);
    let mut entropy = SeededEntropy::new(1);
    let mut parts = Parts::default();
    let cpu_before = cpu_time()?;
    let mut scheduler = timed(&mut parts.index, || Scheduler::new(&state, now));
    loop {
        let plan = timed(&mut parts.plan, || {
            scheduler.plan(&state, now, &mut entropy)
        });
        parts.plans += 1;
        let again = plan.wake_at == Some(now);
        let commit = timed(&mut parts.apply, || {
            let mut draft = Draft::new(&state, now);
            for step in plan.steps {
                draft.add(step).context("apply a step of the plan")?;
            }
            let (_, commit, next) = draft.finish();
            state = next;
            anyhow::Ok(commit)
        })?;
        timed(&mut parts.observe, || {
            commit.changes.iter().for_each(|c| scheduler.observe(c));
        });
        if !again {
            parts.cpu = cpu_time()?.saturating_sub(cpu_before);
            return Ok((state, parts));
        }
    }
}

/// CPU time of this process so far.
pub(crate) fn cpu_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("read this process's CPU time")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// The most memory that this process had so far.
pub(crate) fn peak_rss_mib() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("read this process's memory")?;
    Ok(usage.max_rss() as f64 / 1024.0)
}

fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *sum += start.elapsed();
    result
}

fn report(args: &Args, state: &State, parts: &Parts) -> anyhow::Result<Report> {
    let total = (parts.index + parts.plan + parts.apply + parts.observe).as_secs_f64();
    let on = |node: &Arc<Node>| state.tasks().on_node(node.id).count();
    let usable = state
        .nodes()
        .iter()
        .filter(|n| !args.plugin_filter || has_plugin(n));
    let counts: Vec<usize> = usable.map(on).collect();
    Ok(Report {
        nodes: args.nodes,
        tasks: args.tasks,
        services: args.services,
        plugin_filter: args.plugin_filter,
        strategy: args.strategy,
        wish: args.wish,
        index_secs: parts.index.as_secs_f64(),
        plan_secs: parts.plan.as_secs_f64(),
        apply_secs: parts.apply.as_secs_f64(),
        observe_secs: parts.observe.as_secs_f64(),
        total_secs: total,
        cpu_secs: parts.cpu.as_secs_f64(),
        tasks_per_sec: args.tasks as f64 / total,
        plans: parts.plans,
        tasks_per_node_min: counts.iter().copied().min().unwrap_or(0),
        tasks_per_node_max: counts.iter().copied().max().unwrap_or(0),
        peak_rss_mib: peak_rss_mib()?,
    })
}

fn print_table(r: &Report) {
    let services = match r.services {
        Services::One => "one service",
        Services::Each => "a service each",
        Services::None => "no service",
    };
    let filter = if r.plugin_filter {
        ", plugin on every third node"
    } else {
        ""
    };
    let strategy = r.strategy.map_or(String::new(), |s| format!(", {s:?}"));
    let wish = match r.wish {
        Wish::Nothing => String::new(),
        wish => format!(", {wish:?}"),
    };
    println!(
        "{} nodes x {} tasks, {services}{filter}{}",
        r.nodes,
        r.tasks,
        (strategy + &wish).to_lowercase()
    );
    println!("index        {:>10.4} s", r.index_secs);
    println!("plan         {:>10.4} s  in {} plans", r.plan_secs, r.plans);
    println!("apply        {:>10.4} s", r.apply_secs);
    println!("observe      {:>10.4} s", r.observe_secs);
    println!(
        "total        {:>10.4} s  of which CPU {:.4} s",
        r.total_secs, r.cpu_secs
    );
    println!("rate         {:>10.0} tasks/s", r.tasks_per_sec);
    println!(
        "per node     {:>10}  to {} tasks",
        r.tasks_per_node_min, r.tasks_per_node_max
    );
    println!("peak memory  {:>10.0} MiB", r.peak_rss_mib);
}

/// A state with ready nodes and PENDING tasks.
fn cluster(args: &Args) -> anyhow::Result<State> {
    let mut entropy = SeededEntropy::new(7);
    let mut image = Image::new();
    for n in 0..args.nodes {
        let id = NodeId::random(&mut entropy);
        let has_plugin = args.plugin_filter && n % PLUGIN_EVERY == 0;
        let mut node = node(id, n, has_plugin);
        if args.wish != Wish::Nothing {
            let labels = &mut node.spec.annotations.labels;
            labels.insert("rack".into(), (n % 10).to_string());
        }
        image.add(ImageItem::Object(node.into()))?;
    }
    let network = args
        .plugin_filter
        .then(|| Arc::new(network(NetworkId::random(&mut entropy))));
    let mut shared = None;
    for n in 0..args.tasks {
        let service = match (args.services, &shared) {
            (Services::None, _) => None,
            (Services::One, Some(service)) => Some(Arc::clone(service)),
            _ => {
                let mut made = service(ServiceId::random(&mut entropy), n);
                declare(&mut made, args);
                let made = Arc::new(made);
                let object = Object::Service(made.clone());
                image.add(ImageItem::Object(object))?;
                shared = Some(made.clone());
                Some(made)
            }
        };
        let task = task(
            TaskId::random(&mut entropy),
            n,
            service.as_deref(),
            network.as_ref(),
        );
        image.add(ImageItem::Object(task.into()))?;
    }
    Ok(image.finish(1))
}

/// A ready node.
pub(crate) fn node(id: NodeId, n: u64, has_plugin: bool) -> Node {
    let mut plugins = vec![PluginDescription {
        kind: "Network".into(),
        name: "overlay".into(),
    }];
    if has_plugin {
        plugins.push(PluginDescription {
            kind: "Network".into(),
            name: PLUGIN.into(),
        });
    }
    let description = NodeDescription {
        hostname: format!("node-{n}"),
        platform: Platform {
            architecture: "x86_64".into(),
            os: "linux".into(),
        },
        resources: Resources {
            nano_cpus: 8_000_000_000,
            memory_bytes: 16 << 30,
            generic: Vec::new(),
        },
        engine: EngineDescription {
            version: "29.1.0".into(),
            plugins,
            ..EngineDescription::default()
        },
        ..NodeDescription::default()
    };
    Node {
        description: Some(Arc::new(description)),
        status: NodeStatus {
            state: NodeState::Ready,
            ..NodeStatus::default()
        },
        ..Node::new(id, NodeSpec::default())
    }
}

fn has_plugin(node: &Node) -> bool {
    let described = node.description.as_ref();
    described.is_some_and(|d| d.engine.plugins.iter().any(|p| p.name == PLUGIN))
}

fn network(id: NetworkId) -> Network {
    Network {
        id,
        meta: Meta::default(),
        spec: NetworkSpec::default(),
        driver_state: Some(Driver {
            name: PLUGIN.into(),
            ..Driver::default()
        }),
        ipam: None,
        pending_delete: false,
    }
}

/// A service with nothing special.
pub(crate) fn service(id: ServiceId, n: u64) -> Service {
    let spec = ServiceSpec {
        annotations: Annotations::named(format!("service-{n}")),
        ..ServiceSpec::default()
    };
    Service::new(id, spec)
}

/// Has a service say what the arguments ask for.
fn declare(service: &mut Service, args: &Args) {
    let mut spec = ServiceSpec::clone(&service.spec);
    if let Some(ranking) = args.strategy {
        spec.options.strategy = Some(match ranking {
            Ranking::Spread => Strategy::Spread,
            Ranking::Binpack => Strategy::Binpack,
            Ranking::Random => Strategy::Random,
        });
        spec.task.resources.reservations = Some(Resources {
            nano_cpus: 10_000_000,
            memory_bytes: 16 << 20,
            generic: Vec::new(),
        });
    }
    let mut placement = Placement::default();
    match args.wish {
        Wish::Nothing => return service.spec = spec.into(),
        Wish::Constraint => placement.constraints = vec!["node.labels.rack==~/^[0-4]$/".into()],
        Wish::Affinity => spec.options.affinities = vec!["service!=~service-0".into()],
        Wish::Preference => {
            placement.preferences = vec![PlacementPreference::Spread {
                descriptor: "node.labels.rack".into(),
            }];
        }
    }
    spec.task.placement = Some(placement);
    service.spec = spec.into();
}

/// A PENDING task; without a service it has a spec of its own, as in SwarmKit's benchmark.
pub(crate) fn task(
    id: TaskId,
    n: u64,
    service: Option<&Service>,
    network: Option<&Arc<Network>>,
) -> Task {
    let own_spec = || {
        Arc::new(ServiceSpec {
            annotations: Annotations::named(format!("name{n}")),
            ..ServiceSpec::default()
        })
    };
    let networks = network.map(|network| NetworkAttachment {
        network: network.clone(),
        addresses: Vec::new(),
        aliases: Vec::new(),
        driver_attachment_opts: types::Labels::new(),
    });
    Task {
        spec_version: service.map(|s| s.spec_version),
        service_id: service.map(|s| s.id),
        slot: n + 1,
        status: TaskStatus {
            state: TaskState::Pending,
            ..TaskStatus::default()
        },
        networks: networks.into_iter().collect(),
        ..Task::new(id, service.map_or_else(own_spec, |s| s.spec.clone()))
    }
}
