//! A host in a process of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Client;
use reqwest::StatusCode;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde_json::Value;

/// Twelve words of one secret, the same for all hosts of a test.
const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// Waits for something that must come; two minutes mean that it does not.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(120), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: it did not happen within two minutes"),
    }
}

pub(crate) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

/// Where a host keeps its things, and how it is configured.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) storage_root: PathBuf,
    pub(crate) connect_to: Option<PathBuf>,
    /// The secret; a device that is to be paired has none.
    pub(crate) phrase: Option<&'static str>,
    /// The network namespace it runs in, and its address there.
    namespace: Option<(String, Ipv4Addr)>,
    relay: String,
    /// Variables that the program is started with.
    pub(crate) environment: Vec<(String, String)>,
    /// Lines of its configuration beside the usual ones.
    pub(crate) lines: Vec<String>,
}

impl Place {
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self {
            storage_root: dir.join("can_data"),
            dir,
            connect_to: None,
            phrase: Some(PHRASE),
            namespace: None,
            relay: "off".to_owned(),
            environment: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Runs in a network namespace, reached by peers at every address there, and by programs at this one.
    pub(crate) fn in_namespace(mut self, name: &str, address: Ipv4Addr) -> Self {
        self.namespace = Some((name.to_owned(), address));
        self
    }

    pub(crate) fn with_relay(mut self, url: &str) -> Self {
        url.clone_into(&mut self.relay);
        self
    }

    /// Prepares to run the program where the host is.
    fn program(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_can-sync");
        match &self.namespace {
            None => Command::new(program),
            Some((name, _)) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
        }
    }

    pub(crate) fn without_phrase(mut self) -> Self {
        self.phrase = None;
        self
    }

    pub(crate) fn connecting_to(mut self, other: &Self) -> Self {
        self.connect_to = Some(other.ticket_file());
        self
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.lines.push(format!("{key}: {value}\n"));
        self
    }

    pub(crate) fn ticket_file(&self) -> PathBuf {
        self.dir.join("ticket")
    }

    fn config(&self) -> PathBuf {
        let connect = self.connect_to.as_ref().map(|path| format!("connect_ticket_file: {}\n", path.display()));
        let faces = self.namespace.as_ref().map_or(Ipv4Addr::LOCALHOST, |(_, address)| *address);
        let text = format!(
            "sync_passphrase: {}\nrelay_url: {}\nbind_addr: {}\nlisten_addr: {faces}:0\n\
             can_listen_addr: {faces}:0\ndata_dir: {}\nplugins_dir: {}\nstorage_root: {}\nticket_file: {}\n{}{}",
            self.phrase.unwrap_or("null"),
            self.relay,
            if self.namespace.is_some() { "null" } else { "127.0.0.1:0" },
            self.dir.join("data").display(),
            self.dir.join("plugins").display(),
            self.storage_root.display(),
            self.ticket_file().display(),
            connect.unwrap_or_default(),
            self.lines.concat(),
        );
        let path = self.dir.join("config.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts the host and waits until its faces answer.
    pub(crate) fn start(&self) -> Host {
        self.start_as(&[])
    }

    /// Starts the host with arguments before the configuration.
    pub(crate) fn start_as(&self, arguments: &[&str]) -> Host {
        let child = self
            .program()
            .envs(self.environment.iter().cloned())
            .args(arguments)
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let said = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let (mut can, mut api) = (None, None);
        while can.is_none() || api.is_none() {
            let Some(Ok(line)) = lines.next() else {
                panic!("the host ended at once: {}", said.lock());
            };
            let url = line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned);
            if line.starts_with("CAN API") {
                can = url;
            } else if line.starts_with("host API") {
                api = url;
            }
            said.lock().push_str(&(line + "\n"));
        }
        let saying = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                saying.lock().push_str(&(line + "\n"));
            }
        });
        let token = std::fs::read_to_string(self.dir.join("data/api_token")).unwrap().trim().to_owned();
        let (can, api) = (can.unwrap(), api.unwrap());
        Host { child, can, api, token, said, client: client() }
    }

    /// Runs the host under `strace` until it is killed at the n-th call of a kind that one of its threads makes; `false`
    /// when none has made that many within two minutes.
    pub(crate) async fn run_until_killed(&self, call: &str, nth: u32) -> bool {
        let mut traced = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:signal=KILL:when={nth}")])
            .arg(env!("CARGO_BIN_EXE_can-sync"))
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        // Traced, it stops at every call that it makes.
        for _ in 0..12_000 {
            if traced.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // strace ends by the signal that ended the host.
        let ended = traced.try_wait().unwrap();
        let met = ended.is_some_and(|status| status.signal() == Some(9));
        if ended.is_none() {
            let group = rustix::process::Pid::from_child(&traced);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
            traced.wait().unwrap();
        }
        // The host itself is gone when its lock is: it is not this test's child.
        let gone = async {
            let path = self.dir.join("data/lock");
            while let Ok(lock) = std::fs::File::open(&path)
                && rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("the killed host is gone", gone).await;
        met
    }

    /// Runs the program with arguments until it ends; returns how, and what it said.
    pub(crate) fn refused(config: &Path) -> (Option<i32>, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_can-sync"));
        let program = program.arg(config).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Killed(program.spawn().unwrap());
        let (status, mut said) = (child.ended("it is refused"), String::new());
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }

    /// Prepares a command that is given this host's configuration; while the host runs, it is told where that answers.
    pub(crate) fn command(&self, running: Option<&Host>, arguments: &[&str]) -> Command {
        let mut command = self.program();
        command.arg("--config").arg(self.config()).stdin(Stdio::null());
        if let Some(host) = running {
            let address = |url: &str| url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
            command.args(["--listen-addr", &address(&host.api), "--can-listen-addr", &address(&host.can)]);
        }
        command.args(arguments);
        command
    }

    /// Runs a command that must do what it should, and returns what it printed.
    pub(crate) fn does(&self, running: Option<&Host>, arguments: &[&str]) -> String {
        let output = self.command(running, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a configuration with one line more, or with a key given another value.
    pub(crate) fn config_with(&self, key: &str, value: &str) -> PathBuf {
        let path = self.config();
        let text = std::fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with(&format!("{key}:"))).collect();
        std::fs::write(&path, format!("{}\n{key}: {value}\n", kept.join("\n"))).unwrap();
        path
    }
}

/// A process that is killed when it is dropped, also by a test that fails.
struct Killed(Child);

impl Killed {
    /// Waits until it ends by itself.
    fn ended(&mut self, what: &str) -> ExitStatus {
        for _ in 0..12_000 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{what}: it did not end within two minutes");
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running host. Dropped, it is killed.
pub(crate) struct Host {
    child: Killed,
    pub(crate) can: String,
    api: String,
    token: String,
    said: Arc<Mutex<String>>,
    client: Client,
}

impl Host {
    /// Ends it as a person does, and waits.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.ended("a host is told to end")
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().clone()
    }

    /// Ingests content; returns the hash, or what the host answered instead.
    pub(crate) async fn try_ingest(&self, name: &str, content: Vec<u8>) -> Result<String, (StatusCode, String)> {
        let part = Part::bytes(content).file_name(name.to_owned());
        let form = Form::new().text("tags", "test").part("file", part);
        let sent = self.client.post(format!("{}/ingest", self.can)).multipart(form).send().await;
        let answer = sent.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        match body["data"]["hash"].as_str() {
            Some(hash) if status == StatusCode::OK => Ok(hash.to_owned()),
            _ => Err((status, body["error"].as_str().unwrap_or_default().to_owned())),
        }
    }

    /// Ingests content with these fields.
    pub(crate) async fn ingest_with(&self, name: &str, content: Vec<u8>, fields: &[(&str, &str)]) -> String {
        let part = Part::bytes(content).file_name(name.to_owned());
        let form =
            fields.iter().fold(Form::new(), |form, (key, value)| form.text((*key).to_owned(), (*value).to_owned()));
        let request = self.client.post(format!("{}/ingest", self.can)).multipart(form.part("file", part));
        self.send(request).await["data"]["hash"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn ingest(&self, name: &str, content: Vec<u8>) -> String {
        self.try_ingest(name, content).await.unwrap()
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    pub(crate) async fn patch(&self, hash: &str, body: &str) {
        let url = format!("{}/asset/{hash}/meta", self.can);
        let request = self.client.patch(url).header("content-type", "application/json").body(body.to_owned());
        self.send(request).await;
    }

    pub(crate) async fn trash(&self, hash: &str) {
        self.send(self.client.delete(format!("{}/asset/{hash}", self.can))).await;
    }

    pub(crate) async fn restore(&self, hash: &str) {
        self.send(self.client.post(format!("{}/asset/{hash}/restore", self.can))).await;
    }

    pub(crate) async fn meta(&self, hash: &str) -> Option<Value> {
        let answer = self.client.get(format!("{}/asset/{hash}/meta", self.can)).send().await.unwrap();
        let found = answer.status() == StatusCode::OK;
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        found.then(|| body["data"].clone())
    }

    pub(crate) async fn content(&self, hash: &str) -> Option<Vec<u8>> {
        let answer = self.client.get(format!("{}/asset/{hash}", self.can)).send().await.unwrap();
        match answer.status() {
            StatusCode::OK => Some(answer.bytes().await.unwrap().to_vec()),
            _ => None,
        }
    }

    /// Waits until metadata is as wished.
    pub(crate) async fn meta_is(&self, hash: &str, wished: impl Fn(&Value) -> bool) {
        let reached = async {
            while !self.meta(hash).await.is_some_and(|meta| wished(&meta)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("metadata", reached).await;
    }

    /// Every asset, by hash, with its size; trashed ones too.
    pub(crate) async fn list(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for trashed in [false, true] {
            let mut cursor = String::new();
            loop {
                let url = format!("{}/list?limit=1000&trashed={trashed}{cursor}", self.can);
                let page = self.send(self.client.get(url)).await;
                for asset in page["data"]["assets"].as_array().unwrap() {
                    all.insert(asset["hash"].as_str().unwrap().to_owned(), asset["size"].as_u64().unwrap());
                }
                match page["data"]["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
        }
        all
    }

    pub(crate) async fn status(&self) -> Value {
        let answer = self.send(self.client.get(format!("{}/status", self.api)).bearer_auth(&self.token)).await;
        answer["data"].clone()
    }

    /// Asks the host API for something; panics when it refuses.
    pub(crate) async fn post(&self, path: &str) -> Value {
        self.send(self.client.post(format!("{}{path}", self.api)).bearer_auth(&self.token)).await["data"].clone()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(self.client.get(format!("{}{path}", self.api)).bearer_auth(&self.token)).await["data"].clone()
    }

    /// Waits until the status is as wished.
    pub(crate) async fn status_is(&self, what: &str, wished: impl Fn(&Value) -> bool) {
        let reached = async {
            while !wished(&self.status().await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(what, reached).await;
    }

    /// Hashes everything again; panics when something is not sound.
    pub(crate) async fn verify(&self) -> u64 {
        let (sound, damaged, missing) = self.find_damage().await;
        assert_eq!((damaged, missing), (0, 0));
        sound
    }

    /// Hashes everything again; returns how many contents are sound, damaged and missing.
    pub(crate) async fn find_damage(&self) -> (u64, u64, u64) {
        let request = self.client.post(format!("{}/verify", self.api)).bearer_auth(&self.token);
        let answer = request.body(r#"{"all":true}"#).send().await.unwrap().text().await.unwrap();
        let last: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        let count = |name: &str| last[name].as_u64().unwrap();
        (count("sound"), count("damaged"), count("missing"))
    }

    pub(crate) async fn health_without_token(&self) -> (StatusCode, StatusCode) {
        let get = async |path: &str| self.client.get(format!("{}{path}", self.api)).send().await.unwrap().status();
        (get("/health").await, get("/status").await)
    }
}

/// Waits until both hosts say that they are in sync with `count` assets.
pub(crate) async fn equal(a: &Host, b: &Host, count: u64) {
    let reached = async {
        loop {
            let (at_a, at_b) = (a.status().await, b.status().await);
            let (of_a, of_b) = (&at_a["libraries"][0], &at_b["libraries"][0]);
            let same = of_a["count"] == count && of_a["fingerprint"] == of_b["fingerprint"] && of_b["count"] == count;
            if same && of_a["in_sync"] == true && of_b["in_sync"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("equal sets", reached).await;
}

/// Tells, on stderr, that a test cannot run here; where everything must run, that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CAN_SYNC_REQUIRE_ALL").is_none(), "must not be skipped here: {reason}");
    // What is printed is shown only of tests that fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
