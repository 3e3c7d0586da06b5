//! A real engine for tests: the machine's own, with an image made of a static busybox.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use executor::{Executor, NodeFacts, TaskRun, testing};
use executor_docker::{DockerConfig, DockerExecutor};
use types::service::ServiceSpec;
use types::{ContainerSpec, NodeId};

/// Image of the tests. Imported, so that no registry is needed.
pub const IMAGE: &str = "swarmd-test/busybox:1";

/// Whether there is an engine; prints why not. With `CI` set its absence is a failure.
pub fn engine_is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| match make_image() {
        Ok(()) => true,
        Err(why) if std::env::var_os("CI").is_some() => panic!("no engine to test with: {why}"),
        Err(why) => {
            println!("skipped: {why}");
            false
        }
    })
}

fn make_image() -> Result<(), String> {
    if docker(&["image", "inspect", IMAGE]).is_ok() {
        return Ok(());
    }
    docker(&["version"])?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .map(Path::new)
        .find(|p| p.exists());
    let busybox = busybox.ok_or("there is no static busybox (package busybox-static)")?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    for sub in ["bin", "tmp", "etc", "run"] {
        std::fs::create_dir(dir.path().join(sub)).map_err(|e| e.to_string())?;
    }
    std::fs::copy(busybox, dir.path().join("bin/busybox")).map_err(|e| e.to_string())?;
    for applet in [
        "sh", "sleep", "cat", "id", "ls", "true", "false", "stat", "hostname", "wc",
    ] {
        let link = dir.path().join("bin").join(applet);
        std::os::unix::fs::symlink("busybox", link).map_err(|e| e.to_string())?;
    }
    let tar = Command::new("tar")
        .arg("-C")
        .arg(dir.path())
        .args(["-c", "."])
        .output();
    let tar = tar.map_err(|e| e.to_string())?.stdout;
    let mut import = Command::new("docker")
        .args(["import", "-", IMAGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    import
        .stdin
        .take()
        .unwrap()
        .write_all(&tar)
        .map_err(|e| e.to_string())?;
    let status = import.wait().map_err(|e| e.to_string())?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| "docker import failed".to_owned())
}

/// Runs the docker command; its output, or what it complained about.
pub fn docker(args: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .args(args)
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A node of the test; its containers and files go with it.
pub struct TestNode {
    pub id: NodeId,
    pub files_dir: PathBuf,
}

impl TestNode {
    pub fn new() -> Self {
        let id = testing::node_id();
        Self {
            id,
            files_dir: Path::new("/dev/shm").join(format!("swarmd-test-{id}")),
        }
    }

    pub fn config(&self) -> DockerConfig {
        DockerConfig {
            files_dir: self.files_dir.clone(),
            ..DockerConfig::default()
        }
    }

    pub async fn open(&self) -> Arc<DockerExecutor> {
        Arc::new(DockerExecutor::connect(self.config()).await.unwrap())
    }

    pub fn run(&self, fill: impl FnOnce(&mut ContainerSpec)) -> TaskRun {
        self.run_of(|spec| fill(spec.task.container_mut().unwrap()))
    }

    pub fn run_of(&self, fill: impl FnOnce(&mut ServiceSpec)) -> TaskRun {
        let task = testing::task_of("swarmd-test", |spec| {
            let container = spec.task.container_mut().unwrap();
            container.image = IMAGE.into();
            container.stop_grace_period = Some(Duration::from_secs(1));
            fill(spec);
        });
        let facts = NodeFacts {
            id: Some(self.id),
            hostname: "n1".into(),
            ..NodeFacts::default()
        };
        TaskRun::new(Arc::new(task), facts)
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let label = format!("label=com.docker.swarm.node.id={}", self.id);
        for id in docker(&["ps", "-aq", "--filter", &label])
            .unwrap_or_default()
            .lines()
        {
            let _ = docker(&["rm", "-fv", id]);
        }
        let _ = std::fs::remove_dir_all(&self.files_dir);
    }
}

/// A command for the image's shell.
pub fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// All the output of a task that ended, as text.
pub async fn output(executor: &dyn Executor, run: &TaskRun) -> String {
    let options = executor::LogOptions {
        follow: true,
        ..executor::LogOptions::default()
    };
    let mut stream = executor.logs(run.id(), options).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&chunk.unwrap().data));
    }
    text
}

/// A socket in front of the engine's that can be cut, as a restart of the engine cuts it.
pub struct Relay {
    socket: PathBuf,
    // Dropped with the relay, and with it every connection.
    _connections: tokio::task::JoinSet<()>,
}

impl Relay {
    pub fn open(socket: &Path) -> Self {
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        let mut connections = tokio::task::JoinSet::new();
        connections.spawn(async move {
            let mut streams = tokio::task::JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                streams.spawn(async move {
                    let far = tokio::net::UnixStream::connect("/var/run/docker.sock").await;
                    // Either end may hang up at any time.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far.unwrap()).await;
                });
            }
        });
        Self {
            socket: socket.to_owned(),
            _connections: connections,
        }
    }

    pub fn cut(self) {
        std::fs::remove_file(&self.socket).unwrap();
    }
}
