//! RRsets in words, and how single values are gathered into them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::name::{Name, NameKey};
use crate::model::rdata::{format_value, parse_value};
use crate::model::record::RecordType;

/// An RRset in words, with the members that the API and the configuration have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The owner, absolute.
    pub name: String,
    /// A mnemonic, or `TYPE` and a number.
    pub r#type: String,
    /// Seconds; `None` where the text names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// RDATA in canonical presentation format.
    pub value: Vec<String>,
    /// The view that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// In which order the values are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// A weight for each value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<u32>>,
    /// What a wildcard stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<String>,
    /// Whether it is kept and not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether it may not be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// What people say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Gathers values into RRsets, in the order in which these first appear.
#[derive(Debug, Default)]
pub struct Records {
    all: Vec<Record>,
    places: HashMap<(NameKey, RecordType, Option<String>), usize>,
}

impl Record {
    /// An RRset of one value, which is parsed.
    ///
    /// # Errors
    /// What is wrong with name, type or value.
    pub fn parse(name: &str, rtype: &str, ttl: Option<u32>, value: &str) -> Result<Self, String> {
        let (name, rtype, value) = parsed(name, rtype, value)?;
        Ok(Self {
            name: name.to_string(),
            r#type: rtype.to_string(),
            ttl,
            value: vec![value],
            ..Self::default()
        })
    }

    /// The same RRset with names and values as they are when they are answered.
    ///
    /// # Errors
    /// What is wrong with name, type or a value.
    pub fn canonical(mut self) -> Result<Self, String> {
        for value in &mut self.value {
            let (name, rtype, canonical) = parsed(&self.name, &self.r#type, value)?;
            (self.name, self.r#type, *value) = (name.to_string(), rtype.to_string(), canonical);
        }
        if self.value.is_empty() {
            return Err(format!("{} {} has no value", self.name, self.r#type));
        }
        Ok(self)
    }

    /// The owner.
    pub fn owner(&self) -> Option<Name> {
        Name::parse(&self.name).ok()
    }
}

fn parsed(name: &str, rtype: &str, value: &str) -> Result<(Name, RecordType, String), String> {
    let owner = Name::parse(name).map_err(|error| format!("`{name}` is no domain name: {error}"))?;
    let rtype: RecordType = rtype.parse().map_err(|error| format!("{error}"))?;
    let rdata = parse_value(rtype, value).map_err(|error| format!("`{value}` is no {rtype} value: {error}"))?;
    Ok((owner, rtype, format_value(rtype, &rdata)))
}

impl Records {
    /// Adds a value. An RRset has the first TTL that is given.
    ///
    /// # Errors
    /// What is wrong with name, type or value.
    pub fn add(&mut self, name: &str, rtype: &str, ttl: Option<u32>, value: &str) -> Result<(), String> {
        self.push(Record::parse(name, rtype, ttl, value)?);
        Ok(())
    }

    /// Adds an RRset, or its values to the one that is there.
    pub fn push(&mut self, record: Record) {
        let (Some(owner), Ok(rtype)) = (record.owner(), record.r#type.parse()) else {
            return self.all.push(record);
        };
        let place = (owner.key(), rtype, record.view.clone());
        let Some(&at) = self.places.get(&place) else {
            self.places.insert(place, self.all.len());
            return self.all.push(record);
        };
        let there = &mut self.all[at];
        there.ttl = there.ttl.or(record.ttl);
        for value in record.value {
            if !there.value.contains(&value) {
                there.value.push(value);
            }
        }
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Record> {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_rrset_are_gathered() {
        let mut records = Records::default();
        records.add("a.example", "a", None, "192.0.2.1").expect("valid");
        records.add("b.example.", "A", Some(60), "192.0.2.1").expect("valid");
        records.add("A.example.", "A", Some(30), "192.0.2.2").expect("valid");
        records.add("a.example.", "A", Some(90), "192.0.2.2").expect("valid");
        let all = records.into_vec();
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0].name[..], all[0].ttl), ("a.example.", Some(30)));
        assert_eq!(all[0].value, ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = Record::parse("a..b", "A", None, "192.0.2.1").expect_err("an empty label");
        assert!(error.contains("`a..b`"), "{error}");
        let error = Record::parse("a.b", "A", None, "192.0.2.256").expect_err("no address");
        assert!(error.contains("no A value"), "{error}");
    }
}
