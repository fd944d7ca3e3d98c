use super::*;

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[test]
fn an_ephemeral_port_is_the_same_number_for_both_transports() {
    let endpoints = bind(&[loopback(0)], 53, 3).unwrap();
    assert_eq!(endpoints.len(), 1);
    assert_ne!(endpoints[0].address.port(), 0);
    assert_eq!(endpoints[0].tcp.local_addr().unwrap(), endpoints[0].address);
    assert_eq!(endpoints[0].udp.len(), 3);
    for socket in &endpoints[0].udp {
        assert_eq!(socket.local_addr().unwrap(), endpoints[0].address);
    }
}

#[test]
fn without_listen_both_families_get_one_port() {
    let endpoints = bind(&[], 0, 1).unwrap();
    assert!(endpoints[0].address.is_ipv4());
    for endpoint in &endpoints {
        assert!(endpoint.address.ip().is_unspecified());
        assert_eq!(endpoint.address.port(), endpoints[0].address.port());
    }
}

#[test]
fn a_second_server_on_the_same_address_is_refused_and_told_who_holds_it() {
    let first = bind(&[loopback(0)], 53, 2).unwrap();
    let address = first[0].address;
    for wanted in [address, (Ipv4Addr::UNSPECIFIED, address.port()).into()] {
        let error = bind(&[wanted], 53, 2).unwrap_err();
        assert!(
            matches!(
                error,
                BindError::InUse {
                    protocol: Protocols::Tcp,
                    ..
                }
            ),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        assert!(text.contains(&address.to_string()), "{text}");
    }
    drop(first);
    bind(&[address], 53, 2).unwrap();
}

#[test]
fn a_server_that_shares_its_udp_port_is_refused_too() {
    let refused =
        |protocol, error: &BindError| matches!(error, BindError::InUse { protocol: of, .. } if *of == protocol);
    let errors = (0..100).map(|_| {
        let other = udp_socket(loopback(0), true).unwrap();
        let address = other.local_addr().unwrap().as_socket().unwrap();
        bind(&[address], 53, 1).unwrap_err()
    });
    // The number may be taken for TCP by chance, such as by a connection of another test: then another one is tried.
    let error = errors.into_iter().find(|error| !refused(Protocols::Tcp, error));
    assert!(
        error.as_ref().is_some_and(|error| refused(Protocols::Udp, error)),
        "{error:?}"
    );
}

#[test]
fn listen_may_not_overlap_itself_but_may_repeat() {
    let port = bind(&[loopback(0)], 53, 1).unwrap()[0].address.port();
    let wide = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let error = bind(&[loopback(port), wide], 53, 1).unwrap_err();
    assert!(matches!(error, BindError::Overlap { .. }), "{error}");
    assert_eq!(bind(&[loopback(port), loopback(port)], 53, 1).unwrap().len(), 1);
}

#[test]
fn a_foreign_address_is_named() {
    let error = bind(&["192.0.2.1:0".parse().unwrap()], 53, 1).unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
}

#[test]
fn what_the_system_says_becomes_what_to_do() {
    let said = |code, address: &str| {
        let error = explain(
            io::Error::from_raw_os_error(code),
            address.parse().unwrap(),
            Protocols::Udp,
        );
        assert!(
            std::error::Error::source(&error).is_none(),
            "what is in the message is not said again"
        );
        error.to_string()
    };
    for (code, address, part) in [
        (libc::EACCES, "192.0.2.1:53", "CAP_NET_BIND_SERVICE"),
        (libc::EACCES, "192.0.2.1:5300", "SELinux"),
        (libc::EADDRNOTAVAIL, "192.0.2.1:53", "net.ipv4.ip_nonlocal_bind"),
        (libc::EADDRNOTAVAIL, "[2001:db8::1]:53", "duplicate"),
        (libc::EAFNOSUPPORT, "[2001:db8::1]:53", "has no IPv6"),
        (libc::ENODEV, "[fe80::1%77]:53", "no interface with the number 77"),
        (libc::EMFILE, "192.0.2.1:53", "ulimit -n"),
        (libc::EINVAL, "192.0.2.1:53", "correct `listen`"),
    ] {
        let text = said(code, address);
        assert!(text.contains(part), "{text}");
        assert!(text.contains(address), "{text}");
    }
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let error = bind(&["[fe80::1%4000000]:5300".parse().unwrap()], 53, 1).unwrap_err();
    assert!(
        matches!(error, BindError::NoInterface { .. } | BindError::NoFamily { .. }),
        "{error}"
    );
}
