//! hosts(5): an address and its names in each line.

use std::net::IpAddr;

use super::{Imported, LeftOut, Record, Records};

pub(super) fn read(text: &str) -> Imported {
    let mut imported = Imported::default();
    let mut records = Records::default();
    for (number, line) in (1..).zip(text.lines()) {
        read_line(number, line, &mut records, &mut imported);
    }
    imported.records = records.into_vec();
    imported
}

/// One line, of the file or of CoreDNS' plugin `hosts`.
pub(super) fn read_line(number: usize, line: &str, records: &mut Records, imported: &mut Imported) {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let Some(first) = words.next() else { return };
    let address: IpAddr = match first.parse() {
        Ok(address) => address,
        Err(_) if first.contains('%') => {
            return imported.leave_out(
                number,
                line,
                "an address of one interface alone means nothing to others",
            );
        }
        Err(_) => return imported.leave_out(number, line, "this is no address; write one, then its names"),
    };
    if address.is_loopback() {
        return imported.leave_out(
            number,
            line,
            "loopback addresses are of the host itself, not for its clients",
        );
    }
    if address.is_unspecified() {
        return imported.leave_out(number, line, "this blocks a name; see `rules` with `block`");
    }
    let mut has_name = false;
    for name in words {
        has_name = true;
        if let Err(error) = records.add(name, type_of(address), None, &address.to_string()) {
            imported.leave_out(number, line, error);
        }
    }
    if !has_name {
        imported.leave_out(number, line, "an address without a name");
    }
}

/// The type of an address's records.
pub(super) fn type_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

pub(super) fn write(records: &[Record]) -> (String, Vec<LeftOut>) {
    let (mut text, mut left_out) = (String::new(), Vec::new());
    for record in records {
        let is_address = matches!(record.r#type.as_str(), "A" | "AAAA");
        if !is_address || record.name.starts_with("*.") || record.view.is_some() {
            left_out.push(LeftOut {
                line: 0,
                text: format!("{} {}", record.name, record.r#type),
                reason: "a hosts file has addresses of single names alone, the same for everybody".to_owned(),
            });
            continue;
        }
        for value in &record.value {
            let name = record.name.strip_suffix('.').unwrap_or(&record.name);
            text.push_str(&format!("{value}\t{name}\n"));
        }
    }
    (text, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_all_their_addresses() {
        let text = "# local\n127.0.0.1 localhost\n192.0.2.1\tone.example one # first\n2001:db8::1 one.example\n\
                    192.0.2.2 one.example\nfe80::1%eth0 link\nnot-an-address x\n0.0.0.0 ads.example\n";
        let imported = read(text);
        let shown: Vec<String> = imported
            .records
            .iter()
            .map(|record| format!("{} {} {}", record.name, record.r#type, record.value.join(",")))
            .collect();
        assert_eq!(
            shown,
            [
                "one.example. A 192.0.2.1,192.0.2.2",
                "one. A 192.0.2.1",
                "one.example. AAAA 2001:db8::1"
            ]
        );
        let lines: Vec<usize> = imported.left_out.iter().map(|part| part.line).collect();
        assert_eq!(lines, [2, 6, 7, 8]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let imported = read("192.0.2.1 a.example\n2001:db8::1 a.example\n192.0.2.9 b.example\n");
        let (text, left_out) = write(&imported.records);
        assert!(left_out.is_empty());
        assert_eq!(read(&text).records, imported.records);
    }
}
