//! Rows to records and back. What hotdns would not have written is damage.

use std::path::Path;

use rusqlite::{Connection, Row};

use super::{API, KeptRrset, Progress, Refusal, ServedSerial, Stored, schema};
use crate::model::name::{Name, NameKey};
use crate::model::rdata;
use crate::model::record::{Handling, Keeping, Order, Rdatas, RecordType, RrSet, Wildcard};
use crate::model::source::Origin;

/// The weights of an order, two octets each; `None` where it has none.
pub(super) fn encode_weights(order: &Order) -> Option<Vec<u8>> {
    let weights = order.weights();
    (!weights.is_empty()).then(|| weights.iter().flat_map(|weight| weight.to_be_bytes()).collect())
}

/// Everything in the database.
pub(super) fn read_all(connection: &Connection, path: &Path) -> Result<Stored, Refusal> {
    let version = schema::version(connection).map_err(|error| Refusal::from_sqlite(path, error))?;
    // An older database that can only be read stays as it is.
    let since = match version {
        1 => "0, NULL, 0, '', 'api', NULL, NULL, 0, 0, 0, NULL FROM api_rrsets",
        2 => "rr_order, weights, one_label, '', 'api', NULL, NULL, 0, 0, 0, NULL FROM api_rrsets",
        3 => "rr_order, weights, one_label, view, 'api', NULL, NULL, 0, 0, 0, NULL FROM api_rrsets",
        4 => "rr_order, weights, one_label, view, source, object, since, 0, 0, 0, NULL FROM rrsets",
        _ => "rr_order, weights, one_label, view, source, object, since, version, locked, disabled, note FROM rrsets",
    };
    let serials = match version {
        1..=4 => "SELECT apex_key, serial, apex, fingerprint, 0 FROM served_serials",
        _ => "SELECT apex_key, serial, apex, fingerprint, version FROM served_serials",
    };
    let query = format!("SELECT owner_key, rtype, owner, ttl, rdatas, {since} ORDER BY 10, 9, owner_key, rtype");
    let mut stored = Stored {
        serials: read(connection, path, serials, serial)?,
        ..Stored::default()
    };
    for (source, kept) in read(connection, path, &query, rrset)? {
        stored.version = stored.version.max(kept.rrset.origin.version());
        match source.as_str() {
            API => stored.rrsets.push((kept.view, kept.owner, kept.rrset)),
            _ => stored.watched.entry(source).or_default().rrsets.push(kept),
        }
    }
    if version >= 4 {
        let query = "SELECT source, resume, synced FROM sources";
        for (source, progress) in read(connection, path, query, progress)? {
            stored.watched.entry(source).or_default().progress = Some(progress);
        }
    }
    if version >= 5 {
        let last = "SELECT coalesce(max(last), 0) FROM history";
        let last = read(connection, path, last, |row| {
            row.get::<_, i64>(0).map_err(|error| error.to_string())
        })?;
        let of_serials = stored.serials.iter().map(|served| served.version);
        let all = last.iter().map(|last| last.cast_unsigned()).chain(of_serials);
        stored.version = all.fold(stored.version, u64::max);
    }
    Ok(stored)
}

fn read<T>(
    connection: &Connection,
    path: &Path,
    query: &str,
    decode: fn(&Row<'_>) -> Result<T, String>,
) -> Result<Vec<T>, Refusal> {
    // A missing table or column is damage too: the version said that it is there.
    let sqlite = |error: rusqlite::Error| match error.sqlite_error_code() {
        None | Some(rusqlite::ErrorCode::Unknown) => Refusal::damaged(path, error.to_string()),
        _ => Refusal::from_sqlite(path, error),
    };
    let mut statement = connection.prepare(query).map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        all.push(decode(row).map_err(|reason| Refusal::damaged(path, reason))?);
    }
    Ok(all)
}

fn rrset(row: &Row<'_>) -> Result<(String, KeptRrset), String> {
    let owner = name(row)?;
    let wrong = |what: &str| format!("an RRset of {owner} has {what}");
    let rtype = RecordType(row.get(1).map_err(|_| wrong("no type"))?);
    let ttl: u32 = row.get(3).map_err(|_| wrong("no TTL"))?;
    let encoded: Vec<u8> = row.get(4).map_err(|_| wrong("no data"))?;
    let rdatas = Rdatas::from_octets(&encoded).ok_or_else(|| wrong("data of a wrong length"))?;
    if !rtype.is_data() || ttl > 0x7FFF_FFFF || rdatas.is_empty() || (rtype.is_singleton() && rdatas.len() > 1) {
        return Err(wrong("a type, TTL or count that cannot be"));
    }
    if !rdatas.iter().all(|rdata| rdata::is_well_formed(rtype, rdata)) {
        return Err(wrong("malformed data"));
    }
    let handling = handling(row, rdatas.len()).ok_or_else(|| wrong("an order that cannot be"))?;
    let rrset = RrSet {
        rtype,
        ttl,
        rdatas,
        origin: Origin::api().at_version(version(row, 12).map_err(|()| wrong("no version"))?),
        handling: handling.kept(keeping(row).ok_or_else(|| wrong("a lock that cannot be"))?),
    };
    let view: String = row.get(8).map_err(|_| wrong("no view"))?;
    let source = row.get(9).map_err(|_| wrong("no source"))?;
    let object: Option<String> = row.get(10).map_err(|_| wrong("an object that cannot be"))?;
    let since: Option<i64> = row.get(11).map_err(|_| wrong("a time that cannot be"))?;
    let kept = KeptRrset {
        view: (!view.is_empty()).then(|| view.into()),
        owner,
        rrset,
        object: object.map(Into::into),
        since: since.map(i64::cast_unsigned),
    };
    Ok((source, kept))
}

/// The order in columns 5 and 6, and the wildcard in column 7.
fn handling(row: &Row<'_>, values: usize) -> Option<Handling> {
    let order: u8 = row.get(5).ok()?;
    let encoded: Option<Vec<u8>> = row.get(6).ok()?;
    let (weights, rest) = encoded.as_deref().unwrap_or_default().as_chunks::<2>();
    let weights: Box<[u16]> = weights.iter().map(|octets| u16::from_be_bytes(*octets)).collect();
    let order = Order::from_word(Order::WORDS.get(usize::from(order))?, weights)?;
    let expected = match order {
        Order::Weighted(_) => values,
        Order::Fixed | Order::Rotate | Order::Random | Order::Hash => 0,
    };
    let wildcard = match row.get(7).ok()? {
        true => Wildcard::OneLabel,
        false => Wildcard::Rfc4592,
    };
    (rest.is_empty() && order.weights().len() == expected).then(|| Handling::new(order, wildcard))
}

/// How it is kept, in columns 13 to 15.
fn keeping(row: &Row<'_>) -> Option<Keeping> {
    let note: Option<String> = row.get(15).ok()?;
    Some(Keeping {
        locked: row.get(13).ok()?,
        disabled: row.get(14).ok()?,
        note: note.map(Into::into),
    })
}

fn version(row: &Row<'_>, column: usize) -> Result<u64, ()> {
    row.get::<_, i64>(column).map(i64::cast_unsigned).map_err(|_| ())
}

fn progress(row: &Row<'_>) -> Result<(String, Progress), String> {
    let source: String = row.get(0).map_err(|_| "a source has no name".to_owned())?;
    let wrong = |what: &str| format!("the source {source} has {what}");
    let progress = Progress {
        resume: row.get(1).map_err(|_| wrong("a place to resume from that cannot be"))?,
        synced: row.get::<_, i64>(2).map_err(|_| wrong("no time"))?.cast_unsigned(),
    };
    Ok((source, progress))
}

fn serial(row: &Row<'_>) -> Result<ServedSerial, String> {
    let apex = name(row)?;
    let wrong = |_| format!("the serial of {apex} is no number");
    Ok(ServedSerial {
        serial: row.get(1).map_err(wrong)?,
        fingerprint: row.get::<_, i64>(3).map_err(wrong)?.cast_unsigned(),
        version: row.get::<_, i64>(4).map_err(wrong)?.cast_unsigned(),
        apex: apex.clone(),
    })
}

/// The name in column 2, which column 0 must be the key of.
fn name(row: &Row<'_>) -> Result<Name, String> {
    let text: String = row.get(2).map_err(|error| error.to_string())?;
    let name = Name::parse(&text).map_err(|error| error.to_string())?;
    let key: Vec<u8> = row.get(0).map_err(|error| error.to_string())?;
    if NameKey::from_wire(name.as_wire()).as_bytes() == key {
        Ok(name)
    } else {
        Err(format!("the key of {name} is another name's"))
    }
}
