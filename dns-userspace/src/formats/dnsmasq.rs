//! dnsmasq.conf: one option a line, with the same names as on its command line.

use std::net::IpAddr;

use super::hosts::type_of;
use super::{Imported, Records};
use crate::model::name::Name;

pub(super) fn read(text: &str) -> Imported {
    let mut imported = Imported::default();
    let mut reader = Reader {
        records: Records::default(),
    };
    for (number, line) in (1..).zip(text.lines()) {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        let (option, value) = line.split_once('=').unwrap_or((line, ""));
        if let Err(reason) = reader.option(option.trim(), value.trim(), number, &mut imported) {
            imported.leave_out(number, line, reason);
        }
    }
    imported.records = reader.records.into_vec();
    imported
}

/// A `#` begins a comment at the start of a line, or behind a space.
fn without_comment(line: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| line[..*at].trim().is_empty() || line[..*at].ends_with([' ', '\t']);
    line.match_indices('#')
        .find(is_comment)
        .map_or(line, |(at, _)| &line[..at])
}

struct Reader {
    records: Records,
}

type Outcome = Result<(), String>;

impl Reader {
    fn option(&mut self, option: &str, value: &str, line: usize, imported: &mut Imported) -> Outcome {
        match option {
            "address" => self.address(value),
            "host-record" => self.host_record(value),
            "cname" => self.cname(value),
            "mx-host" => self.mx(value),
            "srv-host" => self.srv(value),
            "txt-record" => self.txt(value),
            "ptr-record" => self.ptr(value),
            "caa-record" => self.list(value, "CAA", 4),
            "naptr-record" => self.naptr(value),
            "dns-rr" => self.by_number(value),
            "server" if !value.starts_with('/') => server(value).map(|server| imported.upstreams.push(server)),
            "server" | "local" => {
                Err("for some names alone: see `forward.routes`; with no server, make it a zone".into())
            }
            "port" => value
                .parse()
                .map(|port| imported.port = Some(port))
                .map_err(|_| "no port".into()),
            "listen-address" => {
                imported
                    .listen
                    .extend(value.split(',').map(|address| address.trim().to_owned()));
                Ok(())
            }
            "auth-zone" => {
                let name = value.split(',').next().unwrap_or_default();
                Err(format!("make a zone of it: hotdns zone create {name}"))
            }
            "addn-hosts" | "hostsdir" => Err(format!("import it too: hotdns import --format hosts {value}")),
            "conf-file" | "conf-dir" => Err("import it too: hotdns import --format dnsmasq".into()),
            "domain-needed" | "bogus-priv" | "no-resolv" | "no-hosts" | "bind-interfaces" | "bind-dynamic"
            | "no-poll" | "expand-hosts" | "keep-in-foreground" | "user" | "group" | "pid-file" => Ok(()),
            "cache-size" | "no-negcache" | "max-cache-ttl" | "min-cache-ttl" => Err("see `cache`".into()),
            "log-queries" => Err("see `query_log`".into()),
            "interface" | "except-interface" => Err(format!("write the addresses of {value} into `listen`")),
            "local-ttl" => Err("see `backend.default_ttl`".into()),
            other if other.starts_with("dhcp") || other.starts_with("ra-") || other.contains("tftp") => {
                Err("hotdns gives no addresses to machines: keep a DHCP server for that".into())
            }
            _ => Err(format!("nothing here is the same (line {line})")),
        }
    }

    /// `/NAME/…/ADDRESS`: each name, and all names below it.
    fn address(&mut self, value: &str) -> Outcome {
        let mut parts: Vec<&str> = value.split('/').filter(|part| !part.is_empty()).collect();
        let last = parts.pop().ok_or("which names and address?")?;
        let address: IpAddr = match last.parse() {
            Ok(address) => address,
            Err(_) => return Err("without an address these names do not exist: see `rules` with `block`".into()),
        };
        if address.is_unspecified() {
            return Err("this blocks names: see `rules` with `block`".into());
        }
        if parts.is_empty() || parts.contains(&"#") {
            return Err("all names there are: see `rules` with `template`".into());
        }
        for name in parts {
            let name = name.trim_start_matches('.');
            self.records.add(name, type_of(address), None, &address.to_string())?;
            self.records
                .add(&format!("*.{name}"), type_of(address), None, &address.to_string())?;
        }
        Ok(())
    }

    /// `NAME,…,ADDRESS,…[,TTL]`: the first name is what the addresses are called in reverse.
    fn host_record(&mut self, value: &str) -> Outcome {
        let (mut names, mut addresses, mut ttl) = (Vec::new(), Vec::<IpAddr>::new(), None);
        for part in value.split(',').map(str::trim) {
            match (part.parse(), part.parse()) {
                (Ok(address), _) => addresses.push(address),
                (_, Ok(seconds)) if !addresses.is_empty() => ttl = Some(seconds),
                _ => names.push(part),
            }
        }
        for address in addresses {
            for name in &names {
                self.records.add(name, type_of(address), ttl, &address.to_string())?;
            }
            if let Some(first) = names.first() {
                self.records
                    .add(&Name::of_address(address).to_string(), "PTR", ttl, first)?;
            }
        }
        Ok(())
    }

    /// `ALIAS,…,TARGET[,TTL]`.
    fn cname(&mut self, value: &str) -> Outcome {
        let mut parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let ttl = parts.last().and_then(|last| last.parse().ok());
        if ttl.is_some() {
            parts.pop();
        }
        let target = parts
            .pop()
            .filter(|_| !parts.is_empty())
            .ok_or("which alias of which name?")?;
        for alias in parts {
            self.records.add(alias, "CNAME", ttl, target)?;
        }
        Ok(())
    }

    /// `NAME[,HOST][,PREFERENCE]`.
    fn mx(&mut self, value: &str) -> Outcome {
        let mut parts = value.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let host = parts.next().unwrap_or(name);
        let preference = parts.next().unwrap_or("1");
        self.records.add(name, "MX", None, &format!("{preference} {host}"))
    }

    /// `NAME[,TARGET[,PORT[,PRIORITY[,WEIGHT]]]]`; no target is that there is no such service.
    fn srv(&mut self, value: &str) -> Outcome {
        let parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let part = |at: usize, otherwise| {
            parts
                .get(at)
                .copied()
                .filter(|part| !part.is_empty())
                .unwrap_or(otherwise)
        };
        let data = match part(1, "") {
            "" => "0 0 0 .".to_owned(),
            target => format!("{} {} {} {target}", part(3, "0"), part(4, "0"), part(2, "1")),
        };
        self.records.add(part(0, ""), "SRV", None, &data)
    }

    /// `NAME,TEXT,…`: each is a string of its own.
    fn txt(&mut self, value: &str) -> Outcome {
        let mut parts = split_quoted(value).into_iter();
        let name = parts.next().unwrap_or_default();
        let strings: Vec<String> = parts.map(|text| quoted(&text)).collect();
        let data = if strings.is_empty() {
            "\"\"".to_owned()
        } else {
            strings.join(" ")
        };
        self.records.add(&name, "TXT", None, &data)
    }

    fn ptr(&mut self, value: &str) -> Outcome {
        let (name, target) = value.split_once(',').ok_or("which name is it?")?;
        self.records
            .add(name.trim(), "PTR", None, target.trim().trim_matches('"'))
    }

    fn list(&mut self, value: &str, rtype: &str, parts: usize) -> Outcome {
        let all = split_quoted(value);
        if all.len() < parts {
            return Err(format!("{parts} parts are needed, with commas between them"));
        }
        let data = format!("{} {} {}", all[1], all[2], quoted(&all[3]));
        self.records.add(&all[0], rtype, None, &data)
    }

    /// `NAME,ORDER,PREFERENCE,FLAGS,SERVICE,REGEXP[,REPLACEMENT]`.
    fn naptr(&mut self, value: &str) -> Outcome {
        let all = split_quoted(value);
        let [name, order, preference, flags, service, regexp, rest @ ..] = &all[..] else {
            return Err("name, order, preference, flags, service and regexp are needed".into());
        };
        let replacement = rest.first().map_or(".", String::as_str);
        let [flags, service, regexp] = [flags, service, regexp].map(|text| quoted(text));
        let data = format!("{order} {preference} {flags} {service} {regexp} {replacement}");
        self.records.add(name, "NAPTR", None, &data)
    }

    /// `NAME,NUMBER[,HEX]`.
    fn by_number(&mut self, value: &str) -> Outcome {
        let mut parts = value.splitn(3, ',').map(str::trim);
        let (name, number) = (parts.next().unwrap_or_default(), parts.next().ok_or("which type?")?);
        let hex: String = parts.next().unwrap_or_default().split([':', ' ']).collect();
        let data = format!("\\# {} {hex}", hex.len() / 2);
        self.records.add(name, &format!("TYPE{number}"), None, data.trim_end())
    }
}

/// `ADDRESS[#PORT]`.
fn server(value: &str) -> Result<String, String> {
    let (address, port) = value.split_once('#').unwrap_or((value, "53"));
    let address: IpAddr = address
        .trim()
        .parse()
        .map_err(|_| "an upstream server is an address".to_owned())?;
    let port: u16 = port
        .split('@')
        .next()
        .unwrap_or("53")
        .parse()
        .map_err(|_| "no port".to_owned())?;
    Ok(std::net::SocketAddr::new(address, port).to_string())
}

/// Parts between commas; commas within quotes do not count.
fn split_quoted(text: &str) -> Vec<String> {
    let (mut parts, mut is_quoted) = (vec![String::new()], false);
    for letter in text.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => parts.push(String::new()),
            letter => parts.last_mut().expect("one at least").push(letter),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(imported: &Imported) -> Vec<String> {
        let record = |record: &super::super::Record| {
            let ttl = record.ttl.map_or(String::new(), |ttl| format!(" {ttl}"));
            format!("{}{ttl} {} {}", record.name, record.r#type, record.value.join(" | "))
        };
        imported.records.iter().map(record).collect()
    }

    #[test]
    fn records_are_those_that_dnsmasq_answers() {
        let imported = read(
            "# a comment\naddress=/lab.example/10.0.0.1\nhost-record=nas,nas.lan,10.0.0.2,fd00::2,60\n\
             cname=www.lan,nas.lan\nmx-host=lan,mail.lan,10\nsrv-host=_sip._tcp.lan,nas.lan,5060,1,2\n\
             txt-record=lan,\"a,b\",c # behind\nptr-record=9.0.0.10.in-addr.arpa,nine.lan\n\
             caa-record=lan,0,issue,ca.example\ndns-rr=x.lan,65280,01:02\n",
        );
        assert_eq!(
            shown(&imported),
            [
                "lab.example. A 10.0.0.1",
                "*.lab.example. A 10.0.0.1",
                "nas. 60 A 10.0.0.2",
                "nas.lan. 60 A 10.0.0.2",
                "2.0.0.10.in-addr.arpa. 60 PTR nas.",
                "nas. 60 AAAA fd00::2",
                "nas.lan. 60 AAAA fd00::2",
                "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 60 PTR nas.",
                "www.lan. CNAME nas.lan.",
                "lan. MX 10 mail.lan.",
                "_sip._tcp.lan. SRV 1 2 5060 nas.lan.",
                "lan. TXT \"a,b\" \"c\"",
                "9.0.0.10.in-addr.arpa. PTR nine.lan.",
                "lan. CAA 0 issue \"ca.example\"",
                "x.lan. TYPE65280 \\# 2 0102",
            ]
        );
        assert_eq!(imported.left_out, []);
    }

    #[test]
    fn settings_map_and_the_rest_is_listed() {
        let imported = read(
            "port=5353\nlisten-address=127.0.0.1,10.0.0.1\nserver=1.1.1.1\nserver=9.9.9.9#5353\nno-resolv\n\
             server=/corp.example/10.1.1.1\naddress=/ads.example/\ndhcp-range=10.0.0.50,10.0.0.90\nbogus=1\n",
        );
        assert_eq!(imported.port, Some(5353));
        assert_eq!(imported.listen, ["127.0.0.1", "10.0.0.1"]);
        assert_eq!(imported.upstreams, ["1.1.1.1:53", "9.9.9.9:5353"]);
        let lines: Vec<_> = imported.left_out.iter().map(|part| part.line).collect();
        assert_eq!(lines, [6, 7, 8, 9]);
        assert!(imported.left_out[2].reason.contains("DHCP"));
    }
}
