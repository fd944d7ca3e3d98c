//! `/api/v1/tokens`: bearer tokens with a scope, in `http.tokens_file`; where nodes share an etcd, in the files of all.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use humantime_serde::re::humantime;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};
use utoipa::ToSchema;

use super::body::{self, LIMIT_BYTES};
use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::problem::Problem;
use super::{ApiState, access, pieces};
use crate::journal::{ShareError, SharedTokens, TokenTexts};
use crate::principal::{
    DELETED, FreshToken, MakeTokenError, Principal, Scope, ScopeText, TokenShown, TokensFile, Wish, now, parse_time,
};

/// A token that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// 1 to 64 visible characters, no other token's.
    name: String,
    /// What it may do; without it, everything.
    #[serde(default)]
    scope: ScopeText,
    /// When it ends (RFC 3339); never, where it is left out.
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// In the place of `expires`: how long it lasts, such as `90d`.
    expires_in: Option<String>,
}

/// A token that was made, with its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    #[serde(flatten)]
    shown: TokenShown,
    /// The bearer token itself. It is shown this once and kept nowhere.
    secret: String,
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<TokenShown>,
}

/// All tokens, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "tokens",
    responses(
        (status = 200, description = "All tokens", body = TokenList),
        (status = 409, description = "`no_tokens_file`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "the list of tokens")?;
    Parameters::read(&uri, &[])?;
    let tokens = file(&state)?.list();
    Ok(pieces::json(StatusCode::OK, &TokenList { tokens }))
}

/// Makes a token. Its secret is shown this once.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "createToken", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = MadeToken,
            headers(("Location" = String, description = "Where it can be deleted"))),
        (status = 409, description = "`exists`, `no_tokens_file`, `tokens_file_broken`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    request: Request,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a new token")?;
    let (parts, body) = request.into_parts();
    Parameters::read(&parts.uri, &[])?;
    let file = file(&state)?;
    let (new, _held) = body::read_as::<NewToken>(&state, &parts, body, LIMIT_BYTES).await?;
    let wish = wish(new)?;
    check_within(&asker, &wish)?;
    let shared = state.serving()?.tokens.clone();
    let fresh = file.draw(&wish, shared.is_some())?;
    if let Some(shared) = &shared {
        shared.put(&fresh.shown.id, &fresh.to_shared()).await?;
    }
    let id = fresh.shown.id.clone();
    let kept = tokio::task::spawn_blocking(move || file.keep(&fresh).map(|()| fresh)).await;
    let kept = kept.map_err(|error| Problem::internal(&error.to_string()))?;
    if let (Err(_), Some(shared)) = (&kept, &shared) {
        // Nobody is told its secret.
        let _ = shared.put(&id, DELETED).await;
    }
    let FreshToken { shown, secret, .. } = kept?;
    let location = format!("/api/v1/tokens/{}", shown.id);
    let mut response = pieces::json(StatusCode::CREATED, &MadeToken { shown, secret });
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(
        HeaderValue::try_from(location)
            .ok()
            .map(|location| (header::LOCATION, location)),
    );
    Ok(response)
}

/// Deletes a token: it is good for nothing from then on.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "deleteToken", tag = "tokens",
    params(("id" = String, Path, description = "`id` of the token")),
    responses(
        (status = 204, description = "Gone"),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`no_tokens_file`, `tokens_file_broken`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "the end of a token")?;
    Parameters::read(&uri, &[])?;
    let file = file(&state)?;
    let is_shared = file.list().iter().any(|token| token.id == id && token.shared);
    if let Some(shared) = state.serving()?.tokens.as_ref().filter(|_| is_shared) {
        shared.put(&id, DELETED).await?;
    }
    let deleted = tokio::task::spawn_blocking(move || file.delete(&id)).await;
    match deleted.map_err(|error| Problem::internal(&error.to_string()))? {
        // What etcd tells of it may have come first.
        Err(MakeTokenError::NotFound(_)) if is_shared => {}
        deleted => deleted?,
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// How often the file is compared with what nodes share, besides when that changes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps the file of tokens in step with those that nodes share.
pub(super) async fn follow(state: &ApiState, shared: &SharedTokens) {
    let mut all = shared.follow();
    // What the log has said last.
    let mut said: Vec<String> = Vec::new();
    loop {
        let known = all.borrow_and_update().clone();
        if let (Some(known), Some(file)) = (known, state.credentials().tokens.clone()) {
            let taken = tokio::task::spawn_blocking(move || file.share(&known)).await;
            let (unknown, wrong) = match taken {
                Ok(Ok(taken)) => (taken.unknown, taken.passed_over),
                Ok(Err(error)) => (TokenTexts::new(), vec![error.to_string()]),
                Err(error) => (TokenTexts::new(), vec![error.to_string()]),
            };
            if wrong != said {
                for reason in &wrong {
                    warn!("tokens that nodes share: {reason}");
                }
                said = wrong;
            }
            for (id, text) in unknown {
                if let Err(error) = shared.restore(&id, &text).await {
                    debug!("a token that nodes share is not in etcd: {error}");
                    break;
                }
            }
        }
        tokio::select! {
            changed = all.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn file(state: &ApiState) -> Result<Arc<TokensFile>, Problem> {
    state.credentials().tokens.clone().ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "no_tokens_file",
            "there is no file to keep tokens in: set `http.tokens_file` in the configuration and reload",
        )
    })
}

fn wish(new: NewToken) -> Result<Wish, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_body", detail);
    let scope = Scope::try_from(&new.scope).map_err(|error| invalid(error.to_string()))?;
    let expires = match (new.expires, new.expires_in) {
        (Some(_), Some(_)) => return Err(invalid("`expires` and `expires_in`: write one of the two".to_owned())),
        (Some(time), None) => Some(parse_time("expires", &time).map_err(invalid)?),
        (None, Some(text)) => {
            let wrong = || invalid(format!("`expires_in` is `{text}`: write a duration such as 90d or 12h"));
            let lasts: Duration = humantime::parse_duration(&text).map_err(|_| wrong())?;
            // The longest that a time can be written with.
            Some(
                now()
                    .checked_add(lasts.as_secs())
                    .filter(|end| *end < END_OF_TIME)
                    .ok_or_else(wrong)?,
            )
        }
        (None, None) => None,
    };
    if expires.is_some_and(|expires| expires <= now()) {
        return Err(invalid("`expires` has passed already".to_owned()));
    }
    Ok(Wish {
        name: new.name,
        scope,
        expires,
    })
}

/// The year 10000.
const END_OF_TIME: u64 = 253_402_300_800;

/// Nobody makes a token that may do more than themselves, or lasts longer.
fn check_within(asker: &Principal, wish: &Wish) -> Result<(), Problem> {
    let own = &asker.scope().methods;
    let wanted = &wish.scope.methods;
    if !own.is_empty() && (wanted.is_empty() || wanted.iter().any(|method| !own.contains(method))) {
        let detail = format!(
            "{} may send {} alone, and so may the tokens that it makes: set `scope.methods`",
            asker.name(),
            own.join(", ")
        );
        return Err(Problem::forbidden(detail));
    }
    if let Some(end) = asker.expires()
        && wish.expires.is_none_or(|expires| expires > end)
    {
        let detail = format!(
            "{} ends, and the tokens that it makes end no later: set `expires`",
            asker.name()
        );
        return Err(Problem::forbidden(detail));
    }
    Ok(())
}

impl From<ShareError> for Problem {
    fn from(error: ShareError) -> Self {
        let problem = Self::storage_unavailable(error.to_string());
        match error {
            ShareError::Away(_) => problem,
            ShareError::Unknown(_) => problem.member("outcome", "unknown"),
        }
    }
}

impl From<MakeTokenError> for Problem {
    fn from(error: MakeTokenError) -> Self {
        let detail = error.to_string();
        match error {
            MakeTokenError::BadName => Self::bad_request("invalid_body", detail),
            MakeTokenError::Exists(_) => Self::new(StatusCode::CONFLICT, "exists", detail),
            MakeTokenError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            MakeTokenError::Broken(_) => Self::new(StatusCode::CONFLICT, "tokens_file_broken", detail),
            MakeTokenError::Unwritable { .. } => Self::storage_locked(detail),
            MakeTokenError::NoRandomness(_) => Self::internal(&detail),
        }
    }
}
