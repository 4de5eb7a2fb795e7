//! The way to a running host: its CAN API and its host API, over HTTP.

mod answer;
mod asset;
mod error;
mod lines;

use std::io::Read;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;

use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::StatusCode;
use reqwest::Url;
use reqwest::header;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;
use zeroize::Zeroizing;

pub(super) use self::answer::Answer;
pub(super) use self::asset::Asset;
pub(super) use self::asset::Page;
pub(super) use self::error::ClientError;
pub(super) use self::error::is_away;
pub(super) use self::lines::Lines;
use crate::config::Settings;
use crate::limits;

/// Where the CAN API begins.
const CAN_PREFIX: &str = "/api/v1/can/0";

/// The CAN API, of the running host or of the CAN Service it mirrors.
#[derive(Debug)]
pub(super) struct CanApi(Client);

/// The host API of the running host.
#[derive(Debug)]
pub(super) struct HostApi(Client);

impl CanApi {
    /// Prepares to talk to what the configuration names.
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let (base, start) = match &settings.can_service_url {
            Some(url) => (url.clone(), "check `can_service_url`"),
            None => (url_of(settings.can_listen_addr), "start it with `can-sync run`"),
        };
        Ok(Self(Client::new(base, CAN_PREFIX, start, None)?))
    }

    /// Starts a request.
    pub(super) fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        self.0.request(method, path, query)
    }

    /// Sends a request and returns the data of its answer.
    pub(super) async fn data<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.0.data(request).await
    }

    /// Sends a request and returns the answer with its body unread, once it says that all is well.
    pub(super) async fn open(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        self.0.open(request).await
    }

    /// Sends a request whose body takes its time, and returns the data of its answer. It may take as long as `sent` moves,
    /// which ends with the body.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        sent: watch::Receiver<u64>,
    ) -> Result<T, ClientError> {
        let answer = self.0.answer(request, silence(sent)).await?;
        self.0.read(answer).await
    }
}

impl HostApi {
    /// Prepares to talk to the running host, with the token from its data folder.
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let path = settings.data_dir.join("api_token");
        let token = read_token(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidData => ClientError::DamagedToken { path },
            _ => ClientError::Token { path, source },
        })?;
        Ok(Self(Client::new(url_of(settings.listen_addr), "", "start it with `can-sync run`", Some(token))?))
    }

    /// Asks for data.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get_with(path, &[]).await
    }

    /// Asks for data with a query.
    pub(super) async fn get_with<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.0.data(self.0.request(Method::GET, path, query)).await
    }

    /// Has something done that needs no body.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.0.data(self.0.request(Method::POST, path, &[])).await
    }

    /// Has something done that takes a JSON body.
    pub(super) async fn post_with<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.0.data(with_json(self.0.request(Method::POST, path, &[]), body)).await
    }

    /// Takes something back.
    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.0.data(self.0.request(Method::DELETE, path, &[])).await
    }

    /// Returns the JSON lines of an answer as they come.
    pub(super) async fn get_for_lines(&self, path: &str) -> Result<Lines, ClientError> {
        Ok(Lines::new(self.0.open(self.0.request(Method::GET, path, &[])).await?))
    }

    /// Sends a JSON body, and returns the JSON lines of the answer as they come.
    pub(super) async fn post_for_lines(&self, path: &str, body: &impl Serialize) -> Result<Lines, ClientError> {
        let request = with_json(self.0.request(Method::POST, path, &[]), body);
        Ok(Lines::new(self.0.open(request).await?))
    }
}

/// Ends when a body that is sent has stood still for too long, or its answer takes too long.
async fn silence(mut sent: watch::Receiver<u64>) {
    loop {
        match timeout(limits::CLIENT_SILENCE, sent.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return tokio::time::sleep(limits::CLIENT_SILENCE).await,
            Err(_) => return,
        }
    }
}

/// Gives a request a JSON body.
pub(super) fn with_json(request: RequestBuilder, body: &impl Serialize) -> RequestBuilder {
    let text = serde_json::to_vec(body).expect("what commands send has text for keys");
    request.header(header::CONTENT_TYPE, "application/json").body(text)
}

/// One HTTP server.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    base: String,
    prefix: &'static str,
    /// What to do when nobody answers, as the end of a sentence.
    start: &'static str,
    token: Option<Zeroizing<String>>,
}

impl Client {
    fn new(
        base: String,
        prefix: &'static str,
        start: &'static str,
        token: Option<Zeroizing<String>>,
    ) -> Result<Self, ClientError> {
        // Installing it a second time is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            // A host of one's own is never behind a proxy, and never sends elsewhere.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits::CLIENT_CONNECT)
            .build()
            .map_err(ClientError::SetUp)?;
        Ok(Self { http, base, prefix, start, token })
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        let mut url = Url::parse(&format!("{}{}{path}", self.base, self.prefix)).expect("the configuration is checked");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.as_str()),
            None => request,
        }
    }

    async fn open(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        self.answer(request, tokio::time::sleep(limits::CLIENT_SILENCE)).await
    }

    async fn data<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.read(self.open(request).await?).await
    }

    /// Sends a request and waits for its answer, until it is late.
    async fn answer(&self, request: RequestBuilder, late: impl Future<Output = ()>) -> Result<Answer, ClientError> {
        let response = tokio::select! {
            sent = request.send() => sent.map_err(|error| ClientError::of(error, &self.base, self.start))?,
            () = late => return Err(ClientError::Late { base: self.base.clone() }),
        };
        let status = response.status();
        let answer = Answer::new(response, self.base.clone(), self.start);
        if status.is_success() {
            return Ok(answer);
        }
        if status == StatusCode::UNAUTHORIZED && self.token.is_some() {
            return Err(ClientError::TokenRefused { base: self.base.clone() });
        }
        let body = self.whole(answer).await.unwrap_or_default();
        let text = match serde_json::from_slice::<Envelope>(&body) {
            Ok(Envelope { error: Some(text), .. }) => text,
            _ => String::new(),
        };
        Err(ClientError::Refused { base: self.base.clone(), status, text })
    }

    /// Reads the data of an answer.
    async fn read<T: DeserializeOwned>(&self, answer: Answer) -> Result<T, ClientError> {
        let body = self.whole(answer).await?;
        let odd = |source| ClientError::Odd { base: self.base.clone(), source };
        let envelope: Envelope = serde_json::from_slice(&body).map_err(odd)?;
        serde_json::from_value(envelope.data).map_err(odd)
    }

    /// Reads a whole body, up to the limit.
    async fn whole(&self, mut answer: Answer) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) = answer.piece().await? {
            if body.len() + piece.len() > limits::CLIENT_ANSWER_BYTES {
                return Err(ClientError::TooLarge { base: self.base.clone() });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// What every JSON answer is wrapped in.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    data: Value,
    error: Option<String>,
}

/// Returns the URL of an address to listen at. One that means "every address" is reached on this machine.
fn url_of(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

fn read_token(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)?.take(limits::TOKEN_BYTES).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "there is no token in it"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}
