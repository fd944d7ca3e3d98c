//! What a service that holds zones has to be able to do, and what all of them share: errors, a pace, tokens.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Around;
use super::plan::{Change, Held, RecordId, Wish};
use crate::config::TokenPlace;
use crate::host::files;
use crate::model::name::Name;
use crate::model::record::RecordType;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of an answer that is no understood error, which are shown.
const MOST_SHOWN: usize = 200;

/// A service that holds zones. Its calls block.
pub(super) trait Provider: Send + 'static {
    /// What messages and the configuration call it.
    const KIND: &'static str;
    /// Changes that it takes at a time.
    const BATCH: usize = 1;

    /// All records of a zone that we could have made. `mark` is how the comments of ours begin.
    fn records(&mut self, zone: &Name, mark: &str, around: &Around) -> Result<Vec<(RecordId, Held)>, ProviderError>;

    /// Makes up to [`Self::BATCH`] changes; the outcome of each, or of the first ones where the rest was not tried.
    fn perform(&mut self, changes: &[(RecordId, Change)], around: &Around) -> Vec<Result<(), ProviderError>>;

    /// The records of a name and type are external-dns's, and ours to take over.
    fn adopt(&mut self, owner: &Name, rtype: RecordType) {
        let _ = (owner, rtype);
    }

    /// Makes a wish one that can be kept: bounds of a TTL, the length of a comment.
    fn fit(&self, wish: &mut Wish) {
        let _ = wish;
    }
}

/// Why a request has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ProviderError {
    /// The record is there already.
    #[error("{0}")]
    Exists(String),
    /// There is no such record.
    #[error("{0}")]
    Absent(String),
    /// The server refuses the change.
    #[error("{endpoint} is refused: {message}")]
    Refused {
        /// What was asked for.
        endpoint: String,
        /// What the server says.
        message: String,
    },
    /// The server cannot be asked, or not with this token.
    #[error("{0}")]
    Away(String),
}

impl ProviderError {
    /// Whether every other request would fail alike.
    pub(super) fn is_of_all(&self) -> bool {
        matches!(self, Self::Away(_))
    }
}

/// Requests that keep a distance.
pub(super) struct Pace {
    distance: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// So many requests within `within`.
    pub(super) fn new(requests: u16, within: Duration) -> Self {
        Self {
            distance: within / u32::from(requests.max(1)),
            last: None,
        }
    }

    /// Waits for the turn of the next request.
    pub(super) fn wait(&mut self) {
        if let Some(wait) = self.last.and_then(|last| self.distance.checked_sub(last.elapsed())) {
            std::thread::sleep(wait);
        }
        self.last = Some(Instant::now());
    }
}

/// A client whose errors are not those of the status.
pub(super) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .build();
    config.into()
}

/// One request of a provider and its answer, counted: status and text. Errors name what was asked.
pub(super) fn exchange(
    agent: &ureq::Agent,
    request: Result<ureq::http::Request<Vec<u8>>, ureq::http::Error>,
    called: &str,
    count: impl Fn(&str, Duration),
) -> Result<(ureq::http::StatusCode, String), ProviderError> {
    let away = |reason: &dyn std::fmt::Display| ProviderError::Away(format!("{called}: {reason}"));
    let request = request.map_err(|error| away(&error))?;
    let start = Instant::now();
    // A body without octets is none.
    let sent = match request.body().is_empty() {
        true => agent.run(request.map(|_| ())),
        false => agent.run(request),
    };
    let took = start.elapsed();
    let mut response = sent.map_err(|error| {
        count("error", took);
        away(&error)
    })?;
    count(response.status().as_str(), took);
    let text = response.body_mut().read_to_string().map_err(|error| away(&error))?;
    Ok((response.status(), text))
}

/// A secret from its file.
pub(super) fn secret(path: &Path) -> Result<String, ProviderError> {
    files::read_text(path, files::MOST_OF_A_SECRET)
        .map(|text| text.trim().to_owned())
        .map_err(|error| ProviderError::Away(format!("its secret, {}: {error}", path.display())))
}

/// A token from its place, which is read anew each time.
pub(super) fn token(place: &TokenPlace) -> Result<String, ProviderError> {
    match place {
        TokenPlace::Variable(name) => std::env::var(&**name)
            .map(|token| token.trim().to_owned())
            .map_err(|error| ProviderError::Away(format!("its token, the variable {name}: {error}"))),
        TokenPlace::File(path) => secret(path),
    }
}

/// The beginning of an answer, for messages.
pub(super) fn beginning(text: &str) -> String {
    text.trim().chars().take(MOST_SHOWN).collect()
}

/// A name as these services show it: without the final dot.
pub(super) fn shown(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}
