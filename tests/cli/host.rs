//! A host that answers what a test tells it to, and remembers what it was asked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The token in the data folder of the host.
pub(crate) const TOKEN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A request as the host saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) content_type: String,
    pub(crate) authorization: String,
    pub(crate) body: Vec<u8>,
}

/// What the host answers.
pub(crate) struct Reply(pub(crate) u16, pub(crate) Vec<u8>);

impl Reply {
    /// Answers with data in the envelope.
    pub(crate) fn data(data: &Value) -> Self {
        Self(200, serde_json::json!({ "status": "success", "data": data }).to_string().into_bytes())
    }

    /// Answers with an error in the envelope.
    pub(crate) fn error(status: u16, text: &str) -> Self {
        Self(status, serde_json::json!({ "status": "error", "error": text }).to_string().into_bytes())
    }
}

/// A host, and a folder with the configuration that leads to it.
pub(crate) struct Host {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: Runtime,
}

/// What a command has left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Host {
    /// Starts a host that answers by a function.
    pub(crate) fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (seen, answer) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(answer));
        let remember = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (remember, answer) = (Arc::clone(&remember), Arc::clone(&answer));
            async move {
                let request = see(request).await;
                remember.lock().push(request.clone());
                let Reply(status, body) = tokio::task::spawn_blocking(move || answer(&request)).await.unwrap();
                Response::builder().status(status).body(Body::from(body)).unwrap()
            }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/api_token"), format!("{TOKEN}\n")).unwrap();

        std::fs::write(folder.path().join("config.yaml"), "data_dir: data\n").unwrap();
        Self { folder, address, seen, _runtime: runtime }
    }

    /// Returns what the host was asked, and forgets it.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock())
    }

    /// Prepares a command in the folder; both APIs are at this host.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.folder, arguments);
        // One listener answers both APIs, and two addresses of one host may not be equal: the CAN API is a service here.
        command.env("CAN_SYNC_CAN_SERVICE_URL", format!("http://{}", self.address));
        command.env("CAN_SYNC_LISTEN_ADDR", self.address.to_string());
        command
    }

    /// Runs a command in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }

    /// Returns a path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn see(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    Seen {
        line: format!("{} {}", parts.method, parts.uri),
        content_type: header("content-type"),
        authorization: header("authorization"),
        body: axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec(),
    }
}

/// Prepares the program in a folder, without anything of the environment of the tests.
pub(crate) fn program(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_can-sync"));
    command.args(arguments).current_dir(folder.path()).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for a command.
pub(crate) fn finish(mut command: Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
