//! Why a verb did not do what was asked, and the exit code that says so to scripts.

use std::io;
use std::process::ExitCode;

use serde_json::Value;

/// What went wrong; shown as what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody answers there.
    #[error("no answer from {server}: {reason}\n{}", advice_about_server(server))]
    Unreachable {
        /// Where it was asked.
        server: String,
        /// What the connection says.
        reason: String,
    },
    /// The server's answer is an error.
    #[error("{}", shown_problem(*status, code, detail))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The member `code` of the answer; empty where it has none.
        code: String,
        /// The member `detail`, or what there is of the body.
        detail: String,
    },
    /// The server answered something that this program does not understand.
    #[error("the answer to {call} is not what the API gives: {reason}; is this a hotdns of the same version?")]
    Unexpected {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Its path, or `standard input`.
        path: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// Text has an error, with its place.
    #[error("{0}")]
    Text(String),
    /// What was asked for cannot be done so.
    #[error("{0}")]
    Usage(String),
    /// There are findings, which have been written.
    #[error("")]
    Findings,
}

impl Failure {
    /// The process's exit code, as `docs/command-line.md` lists them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// Writes it to standard error.
    pub(crate) fn report(&self) {
        let text = self.to_string();
        if !text.is_empty() {
            eprintln!("hotdns: {text}");
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Text(_) | Self::Unexpected { .. } | Self::Findings => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 6,
            Self::Refused { status, code, .. } => match (*status, code.as_str()) {
                (404, _) => 3,
                (409 | 412, _) | (422, "deletion_guard") => 4,
                (401 | 403, _) => 5,
                (429 | 503, _) => 6,
                _ => 1,
            },
        }
    }
}

/// What a server's error says to a person: its detail, its code, and what to do where the detail cannot know it.
fn shown_problem(status: u16, code: &str, detail: &str) -> String {
    let said = match code {
        "" => format!("{detail} (HTTP status {status})"),
        code => format!("{detail} ({code})"),
    };
    let advice = match (status, code) {
        (401, _) => "Set HOTDNS_TOKEN to a token of this server, as in: HOTDNS_TOKEN=$(cat /etc/hotdns/token) hotdns …",
        (403, "api_disabled") => "Set `http.token_file` in its configuration, or run this on the server's own host.",
        (409, "managed_by_file") => "Change the file and run `hotdns reload`.",
        (412, _) => "Somebody else changed it meanwhile: read it again and repeat your change.",
        (422, "deletion_guard") => "If this is meant, repeat the command with --force.",
        _ => return said,
    };
    format!("{said}\n{advice}")
}

fn advice_about_server(server: &str) -> String {
    match server.strip_prefix("unix:") {
        Some(path) => format!("Is hotdns running, and may this user write to {path}? See `systemctl status hotdns`."),
        None => "Is hotdns running? Another address is given with --url or HOTDNS_URL.".to_owned(),
    }
}

/// The failure that an answer with this status and body stands for.
pub(crate) fn refused(status: u16, body: &str) -> Failure {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let member = |name: &str| problem[name].as_str().map(str::to_owned);
    let mut detail = member("detail").or_else(|| member("title")).unwrap_or_else(|| {
        let first = body.lines().next().unwrap_or_default().trim();
        if first.is_empty() {
            "the server gives no reason".to_owned()
        } else {
            first.to_owned()
        }
    });
    if let Some(pointer) = problem["pointer"].as_str() {
        detail = format!("{pointer}: {detail}");
    }
    let errors = problem["errors"].as_array().into_iter().flatten();
    for error in errors.filter_map(Value::as_str) {
        detail.push_str("\n  ");
        detail.push_str(error);
    }
    Failure::Refused {
        status,
        code: member("code").unwrap_or_default(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_exit_codes() {
        let code = |status, code: &str| refused(status, &format!("{{\"code\":\"{code}\"}}")).code();
        assert_eq!(code(400, "invalid_name"), 1);
        assert_eq!(code(404, "not_found"), 3);
        assert_eq!(code(409, "managed_by_file"), 4);
        assert_eq!(code(412, "version_conflict"), 4);
        assert_eq!(code(422, "deletion_guard"), 4);
        assert_eq!(code(422, "reload_failed"), 1);
        assert_eq!(code(401, "unauthorized"), 5);
        assert_eq!(code(503, "storage_locked"), 6);
    }

    #[test]
    fn errors_say_what_to_do() {
        let body = r#"{"code":"reload_failed","detail":"the configuration has errors","errors":["a:1:2: no"]}"#;
        let text = refused(422, body).to_string();
        assert_eq!(text, "the configuration has errors\n  a:1:2: no (reload_failed)");
        let text = refused(401, r#"{"code":"unauthorized","detail":"no token"}"#).to_string();
        assert!(text.contains("HOTDNS_TOKEN"), "{text}");
        let text = refused(502, "<html>Bad gateway</html>").to_string();
        assert_eq!(text, "<html>Bad gateway</html> (HTTP status 502)");
    }
}
