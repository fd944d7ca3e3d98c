//! JSON web tokens (RFC 7519) of an identity provider, verified with its keys (JWKS, RFC 7517).
//!
//! ```text
//! token ─ algorithm, key ID ─► key of the set ─► signature, issuer, audience, times ─► claim `hotdns` ─► Principal
//! ```
//!
//! Only signatures with a public key count: RS, PS, ES and EdDSA. The claim `hotdns` is a scope as tokens have it;
//! without it everything is allowed, since the audience says that the token was made for this server.

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, Validation, decode, decode_header};
use ring::signature as checks;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::{Principal, Scope, ScopeText};
use crate::host::files;
use crate::host::reread::RereadFiles;

/// The most octets of a set of keys.
const MOST_OCTETS: u64 = 1 << 20;
/// How long keys from a URL are good.
const LIFE: Duration = Duration::from_secs(300);
/// Before keys are asked for again, where that failed or a token names one that is not known.
const PAUSE: Duration = Duration::from_secs(10);
/// How long asking may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose tokens are taken, and what they are verified with.
pub struct Verification {
    issuer: String,
    audience: String,
    keys: Keys,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file with a set.
    File(PathBuf),
    /// A set that is fetched.
    Url(String),
}

enum Keys {
    File(RereadFiles<JwkSet>),
    Url(Fetched),
}

/// Keys that are fetched, when a token comes that needs them.
struct Fetched {
    url: String,
    keys: ArcSwap<JwkSet>,
    /// When they were asked for, and when they came.
    times: Mutex<(Option<Instant>, Option<Instant>)>,
}

/// The claims that count here; the library looks at the issuer, the audience and the times.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    client_id: Option<String>,
    azp: Option<String>,
    exp: u64,
    hotdns: Option<ScopeText>,
}

impl Verification {
    /// For tokens of this issuer that are for this audience. Keys in a file are read now, those of a URL when they are
    /// needed.
    pub fn new(issuer: &str, audience: &str, source: &KeySource) -> Result<Self, String> {
        install_provider();
        let keys = match source {
            KeySource::File(path) => {
                let file = path.clone();
                let read = move || {
                    let text = files::read_text(&file, MOST_OCTETS);
                    let text = text.map_err(|error| format!("{} cannot be read ({error})", file.display()))?;
                    parse(&text).map_err(|error| format!("{}: {error}", file.display()))
                };
                Keys::File(RereadFiles::load("http.auth.jwt.jwks", vec![path.clone()], read)?)
            }
            KeySource::Url(url) => Keys::Url(Fetched {
                url: url.clone(),
                keys: ArcSwap::from_pointee(JwkSet { keys: Vec::new() }),
                times: Mutex::default(),
            }),
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys,
        })
    }

    /// Who the token is for, or why it is not good.
    pub async fn holder(&self, token: &[u8]) -> Result<Principal, String> {
        let wrong = |error: Error| format!("the JSON web token is not good: {error}");
        let header = decode_header(token).map_err(wrong)?;
        if header.alg.family() == AlgorithmFamily::Hmac {
            return Err(format!(
                "the JSON web token is signed with {:?}, which needs no public key",
                header.alg
            ));
        }
        let key = self.keys.find(header.kid.as_deref()).await?;
        let stated = key.common.key_algorithm.map(|stated| stated.to_string());
        if stated.is_some_and(|stated| stated != format!("{:?}", header.alg)) {
            return Err("the JSON web token is signed with another algorithm than its key is for".to_owned());
        }
        let key = DecodingKey::from_jwk(&key).map_err(|error| format!("the key of the token is not good: {error}"))?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        let claims = decode::<Claims>(token, &key, &validation).map_err(wrong)?.claims;
        let scope = claims.hotdns.unwrap_or_default();
        let scope = Scope::try_from(&scope).map_err(|error| format!("the claim `hotdns` of the token: {error}"))?;
        let name = claims.sub.or(claims.client_id).or(claims.azp);
        let name = name.unwrap_or_else(|| "nobody".to_owned());
        Ok(Principal::new(format!("jwt:{name}"), scope).until(Some(claims.exp)))
    }
}

impl Keys {
    /// The key with this ID; without one, the only key that there is.
    async fn find(&self, id: Option<&str>) -> Result<Jwk, String> {
        let keys = match self {
            Self::File(file) => file.current(),
            Self::Url(fetched) => fetched.with(id).await,
        };
        let key = match (id, keys.keys.as_slice()) {
            (Some(id), _) => keys.find(id).cloned(),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        };
        key.ok_or_else(|| "the JSON web token names no key of `http.auth.jwt.jwks`".to_owned())
    }
}

impl Fetched {
    /// The keys, asked for again where they are old or lack this one.
    async fn with(&self, id: Option<&str>) -> Arc<JwkSet> {
        let mut times = self.times.lock().await;
        let keys = self.keys.load_full();
        let (asked, came) = *times;
        let is_old = came.is_none_or(|came| came.elapsed() >= LIFE);
        let lacks = id.is_some_and(|id| keys.find(id).is_none());
        let may_ask = asked.is_none_or(|asked| asked.elapsed() >= PAUSE);
        if !(is_old || lacks) || !may_ask {
            return keys;
        }
        let url = self.url.clone();
        times.0 = Some(Instant::now());
        let fetched = tokio::task::spawn_blocking(move || fetch(&url)).await;
        match fetched.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(keys) => {
                times.1 = Some(Instant::now());
                self.keys.store(Arc::new(keys));
            }
            Err(error) => warn!(
                "http.auth.jwt.jwks: {}: {error}; the last good keys stay in force",
                self.url
            ),
        }
        self.keys.load_full()
    }
}

fn fetch(url: &str) -> Result<JwkSet, String> {
    let roots = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .tls_config(roots.build())
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let text = response.body_mut().with_config().limit(MOST_OCTETS).read_to_string();
    parse(&text.map_err(|error| error.to_string())?)
}

/// The keys of a set; those of a kind that is not known are left out (RFC 7517 §5).
fn parse(text: &str) -> Result<JwkSet, String> {
    let set: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let list = set["keys"]
        .as_array()
        .ok_or("no set of keys: an object with a list `keys` (RFC 7517 §5)")?;
    let keys = list.iter().filter_map(|key| Jwk::deserialize(key).ok());
    let keys: Vec<Jwk> = keys
        .filter(|key| !matches!(key.algorithm, jsonwebtoken::jwk::AlgorithmParameters::OctetKey(_)))
        .collect();
    if keys.is_empty() {
        return Err("no public key of a kind that is known (RSA, EC P-256 and P-384, Ed25519)".to_owned());
    }
    Ok(JwkSet { keys })
}

/// Signatures are checked by ring.
fn install_provider() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
        verifier_factory: |algorithm, key| Ok(Box::new(Check::new(*algorithm, key)?)),
        key_utils: KeyUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

/// The check of one signature.
struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Check {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        if key.family() != algorithm.family() {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        Ok(Self {
            algorithm,
            key: key.clone(),
        })
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), ring::error::Unspecified> {
        let rsa: &checks::RsaParameters = match self.algorithm {
            Algorithm::RS256 => &checks::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &checks::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &checks::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &checks::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &checks::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &checks::RSA_PSS_2048_8192_SHA512,
            Algorithm::ES256 => return self.plain(&checks::ECDSA_P256_SHA256_FIXED, message, signature),
            Algorithm::ES384 => return self.plain(&checks::ECDSA_P384_SHA384_FIXED, message, signature),
            Algorithm::EdDSA => return self.plain(&checks::ED25519, message, signature),
            _ => return Err(ring::error::Unspecified),
        };
        match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                checks::RsaPublicKeyComponents { n, e }.verify(rsa, message, signature)
            }
            DecodingKeyKind::SecretOrDer(_) => self.plain(rsa, message, signature),
        }
    }

    fn plain(
        &self,
        algorithm: &'static dyn checks::VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), ring::error::Unspecified> {
        let DecodingKeyKind::SecretOrDer(octets) = self.key.kind() else {
            return Err(ring::error::Unspecified);
        };
        checks::UnparsedPublicKey::new(algorithm, octets).verify(message, signature)
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.check(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::super::tokens::now;
    use super::*;

    /// An identity provider.
    pub(crate) struct Provider {
        pair: EcdsaKeyPair,
        pub(crate) jwks: Value,
    }

    impl Provider {
        pub(crate) fn new() -> Self {
            let random = SystemRandom::new();
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("made");
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random);
            let pair = pair.expect("a pair");
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            let key = json!({"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
                             "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)});
            let jwks = json!({"keys": [key, {"kty": "unheard-of"}]});
            Self { pair, jwks }
        }

        pub(crate) fn token(&self, header: Value, claims: Value) -> String {
            let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            let message = format!("{}.{}", part(header), part(claims));
            let signature = self
                .pair
                .sign(&SystemRandom::new(), message.as_bytes())
                .expect("signed");
            format!("{message}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
        }
    }

    pub(crate) fn header() -> Value {
        json!({"alg": "ES256", "kid": "one", "typ": "JWT"})
    }

    pub(crate) fn claims() -> Value {
        json!({"iss": "https://id.example", "aud": "hotdns", "sub": "alice", "exp": now() + 600})
    }

    fn with(claim: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[claim] = value;
        claims
    }

    pub(crate) fn verification(provider: &Provider) -> Verification {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, provider.jwks.to_string()).expect("written");
        Verification::new("https://id.example", "hotdns", &KeySource::File(path)).expect("good")
    }

    #[tokio::test]
    async fn a_token_of_the_issuer_for_us_is_good_and_has_the_scope_of_its_claim() {
        let provider = Provider::new();
        let verification = verification(&provider);
        let holder = async |claims: Value| {
            let token = provider.token(header(), claims);
            verification.holder(token.as_bytes()).await
        };
        let all = holder(claims()).await.expect("good");
        assert_eq!((&**all.name(), all.is_unlimited()), ("jwt:alice", true));
        let limited = holder(with("hotdns", json!({"types": ["TXT"]}))).await.expect("good");
        assert!(!limited.is_unlimited() && limited.expires().is_some());
        for bad in [
            with("iss", json!("https://evil.example")),
            with("iss", Value::Null),
            with("aud", json!("other")),
            with("aud", Value::Null),
            with("exp", json!(now() - 600)),
            with("exp", Value::Null),
            with("nbf", json!(now() + 600)),
            with("hotdns", json!({"types": ["NONSENSE"]})),
            with("hotdns", json!({"unknown": []})),
        ] {
            assert!(holder(bad.clone()).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_not_signed_by_the_key_that_it_names_is_not_good() {
        let (provider, other) = (Provider::new(), Provider::new());
        let verification = verification(&provider);
        let refused = async |token: String| verification.holder(token.as_bytes()).await.expect_err(&token);
        refused(other.token(header(), claims())).await;
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "HS256", "kid": "one"}),
            json!({"alg": "ES384", "kid": "one"}),
            json!({"alg": "ES256", "kid": "other"}),
            json!({"alg": "RS256", "kid": "one"}),
        ] {
            refused(provider.token(header, claims())).await;
        }
        let good = provider.token(header(), claims());
        let (message, _) = good.rsplit_once('.').expect("three parts");
        refused(format!("{message}.")).await;
        let changed = provider.token(header(), with("sub", json!("root")));
        let (_, signature) = good.rsplit_once('.').expect("three parts");
        let (message, _) = changed.rsplit_once('.').expect("three parts");
        refused(format!("{message}.{signature}")).await;
        for nonsense in ["", "a.b.c", "...", "x"] {
            refused(nonsense.to_owned()).await;
        }
    }

    #[tokio::test]
    async fn keys_are_fetched_and_a_key_that_comes_later_is_found() {
        use std::io::{Read, Write};
        let provider = Provider::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let url = format!("http://{}/jwks", listener.local_addr().expect("bound"));
        let jwks = provider.jwks.to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("asked");
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                jwks.len()
            );
            let _ = stream.write_all(format!("{head}{jwks}").as_bytes());
        });
        let verification = Verification::new("https://id.example", "hotdns", &KeySource::Url(url)).expect("good");
        let token = provider.token(header(), claims());
        assert!(verification.holder(token.as_bytes()).await.is_ok());
        assert!(
            verification.holder(token.as_bytes()).await.is_ok(),
            "without asking again: nobody answers now"
        );
    }

    #[test]
    fn what_is_no_set_of_keys_is_named() {
        for (text, part) in [
            ("x", "no JSON"),
            ("{}", "a list `keys`"),
            (r#"{"keys":[]}"#, "no public key"),
            (r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, "no public key"),
        ] {
            assert!(parse(text).expect_err(text).contains(part), "{text}");
        }
    }
}
