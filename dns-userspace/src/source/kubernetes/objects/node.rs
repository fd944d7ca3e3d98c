//! Node v1: the addresses of Services of type NodePort.

use std::net::IpAddr;

use serde::Deserialize;

use super::super::settings::Target;
use super::Condition;

/// What is read of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    status: Status,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    address_type: String,
    address: String,
}

/// Which addresses of nodes a Service asks for: its annotation `access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Those from outside; of IPv6 the internal ones too, which are the same as a rule.
    Public,
    /// Those from inside.
    Private,
}

impl Access {
    /// From the annotation.
    pub fn parse(word: &str) -> Result<Self, String> {
        match word {
            "public" => Ok(Self::Public),
            "private" => Ok(Self::Private),
            _ => Err(format!("annotation `access`: `{word}`: write public or private")),
        }
    }
}

impl Node {
    /// Only what is published: heartbeats are no change then.
    pub(super) fn kept(mut self) -> Self {
        self.status
            .conditions
            .retain(|condition| condition.condition == "Ready");
        for condition in &mut self.status.conditions {
            *condition = Condition {
                condition: std::mem::take(&mut condition.condition),
                status: std::mem::take(&mut condition.status),
                ..Condition::default()
            };
        }
        self
    }

    /// Its addresses; none while it is not ready.
    pub(super) fn addresses(&self, access: Access) -> impl Iterator<Item = Target> {
        let is_ready = !self
            .status
            .conditions
            .iter()
            .any(|condition| condition.status != "True");
        let addresses = self.status.addresses.iter().filter(move |_| is_ready);
        addresses.filter_map(move |Address { address_type, address }| {
            let address: IpAddr = address.parse().ok()?;
            let is_asked = match (address_type.as_str(), access) {
                ("ExternalIP", Access::Public) | ("InternalIP", Access::Private) => true,
                ("InternalIP", Access::Public) => address.is_ipv6(),
                _ => false,
            };
            is_asked.then_some(Target::Address(address))
        })
    }
}
