//! Which keys differ, of those that take effect at a restart alone.

use super::{Config, Tcp};

/// A default that is written out is no change.
fn in_force(tcp: &Tcp) -> Tcp {
    Tcp {
        max_connections: Some(tcp.connections()),
        ..*tcp
    }
}

pub(super) fn changed_keys(old: &Config, new: &Config) -> Vec<&'static str> {
    // A key that is added to Config and forgotten here does not compile.
    let Config {
        file: _,
        dns_port,
        http_port,
        log_level,
        log_format,
        listen,
        xdp,
        storage_path,
        storage_required,
        http,
        ttl_bounds,
        udp_payload,
        nsid,
        cookie_secret_file,
        chaos,
        tcp,
        access,
        rate_limit,
        metrics_per_zone,
        backend,
        // What it is for is read anew at each reload.
        memory_limit: _,
        views: _,
        zones: _,
        records: _,
    } = old;
    let upstream = &backend.upstream;
    let ports_differ = *dns_port != new.dns_port;
    let http_ports_differ = *http_port != new.http_port;
    [
        ("dns_port", ports_differ),
        ("http_port", http_ports_differ),
        ("log_level", *log_level != new.log_level),
        ("log_format", *log_format != new.log_format),
        // Where only the default port moved, `dns_port` says it all.
        ("listen", *listen != new.listen && !ports_differ),
        ("xdp.interfaces", xdp.interfaces != new.xdp.interfaces),
        ("xdp.mode", xdp.mode != new.xdp.mode),
        ("storage.path", *storage_path != new.storage_path),
        ("storage.required", *storage_required != new.storage_required),
        ("http.listen", http.listen != new.http.listen && !http_ports_differ),
        ("http.token_file", http.token_file != new.http.token_file),
        ("ttl_bounds", *ttl_bounds != new.ttl_bounds),
        ("edns.udp_payload", *udp_payload != new.udp_payload),
        ("edns.nsid", *nsid != new.nsid),
        ("edns.cookie_secret_file", *cookie_secret_file != new.cookie_secret_file),
        ("chaos", *chaos != new.chaos),
        ("tcp", in_force(tcp) != in_force(&new.tcp)),
        ("acl", *access != new.access),
        ("rate_limit", *rate_limit != new.rate_limit),
        ("metrics.per_zone", *metrics_per_zone != new.metrics_per_zone),
        ("backend.default_ttl", backend.default_ttl != new.backend.default_ttl),
        (
            "backend.resolve_cname_chain",
            backend.resolve_cname_chain != new.backend.resolve_cname_chain,
        ),
        (
            "backend.max_cname_depth",
            backend.max_cname_depth != new.backend.max_cname_depth,
        ),
        (
            "backend.return_soa_on_nxdomain",
            backend.return_soa_on_nxdomain != new.backend.return_soa_on_nxdomain,
        ),
        (
            "backend.upstream.enabled",
            upstream.enabled != new.backend.upstream.enabled,
        ),
        (
            "backend.upstream.servers",
            upstream.servers != new.backend.upstream.servers,
        ),
        (
            "backend.upstream.timeout",
            upstream.timeout != new.backend.upstream.timeout,
        ),
        ("backend.upstream.allow", upstream.allow != new.backend.upstream.allow),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}
