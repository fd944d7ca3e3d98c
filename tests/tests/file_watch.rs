//! The configuration file and the zone files of the running server, read again when they change.

use anyhow::{Context, Result, ensure};
use tests::server::{Server, ZONE, eventually};

/// Saves a file as an editor does: whole, under another name, then in the place of the old one.
fn save(server: &Server, name: &str, text: &str) -> Result<()> {
    server.write("saved", text)?;
    std::fs::rename(server.path("saved"), server.path(name))?;
    Ok(())
}

fn answers(server: &Server, name: &str, wanted: &str) -> Result<()> {
    eventually(&format!("{name} {wanted}"), || {
        Ok(server.dig(&[name, "+short"])?.trim() == wanted)
    })
}

#[test]
fn a_zone_file_is_served_once_it_is_saved_and_a_bad_one_changes_nothing() -> Result<()> {
    let server = Server::start("files: {watch: true}\n")?;
    let zone = server.path("example.com.zone");
    let zone = zone.file_name().and_then(|name| name.to_str()).context("a name")?;
    let with = |address: &str| ZONE.replace("www A 192.0.2.80", &format!("www A {address}"));
    save(&server, zone, &with("192.0.2.81"))?;
    answers(&server, "www.example.com", "192.0.2.81")?;
    // In place, and with as many octets.
    server.write(zone, &with("192.0.2.82"))?;
    answers(&server, "www.example.com", "192.0.2.82")?;

    let failures = server.metric("hotdns_reload_failures_total")?;
    save(&server, zone, &with("nonsense"))?;
    eventually("the bad file is counted", || {
        Ok(server.metric("hotdns_reload_failures_total")? > failures)
    })?;
    ensure!(server.dig(&["www.example.com", "+short"])?.trim() == "192.0.2.82");
    std::fs::remove_file(server.path(zone))?;
    save(&server, zone, &with("192.0.2.83"))?;
    answers(&server, "www.example.com", "192.0.2.83")
}

#[test]
fn a_zone_is_added_by_saving_the_configuration() -> Result<()> {
    let server = Server::start("files: {watch: true}\n")?;
    let config = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write("new.zone", &ZONE.replace("192.0.2.80", "192.0.2.90"))?;
    ensure!(config.contains("zones: ["), "{config}");
    let config = config.replace("zones: [", "zones: [{name: new.example., file: new.zone}, ");
    save(&server, "hotdns.yaml", &config)?;
    answers(&server, "www.new.example", "192.0.2.90")?;

    // An error in it changes nothing, and later edits are seen.
    save(&server, "hotdns.yaml", &format!("{config}nonsense: 1\n"))?;
    eventually("the error is logged", || {
        Ok(server.log().contains("unknown key `nonsense`"))
    })?;
    server.write("new.zone", &ZONE.replace("192.0.2.80", "192.0.2.91"))?;
    save(&server, "hotdns.yaml", &config)?;
    answers(&server, "www.new.example", "192.0.2.91")
}
