//! From words to wire: follows the layout of the type, part by part.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXLOWER_PERMISSIVE};

use super::error::{Fault, RdataFault};
use super::layout::{Kind, layout};
use super::token::{TokenKind, Word, Words};
use super::{address_prefixes, bitmap, location, mnemonic, service, strings, time, walk};
use crate::model::name::{Name, NameError};
use crate::model::record::RecordType;

/// Appends the RDATA that the rest of `words` gives to `wire`. Names are relative to `origin`; without one they are
/// absolute, whether or not they end in a dot.
pub(crate) fn parse(
    rtype: RecordType,
    words: &mut Words<'_>,
    origin: Option<&Name>,
    wire: &mut Vec<u8>,
) -> Result<(), Fault> {
    let begin = wire.len();
    let first = words.peek();
    if let Some(word) = first
        && word.kind == TokenKind::Plain
        && word.octets == b"\\#"
    {
        words.next();
        generic(rtype, words, wire)?;
        if !walk::is_well_formed(rtype, &wire[begin..]) {
            return Err(Fault::new(word.index, RdataFault::Malformed { rtype }));
        }
        return Ok(());
    }
    let Some(layout) = layout(rtype) else {
        let at = first.map_or(words.last_index(), |word| word.index);
        return Err(Fault::new(at, RdataFault::GenericOnly { rtype }));
    };
    let mut reader = Reader {
        rtype,
        words,
        origin,
        what: "",
        wire,
        begin,
    };
    for field in layout.fields {
        reader.what = field.what;
        reader.field(field.kind)?;
    }
    if let Some(extra) = words.peek() {
        return Err(Fault::new(extra.index, RdataFault::Extra { rtype }));
    }
    let bytes = wire.len() - begin;
    if bytes > usize::from(u16::MAX) {
        return Err(Fault::new(
            first.map_or(0, |word| word.index),
            RdataFault::TooLong { bytes },
        ));
    }
    Ok(())
}

/// RFC 3597 §5: `\# LENGTH HEX…`.
fn generic(rtype: RecordType, words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Fault> {
    let missing = Fault::new(words.last_index(), RdataFault::GenericLength);
    let length = words.next().ok_or(missing)?;
    let announced =
        integer(length.octets, u16::MAX.into()).ok_or_else(|| Fault::new(length.index, RdataFault::GenericLength))?;
    let announced = announced as usize;
    let begin = wire.len();
    let mut reader = Reader {
        rtype,
        words,
        origin: None,
        what: "data",
        wire,
        begin,
    };
    if !reader.words.is_empty() {
        reader.hex(0)?;
    }
    let found = wire.len() - begin;
    if found != announced {
        return Err(Fault::new(
            length.index,
            RdataFault::GenericMismatch { announced, found },
        ));
    }
    Ok(())
}

struct Reader<'r, 'a> {
    rtype: RecordType,
    words: &'r mut Words<'a>,
    origin: Option<&'r Name>,
    what: &'static str,
    wire: &'r mut Vec<u8>,
    begin: usize,
}

impl<'a> Reader<'_, 'a> {
    fn field(&mut self, kind: Kind) -> Result<(), Fault> {
        match kind {
            Kind::Name => self.name(),
            Kind::Names => {
                while !self.words.is_empty() {
                    self.name()?;
                }
                Ok(())
            }
            Kind::U8 => self.integer(u8::MAX.into()).map(|value| self.wire.push(value as u8)),
            Kind::U16 => self.integer(u16::MAX.into()).map(|value| self.push_u16(value as u16)),
            Kind::U32 => self.integer(u32::MAX).map(|value| self.push_u32(value)),
            Kind::Seconds => {
                let value = self.convert(time::parse_seconds, RdataFault::Seconds { what: self.what })?;
                self.push_u32(value);
                Ok(())
            }
            Kind::Time => {
                let value = self.convert(time::parse_time, RdataFault::Time { what: self.what })?;
                self.push_u32(value);
                Ok(())
            }
            Kind::Type => {
                let word = self.plain()?;
                let rtype = bitmap::parse_type(word)?;
                self.push_u16(rtype.0);
                Ok(())
            }
            Kind::Algorithm => {
                let value = self.mnemonic(mnemonic::ALGORITHMS, u8::MAX.into())?;
                self.wire.push(value as u8);
                Ok(())
            }
            Kind::CertificateType => {
                let value = self.mnemonic(mnemonic::CERTIFICATE_TYPES, u16::MAX.into())?;
                self.push_u16(value as u16);
                Ok(())
            }
            Kind::Ipv4 => {
                let address: Ipv4Addr = self.convert(|word| str_of(word)?.parse().ok(), RdataFault::Ipv4)?;
                self.wire.extend_from_slice(&address.octets());
                Ok(())
            }
            Kind::Ipv6 => {
                let address: Ipv6Addr = self.convert(|word| str_of(word)?.parse().ok(), RdataFault::Ipv6)?;
                self.wire.extend_from_slice(&address.octets());
                Ok(())
            }
            Kind::Locator => {
                let groups = self.convert(locator, RdataFault::Locator)?;
                self.wire.extend(groups.into_iter().flat_map(u16::to_be_bytes));
                Ok(())
            }
            Kind::Eui(octets) => {
                let address = self.convert(|word| eui(word, octets), RdataFault::Eui { octets })?;
                self.wire.extend_from_slice(&address);
                Ok(())
            }
            Kind::String => {
                let word = self.word()?;
                self.string(word)
            }
            Kind::Strings => self.strings(),
            Kind::Text(min) => {
                let word = self.word()?;
                let start = self.wire.len();
                strings::decode(word.octets, self.wire).ok_or_else(|| Fault::new(word.index, RdataFault::Escape))?;
                self.check_length(word, self.wire.len() - start, min)
            }
            Kind::Salt => self.salt(),
            Kind::Base32 => {
                let what = self.what;
                let decode = |word: &[u8]| BASE32HEX_NOPAD.decode(&word.to_ascii_uppercase()).ok();
                let (word, octets) = self.convert_word(decode, RdataFault::Base32 { what })?;
                self.push_counted(word, &octets, 1)
            }
            Kind::Tag => {
                let word = self.word()?;
                if !(1..=255).contains(&word.octets.len()) || !word.octets.iter().all(u8::is_ascii_alphanumeric) {
                    return Err(Fault::new(word.index, RdataFault::Tag));
                }
                self.push_counted(word, word.octets, 1)
            }
            Kind::Gateway => self.gateway(),
            Kind::HostIdentity => self.host_identity(),
            Kind::Hex(min) => self.hex(min),
            Kind::Base64(min) => self.base64(min),
            Kind::TypeBitmap => bitmap::parse(self.words, self.wire),
            Kind::ServiceParameters => service::parse(self.words, self.wire),
            Kind::Location => location::parse(self.rtype, self.words, self.wire),
            Kind::AddressPrefixes => address_prefixes::parse(self.words, self.wire),
        }
    }

    /// The next word, in quotes or not.
    fn word(&mut self) -> Result<Word<'a>, Fault> {
        let missing = RdataFault::Missing {
            rtype: self.rtype,
            what: self.what,
        };
        let word = self.words.next().ok_or(Fault::new(self.words.last_index(), missing))?;
        if word.kind == TokenKind::PartlyQuoted {
            return Err(Fault::new(word.index, RdataFault::PartlyQuoted));
        }
        Ok(word)
    }

    /// The next word, which must not be in quotes.
    fn plain(&mut self) -> Result<Word<'a>, Fault> {
        let word = self.word()?;
        if word.kind == TokenKind::Quoted {
            return Err(Fault::new(word.index, RdataFault::Quoted { what: self.what }));
        }
        Ok(word)
    }

    fn convert<T>(&mut self, convert: impl FnOnce(&[u8]) -> Option<T>, fault: RdataFault) -> Result<T, Fault> {
        self.convert_word(convert, fault).map(|(_, value)| value)
    }

    fn convert_word<T>(
        &mut self,
        convert: impl FnOnce(&[u8]) -> Option<T>,
        fault: RdataFault,
    ) -> Result<(Word<'a>, T), Fault> {
        let word = self.plain()?;
        let value = convert(word.octets).ok_or(Fault::new(word.index, fault))?;
        Ok((word, value))
    }

    fn integer(&mut self, max: u32) -> Result<u32, Fault> {
        let fault = RdataFault::Integer { what: self.what, max };
        self.convert(|word| integer(word, max), fault)
    }

    fn mnemonic(&mut self, table: &[(u16, &str)], max: u32) -> Result<u32, Fault> {
        let fault = RdataFault::Mnemonic { what: self.what, max };
        self.convert(
            |word| integer(word, max).or_else(|| mnemonic::number(table, word)),
            fault,
        )
    }

    fn name(&mut self) -> Result<(), Fault> {
        let word = self.plain()?;
        let name = match (self.origin, std::str::from_utf8(word.octets)) {
            (Some(origin), _) => Name::parse_relative(word.octets, origin),
            (None, Ok("@")) => return Err(Fault::new(word.index, RdataFault::OriginInValue)),
            (None, Ok(text)) => Name::parse_given(text),
            // A value is text, and words end at ASCII characters: this has no case.
            (None, Err(_)) => Err(NameError::BadWire),
        };
        let name = name.map_err(|error| Fault::new(word.index, error))?;
        self.wire.extend_from_slice(name.as_wire());
        Ok(())
    }

    fn string(&mut self, word: Word<'_>) -> Result<(), Fault> {
        let at = self.wire.len();
        self.wire.push(0);
        strings::decode(word.octets, self.wire).ok_or_else(|| Fault::new(word.index, RdataFault::Escape))?;
        let bytes = self.wire.len() - at - 1;
        self.wire[at] = u8::try_from(bytes).map_err(|_| Fault::new(word.index, RdataFault::StringTooLong { bytes }))?;
        Ok(())
    }

    fn strings(&mut self) -> Result<(), Fault> {
        // A value, outside of zone files: `rdata::parse_value` has taken unquoted text apart already.
        let quoted_only = self.origin.is_none();
        loop {
            let word = self.word()?;
            if quoted_only && word.kind == TokenKind::Plain {
                return Err(Fault::new(word.index, RdataFault::TextUnquoted));
            }
            self.string(word)?;
            if self.words.is_empty() {
                return Ok(());
            }
        }
    }

    fn salt(&mut self) -> Result<(), Fault> {
        let fault = RdataFault::Hex { what: self.what };
        let decode = |word: &[u8]| match word {
            b"-" => Some(Vec::new()),
            digits => HEXLOWER_PERMISSIVE.decode(digits).ok(),
        };
        let (word, octets) = self.convert_word(decode, fault)?;
        self.push_counted(word, &octets, 0)
    }

    fn gateway(&mut self) -> Result<(), Fault> {
        // RFC 4025 §2.1: the gateway type is the second octet.
        match self.wire[self.begin + 1] {
            0 => {
                let word = self.plain()?;
                if word.octets == b"." {
                    Ok(())
                } else {
                    Err(Fault::new(word.index, RdataFault::GatewayNone))
                }
            }
            1 => self.field(Kind::Ipv4),
            2 => self.field(Kind::Ipv6),
            3 => self.field(Kind::Name),
            _ => Err(Fault::new(
                self.words.last_index().saturating_sub(1),
                RdataFault::GatewayType,
            )),
        }
    }

    /// RFC 8005 §6: `ALGORITHM HIT KEY`, each of the last two one word; on the wire the lengths come first.
    fn host_identity(&mut self) -> Result<(), Fault> {
        self.what = "public key algorithm";
        let algorithm = self.integer(u8::MAX.into())?;
        self.what = "host identity tag";
        let what = self.what;
        let (word, tag) = self.convert_word(|word| HEXLOWER_PERMISSIVE.decode(word).ok(), RdataFault::Hex { what })?;
        self.check_range(word, tag.len(), 1, u8::MAX.into())?;
        self.what = "public key";
        let what = self.what;
        let (word, key) = self.convert_word(|word| BASE64.decode(word).ok(), RdataFault::Base64 { what })?;
        self.check_range(word, key.len(), 1, u16::MAX.into())?;
        self.wire.extend_from_slice(&[tag.len() as u8, algorithm as u8]);
        self.push_u16(key.len() as u16);
        self.wire.extend_from_slice(&tag);
        self.wire.extend_from_slice(&key);
        Ok(())
    }

    fn hex(&mut self, min: usize) -> Result<(), Fault> {
        let (word, digits) = self.joined()?;
        let fault = RdataFault::Hex { what: self.what };
        let octets = HEXLOWER_PERMISSIVE
            .decode(&digits)
            .map_err(|_| Fault::new(word.index, fault))?;
        self.wire.extend_from_slice(&octets);
        self.check_length(word, octets.len(), min)
    }

    fn base64(&mut self, min: usize) -> Result<(), Fault> {
        if min == 0 && self.words.is_empty() {
            return Ok(());
        }
        let (word, digits) = self.joined()?;
        let fault = RdataFault::Base64 { what: self.what };
        let octets = BASE64.decode(&digits).map_err(|_| Fault::new(word.index, fault))?;
        self.wire.extend_from_slice(&octets);
        self.check_length(word, octets.len(), min)
    }

    /// All words that are left, as one; and the first of them.
    fn joined(&mut self) -> Result<(Word<'a>, Vec<u8>), Fault> {
        let first = self.word()?;
        let mut digits = first.octets.to_vec();
        while !self.words.is_empty() {
            digits.extend_from_slice(self.word()?.octets);
        }
        Ok((first, digits))
    }

    fn push_counted(&mut self, word: Word<'_>, octets: &[u8], min: usize) -> Result<(), Fault> {
        self.check_range(word, octets.len(), min, u8::MAX.into())?;
        self.wire.push(octets.len() as u8);
        self.wire.extend_from_slice(octets);
        Ok(())
    }

    fn check_length(&self, word: Word<'_>, bytes: usize, min: usize) -> Result<(), Fault> {
        self.check_range(word, bytes, min, u16::MAX.into())
    }

    fn check_range(&self, word: Word<'_>, bytes: usize, min: usize, max: usize) -> Result<(), Fault> {
        if (min..=max).contains(&bytes) {
            return Ok(());
        }
        Err(Fault::new(
            word.index,
            RdataFault::Length {
                what: self.what,
                bytes,
                min,
                max,
            },
        ))
    }

    fn push_u16(&mut self, value: u16) {
        self.wire.extend_from_slice(&value.to_be_bytes());
    }

    fn push_u32(&mut self, value: u32) {
        self.wire.extend_from_slice(&value.to_be_bytes());
    }
}

/// A number in decimal digits and nothing else.
pub(crate) fn integer(word: &[u8], max: u32) -> Option<u32> {
    let mut value = 0u32;
    for digit in word {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    (!word.is_empty() && value <= max).then_some(value)
}

fn str_of(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

/// RFC 6742 §2.1.3: four groups of digits with colons between.
fn locator(word: &[u8]) -> Option<[u16; 4]> {
    let groups = str_of(word)?.split(':').map(|group| {
        let is_hex = group.bytes().all(|digit| digit.is_ascii_hexdigit());
        (is_hex && group.len() <= 4).then(|| u16::from_str_radix(group, 16).ok())?
    });
    let groups: Option<Vec<u16>> = groups.collect();
    groups?.try_into().ok()
}

/// RFC 7043 §3.2: pairs of digits with dashes between.
fn eui(word: &[u8], octets: usize) -> Option<Vec<u8>> {
    if word.len() != octets * 3 - 1 {
        return None;
    }
    let mut address = Vec::with_capacity(octets);
    for part in word.split(|&octet| octet == b'-') {
        let [octet] = HEXLOWER_PERMISSIVE.decode(part).ok()?[..] else {
            return None;
        };
        address.push(octet);
    }
    (address.len() == octets).then_some(address)
}
