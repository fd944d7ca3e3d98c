//! AWS Signature Version 4: which bytes of a request are signed, and with what key.

use std::time::SystemTime;

use data_encoding::HEXLOWER;
use k8s_openapi::jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, sign as hmac};

use super::credentials::Credentials;
use crate::model::shown::percent_encoded;

/// A request to be signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// Percent-encoded.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, String)],
    pub(super) body: &'a [u8],
}

/// What a signed request has besides.
pub(super) struct Signed {
    /// With its `?`; empty where there is none.
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

pub(super) fn sign(
    request: &Request<'_>,
    credentials: &Credentials,
    region: &str,
    service: &str,
    now: SystemTime,
) -> Signed {
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let (date, time) = (
        now.strftime("%Y%m%d").to_string(),
        now.strftime("%Y%m%dT%H%M%SZ").to_string(),
    );
    let mut pairs: Vec<String> = request
        .query
        .iter()
        .map(|(key, value)| format!("{}={}", percent_encoded(key), percent_encoded(value)))
        .collect();
    pairs.sort();
    let query = pairs.join("&");
    let mut headers = vec![("host", request.host.to_owned()), ("x-amz-date", time.clone())];
    if let Some(token) = &credentials.session_token {
        headers.push(("x-amz-security-token", token.clone()));
    }
    let canonical_headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = format!(
        "{}\n{}\n{query}\n{canonical_headers}\n{names}\n{}",
        request.method,
        request.path,
        hash(request.body)
    );
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [&date, region, service, "aws4_request"] {
        key = hmac(&Key::new(HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
    }
    let signature = HEXLOWER.encode(hmac(&Key::new(HMAC_SHA256, &key), to_sign.as_bytes()).as_ref());
    let access = &credentials.access_key;
    headers.retain(|(name, _)| *name != "host");
    headers.push((
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"),
    ));
    Signed {
        query: if query.is_empty() { query } else { format!("?{query}") },
        headers,
    }
}

fn hash(octets: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, octets).as_ref())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The example "get-vanilla-query-order-key-case" of AWS's test suite of Signature Version 4.
    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        let request = Request {
            method: "GET",
            host: "example.amazonaws.com",
            path: "/",
            query: &[("Param2", "value2".to_owned()), ("Param1", "value1".to_owned())],
            body: b"",
        };
        // 2015-08-30T12:36:00Z
        let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let signed = sign(&request, &credentials, "us-east-1", "service", now);
        assert_eq!(signed.query, "?Param1=value1&Param2=value2");
        let (_, authorization) = signed.headers.last().expect("a header");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }
}
