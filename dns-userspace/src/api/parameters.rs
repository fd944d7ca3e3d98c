//! Names in paths and parameters in queries: percent-decoded, known, given once.

use axum::http::Uri;

use super::problem::Problem;
use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;

/// The parameters of one request.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query; `known` are the names that the call has.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let invalid = |detail: String| Problem::bad_request("invalid_parameter", detail);
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                percent_decode(&text.replace('+', " "))
                    .ok_or_else(|| invalid(format!("`{text}` is not percent-encoded UTF-8")))
            };
            let key = decode(key)?;
            if !known.contains(&key.as_str()) {
                let known = match known {
                    [] => "it has none".to_owned(),
                    known => format!("it has {}", known.join(", ")),
                };
                return Err(invalid(format!("this call has no parameter `{key}`; {known}")));
            }
            if parameters.iter().any(|(other, _)| *other == key) {
                return Err(invalid(format!("the parameter `{key}` is given twice")));
            }
            parameters.push((key, decode(value)?));
        }
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn name(&self, key: &str) -> Result<Option<Name>, Problem> {
        self.get(key).map(parse_name).transpose()
    }

    /// The view in `view`, which must be one of those of `snapshot`; `None` is the default.
    pub(super) fn view(&self, snapshot: &Snapshot) -> Result<Option<ViewName>, Problem> {
        let view = self.get("view").map(|name| find_view(snapshot, name));
        view.transpose()
            .map_err(|detail| Problem::bad_request("invalid_parameter", detail))
    }

    /// A switch: `true`, or `false`, which it is where it is not given.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Problem> {
        match self.get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Problem::bad_request(
                "invalid_parameter",
                format!("`{key}` is `{other}`, and not true or false"),
            )),
        }
    }

    /// How many there may be in a page.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else {
            return Ok(default);
        };
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Problem::bad_request("invalid_parameter", format!("`limit` is a number from 1 to {most}")))
    }

    pub(super) fn rtype(&self) -> Result<Option<RecordType>, Problem> {
        self.get("type").map(parse_type).transpose()
    }
}

/// A domain name that can be asked for: absolute, the final dot optional.
pub(super) fn parse_name(text: &str) -> Result<Name, Problem> {
    Name::parse_given(text).map_err(|error| Problem::bad_request("invalid_name", error.to_string()))
}

/// A type that records can have.
pub(super) fn parse_type(text: &str) -> Result<RecordType, Problem> {
    let rtype: RecordType = text
        .parse()
        .map_err(|error: crate::model::record::UnknownType| Problem::bad_request("invalid_type", error.to_string()))?;
    if rtype.is_data() {
        Ok(rtype)
    } else {
        Err(Problem::bad_request(
            "invalid_type",
            format!("{rtype} is no type of stored records (RFC 6895 §3.1)"),
        ))
    }
}

/// The view of that name, or a sentence that says that there is none.
pub(super) fn find_view(snapshot: &Snapshot, name: &str) -> Result<ViewName, String> {
    let view = snapshot.view(name).map(|view| view.name.clone());
    view.ok_or_else(|| {
        let names: Vec<&str> = snapshot.views.list.iter().map(|view| &*view.name).collect();
        let known = match names.as_slice() {
            [] => "it has none".to_owned(),
            names => format!("it has {}", names.join(", ")),
        };
        format!("the configuration has no view `{name}`; {known}")
    })
}

/// The name in `/api/v1/records/{name}`.
pub(super) fn name_in_path(uri: &Uri) -> Result<Name, Problem> {
    let encoded = uri.path().strip_prefix(RECORDS).unwrap_or_default();
    let text = percent_decode(encoded)
        .ok_or_else(|| Problem::bad_request("invalid_name", format!("`{encoded}` is not percent-encoded UTF-8")))?;
    parse_name(&text)
}

/// The segments of a path behind `prefix`, percent-decoded.
pub(super) fn segments(uri: &Uri, prefix: &str) -> Result<Vec<String>, Problem> {
    let path = uri.path().strip_prefix(prefix).unwrap_or_default();
    let decode = |encoded: &str| {
        let refused = || {
            let detail = format!("`{encoded}` in the path is not percent-encoded UTF-8");
            Problem::bad_request("invalid_parameter", detail)
        };
        percent_decode(encoded).ok_or_else(refused)
    };
    path.split('/').map(decode).collect()
}

/// Where an RRset is.
pub(super) fn location(view: Option<&ViewName>, name: &Name, rtype: RecordType) -> String {
    let mut location = String::from(RECORDS);
    percent_encode(&name.to_string(), &mut location);
    location.push_str(&format!("?type={rtype}"));
    if let Some(view) = view {
        location.push_str("&view=");
        percent_encode(view, &mut location);
    }
    location
}

/// The part of the path behind `prefix`, up to the next `/`, decoded.
pub(super) fn segment(uri: &Uri, prefix: &str) -> Result<String, Problem> {
    let rest = uri.path().strip_prefix(prefix).unwrap_or_default();
    let encoded = rest.split('/').next().unwrap_or_default();
    percent_decode(encoded)
        .ok_or_else(|| Problem::bad_request("invalid_name", format!("`{encoded}` is not percent-encoded UTF-8")))
}

pub(super) fn percent_encode(text: &str, encoded: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'*' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
}

const RECORDS: &str = "/api/v1/records/";

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_first_chunk::<2>()?;
            rest = tail;
            decoded.push(data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()?[0]);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_through_locations() {
        for text in [
            "www.Example.com.",
            "*.x.",
            "0/25.2.0.192.in-addr.arpa.",
            "a\\.b.\\255x.",
            ".",
        ] {
            let name = Name::parse(text).expect("a name");
            let uri: Uri = location(None, &name, RecordType::A).parse().expect("a URI");
            assert_eq!(name_in_path(&uri).expect("the name").to_string(), text);
            assert_eq!(uri.query(), Some("type=A"));
        }
    }

    #[test]
    fn bad_percent_encoding_is_refused() {
        for text in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decode(text), None, "{text}");
        }
        assert_eq!(percent_decode("a%2Fb%2f").as_deref(), Some("a/b/"));
    }
}
