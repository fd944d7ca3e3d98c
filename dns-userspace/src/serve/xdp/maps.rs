//! The maps of a loaded object, by name.

use std::os::fd::AsFd;

use aya::Ebpf;
use aya::maps::{Map, MapError};

use super::XdpError;
use crate::table::Region;

/// Takes a map out of the object.
pub(super) fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, XdpError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(XdpError::NoMap(name))?;
    M::try_from(map).map_err(|error| XdpError::OtherKind { name, error })
}

/// A map, to be written to.
pub(super) fn write_to<'e, M>(ebpf: &'e mut Ebpf, name: &'static str) -> Result<M, XdpError>
where
    M: TryFrom<&'e mut Map, Error = MapError>,
{
    let map = ebpf.map_mut(name).ok_or(XdpError::NoMap(name))?;
    M::try_from(map).map_err(|error| XdpError::OtherKind { name, error })
}

/// The memory of an array: so many words.
pub(super) fn region(ebpf: &Ebpf, name: &'static str, words: usize) -> Result<Region, XdpError> {
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(XdpError::NoMap(name));
    };
    Region::of_map(data.fd().as_fd(), words).map_err(|errno| XdpError::NotMapped { name, errno })
}
