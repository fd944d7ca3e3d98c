//! Conversions of tags, one by one and within files.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn tags(all: &[&str]) -> Vec<String> {
    all.iter().map(|tag| (*tag).to_owned()).collect()
}

fn traefik(all: &[&str]) -> Vec<String> {
    let converted = convert("app", &tags(all), Dialect::Traefik);
    assert_eq!(converted.notes, [] as [String; 0]);
    converted.tags
}

#[test]
fn each_form_of_a_prefix_has_its_tags() {
    let rule = |prefix: &str| traefik(&[prefix])[1].clone();
    assert_eq!(
        rule("urlprefix-app.example.com/"),
        "traefik.http.routers.app.rule=Host(`app.example.com`)"
    );
    assert_eq!(
        rule("urlprefix-/api/"),
        "traefik.http.routers.app.rule=PathPrefix(`/api/`)"
    );
    assert_eq!(
        rule("urlprefix-app.example.com/api/"),
        "traefik.http.routers.app.rule=Host(`app.example.com`) && PathPrefix(`/api/`)"
    );
    assert_eq!(
        rule("urlprefix-:8080/"),
        "traefik.http.services.app.loadbalancer.server.port=8080"
    );
    assert_eq!(
        traefik(&[
            "v1",
            "urlprefix-a.x/ proto=http weight=10 lb=round_robin sticky",
            "urlprefix-b.x/"
        ]),
        [
            "v1",
            "traefik.enable=true",
            "traefik.http.routers.app.rule=Host(`a.x`)",
            "traefik.http.services.app.loadbalancer.server.scheme=http",
            "traefik.http.services.app.loadbalancer.server.weight=10",
            "traefik.http.services.app.loadbalancer.sticky.cookie=true",
            "traefik.http.routers.app-2.rule=Host(`b.x`)",
        ]
    );
}

#[test]
fn what_cannot_be_said_is_told() {
    let converted = convert("app", &tags(&["urlprefix-a.x/ strip=/a"]), Dialect::Traefik);
    assert!(converted.notes[0].contains("`strip=/a` has no tag of Traefik"));
    let rule = "traefik.http.routers.app.rule=Host(`a.x`) && Method(`GET`)";
    let converted = convert("app", &tags(&[rule]), Dialect::UrlPrefix);
    assert_eq!(
        (converted.tags.as_slice(), converted.notes.len()),
        (&[rule.to_owned()][..], 1)
    );
}

#[test]
fn prefixes_survive_both_ways() {
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..500 {
        let options = ["", " weight=3", " proto=https", " proto=http sticky"][random.random_range(0..4)];
        let mut all: Vec<String> = Vec::new();
        for number in 0..random.random_range(1..4) {
            let path = ["/", "/api/", "/p"][random.random_range(0..3)];
            let host = if random.random() {
                format!("h{number}.example.com")
            } else {
                String::new()
            };
            let tag = format!("urlprefix-{host}{path}{options}");
            if !all.contains(&tag) {
                all.push(tag);
            }
        }
        let there = convert("app", &all, Dialect::Traefik);
        let back = convert("app", &there.tags, Dialect::UrlPrefix);
        assert_eq!((back.tags, back.notes), (all, vec![]), "{there:?}");
    }
}

const JOB: &str = r#"job "shop" {
  group "web" {
    service {
      name = "webapp"
      port = "http"
      tags = [
        # legacy
        "urlprefix-webapp.example.com/",
        "v1",
      ]
    }
    service "api" {
      tags = ["traefik.enable=true"]
    }
  }
}
"#;

#[test]
fn a_job_file_keeps_all_but_its_tags() {
    let (text, notes) = convert_document(JOB, Dialect::Traefik).expect("converted");
    assert!(notes.is_empty());
    let wanted = r#"      tags = [
        # legacy
        "traefik.enable=true",
        "traefik.http.routers.webapp.rule=Host(`webapp.example.com`)",
        "v1",
      ]
"#;
    assert!(text.contains(wanted), "{text}");
    assert!(text.contains("tags = [\"traefik.enable=true\"]"), "{text}");
    let (back, _) = convert_document(&text, Dialect::UrlPrefix).expect("converted");
    assert!(
        back.contains("\"urlprefix-webapp.example.com/\",\n        \"v1\",\n      ]"),
        "{back}"
    );
}

#[test]
fn json_of_consul_and_nomad_is_converted() {
    let consul = r#"{"service": {"name": "web", "tags": ["urlprefix-web.x/"], "port": 80}}"#;
    let (text, _) = convert_document(consul, Dialect::Traefik).expect("converted");
    assert!(
        text.contains("traefik.http.routers.web.rule=Host(`web.x`)") && text.contains("\"port\": 80"),
        "{text}"
    );
    let nomad = r#"{"Job": {"TaskGroups": [{"Services": [{"Name": "api", "Tags": ["urlprefix-/api/"]}]}]}}"#;
    let (text, _) = convert_document(nomad, Dialect::Traefik).expect("converted");
    assert!(
        text.contains("traefik.http.routers.api.rule=PathPrefix(`/api/`)"),
        "{text}"
    );
    assert!(convert_document("{\"a\": ", Dialect::Traefik).is_err());
    assert!(
        convert_document("tags = [ var.x ]", Dialect::Traefik)
            .expect_err("a variable")
            .to_string()
            .contains("line 1")
    );
}

#[test]
fn validation_lists_what_is_wrong() {
    let job = JOB.replace(
        "\"v1\"",
        "\"traefik.http.routers.x.rule=Hots(`a`)\", \"traefik.enable=maybe\"",
    );
    let problems = validate_document(&job).expect("read");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.starts_with("service webapp: tag traefik.")),
        "{problems:#?}"
    );
    assert!(validate_document(JOB).expect("read").is_empty());
}
