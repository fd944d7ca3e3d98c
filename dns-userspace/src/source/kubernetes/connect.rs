//! How a cluster is reached: a kubeconfig and one of its contexts, `KUBECONFIG`, or the pod's own service account.

use std::time::Duration;

use axum::http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

use crate::config::KubernetesSource;
use crate::model::shown::with_causes;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A watch says something within this time: the server ends each after [`super::follow::WATCH_SECONDS`].
const READ_TIMEOUT: Duration = Duration::from_secs(super::follow::WATCH_SECONDS + 30);

/// A client of the cluster. Credentials are read anew, and renewed while it lives.
pub async fn connect(access: &KubernetesSource) -> Result<Client, String> {
    let options = KubeConfigOptions {
        context: access.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match (&access.kubeconfig, &access.context) {
        (Some(path), _) => {
            let kubeconfig =
                Kubeconfig::read_from(path).map_err(|error| format!("{}: {}", path.display(), with_causes(&error)))?;
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            config.map_err(|error| format!("{}: {}", path.display(), with_causes(&error)))?
        }
        (None, Some(_)) => {
            let config = Config::from_kubeconfig(&options).await;
            config.map_err(|error| format!("the kubeconfig: {}", with_causes(&error)))?
        }
        (None, None) => Config::infer().await.map_err(|error| {
            format!(
                "no cluster: set `kubeconfig`, the variable KUBECONFIG, or run in a pod with a service account: {}",
                with_causes(&error)
            )
        })?,
    };
    let mut config = config;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config).map_err(|error| with_causes(&error))
}

/// A request for what is at a path.
pub fn get(path: &str) -> Result<Request<Vec<u8>>, kube::Error> {
    Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)
}

/// Sends JSON: with PATCH what is to be merged into what is there (RFC 7396), else an object.
pub async fn send(client: &Client, method: Method, path: &str, body: &Value) -> Result<(), kube::Error> {
    let content = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content);
    let request = request
        .body(body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request_text(request).await.map(drop)
}
