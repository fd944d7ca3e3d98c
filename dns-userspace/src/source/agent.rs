//! The agent of a registry on this machine: where it says that we are.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::peer::Peer;
use super::services::Node;
use super::{Object, WorldError};
use crate::config::Near;

/// For a reply.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the agent where we are, where that is needed and not known. An object that is reported where it does not say.
pub(super) async fn locate<A>(near: &mut Option<Near>, peer: &Peer) -> Option<Object>
where
    A: DeserializeOwned + Into<Node> + Send,
{
    let near = near.as_mut().filter(|near| near.is_unknown())?;
    let agent: Result<A, WorldError> = match peer.get("/v1/agent/self", TIMEOUT).await {
        Ok(answer) => answer.json(),
        Err(error) => Err(error),
    };
    match agent {
        Ok(agent) => {
            let node: Node = agent.into();
            *near = node.into();
            None
        }
        Err(error) => Some(Object {
            key: "Order nearest".into(),
            since: 0,
            claims: Err(format!(
                "{error}: no instance is nearer than another; let the token read the agent (`agent:read`), or say \
                 where we are in `near`"
            )),
        }),
    }
}
