//! Requests to the hub.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::{HubError, ModelName};

/// Where the hub is.
const ENDPOINT: &str = "https://huggingface.co";
const USER_AGENT: &str = concat!("lyceum/", env!("CARGO_PKG_VERSION"));
/// A server that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_mins(1);

/// What says who asks. It goes to the hub alone: not to another host that the hub names.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// `None` for what no header can carry.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Token")
    }
}

/// How the hub is reached.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A mirror.
    pub endpoint: Option<String>,
    /// Who asks.
    pub token: Option<Token>,
    /// A PEM file of certificates to trust, instead of Mozilla's.
    pub certificates: Option<PathBuf>,
}

/// A hub, and who asks.
pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<Token>,
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`HubError::Endpoint`], [`HubError::Certificates`].
    pub fn new(settings: &Settings) -> Result<Self, HubError> {
        let endpoint = settings.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        let scheme = endpoint.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("http" | "https")) {
            let (endpoint, problem) = (endpoint.to_owned(), "no `https://` or `http://`".into());
            return Err(HubError::Endpoint { endpoint, problem });
        }
        let roots = settings.certificates.as_ref().map_or(Ok(RootCerts::WebPki), certificates)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        Ok(Self {
            agent: config.build().into(),
            endpoint: endpoint.to_owned(),
            token: settings.token.clone(),
        })
    }

    /// An address of the hub.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint)
    }

    /// What is at an address of the hub, from byte `from` on, where it is answered at all.
    pub(crate) fn get(
        &self,
        model: &ModelName,
        url: &str,
        from: u64,
    ) -> Result<Response<Body>, HubError> {
        let mut request = self.agent.get(url);
        if let Some(Token(token)) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let response = request.call().map_err(|error| self.unreached(url, error))?;
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            status => Err(self.refusal(model, url.to_owned(), status, &response)),
        }
    }

    fn unreached(&self, url: &str, error: ureq::Error) -> HubError {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                let (endpoint, problem) = (self.endpoint.clone(), error.to_string());
                HubError::Endpoint { endpoint, problem }
            }
            source => HubError::Network { url: url.to_owned(), source: Box::new(source) },
        }
    }

    /// Why the hub does not answer, in its own word where it has one.
    fn refusal(
        &self,
        model: &ModelName,
        url: String,
        status: u16,
        response: &Response<Body>,
    ) -> HubError {
        let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok());
        let code = code.filter(|code| !code.is_empty());
        let (model, endpoint) = (model.clone(), self.endpoint.clone());
        let has_token = self.token.is_some();
        match (status, code) {
            (404, Some("RevisionNotFound")) => {
                let revision = model.revision().to_owned();
                HubError::NoRevision { repo: model.repo(), revision }
            }
            (401 | 403, Some("GatedRepo")) => HubError::Gated { model, endpoint, has_token },
            // Without a token the hub does not tell what is private from what is not there.
            (401 | 403, _) => HubError::Forbidden { model, endpoint, status, has_token },
            // A hub that says nothing more; a file that is listed and not there is its own fault.
            (404, None | Some("RepoNotFound")) if url.contains("/api/models/") => {
                HubError::NoModel { model, endpoint }
            }
            _ => HubError::Status { url, status },
        }
    }
}

fn certificates(path: &PathBuf) -> Result<RootCerts, HubError> {
    let failed = |source| HubError::Certificates { path: path.clone(), source };
    let pem = fs::read(path).map_err(failed)?;
    let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
    let items = items.map_err(|error| failed(io::Error::other(error)))?;
    let roots: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(root) => Some(root),
            _ => None,
        })
        .collect();
    if roots.is_empty() {
        return Err(failed(io::Error::other("there is none")));
    }
    Ok(roots.into())
}
