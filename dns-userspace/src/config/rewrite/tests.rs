//! Texts and their `records`, before and after.

use super::*;

const PATH: &str = "ConfigMap test";

fn sets(text: &str) -> RecordSets {
    records_of(text, Path::new(PATH)).expect("good records")
}

/// The text, made to have the records of another.
fn rewritten(text: &str, wanted: &str) -> String {
    with_records(text, &sets(wanted), Path::new(PATH)).expect("it can be edited")
}

const TEXT: &str = "\
# A file of ours.
dns_port: 53   # not 5353
records:
  # the gateway
  - {name: gw.x., type: A, ttl: 300, value: [192.0.2.1]}  # rack 3

  - name: www.x.
    type: A
    # later: 60
    ttl: 300
    value:
      - 192.0.2.2
  - name: txt.x.
    type: TXT
    ttl: 300
    value: ['\"# no comment\"']
  # the end of the list

# about the log
log_level: info
";

#[test]
fn what_is_the_same_is_not_touched() {
    assert_eq!(rewritten(TEXT, TEXT), TEXT);
    let reordered = "records: [{name: GW.x., type: A, ttl: 300, value: [192.0.2.1]}, \
                     {name: txt.x., type: TXT, ttl: 300, value: [\"# no comment\"]}, \
                     {name: www.x., type: A, ttl: 300, value: [192.0.2.2]}]";
    assert_eq!(rewritten(TEXT, reordered), TEXT);
}

#[test]
fn only_items_that_differ_are_written() {
    let wanted = TEXT
        .replace("192.0.2.1]", "192.0.2.9]")
        .replace("# later: 60\n    ttl: 300", "ttl: 60");
    let after = rewritten(TEXT, &wanted);
    let expected = TEXT.replace("[192.0.2.1]", "[192.0.2.9]").replace(
        "    # later: 60\n    ttl: 300\n    value:\n      - 192.0.2.2\n",
        "    ttl: 60\n    value: [192.0.2.2]\n    # later: 60\n",
    );
    assert_eq!(after, expected);
}

#[test]
fn items_go_and_come_and_comments_stay() {
    let wanted = "records:\n  - {name: gw.x., type: A, ttl: 300, value: [192.0.2.1]}\n\
                  \x20 - {name: new.x., type: AAAA, ttl: 75, value: ['2001:db8::1']}\n";
    let after = rewritten(TEXT, wanted);
    let expected = "\
# A file of ours.
dns_port: 53   # not 5353
records:
  # the gateway
  - {name: gw.x., type: A, ttl: 300, value: [192.0.2.1]}  # rack 3

    # later: 60
  - name: new.x.
    type: AAAA
    ttl: 75
    value: [\"2001:db8::1\"]
  # the end of the list

# about the log
log_level: info
";
    assert_eq!(after, expected);
}

#[test]
fn lists_in_one_line_empty_ones_and_none() {
    let one = "records: [{name: a.x., type: A, ttl: 61, value: [192.0.2.1]}]\n";
    let block = "records:\n  - name: a.x.\n    type: A\n    ttl: 61\n    value: [192.0.2.1]\n";
    for (before, after) in [
        ("", block.to_owned()),
        ("log_level: info", format!("log_level: info\n{block}")),
        ("records: []\nlog_level: info\n", format!("{block}log_level: info\n")),
        (
            "records:\n\n# x\nlog_level: info\n",
            format!("{block}\n# x\nlog_level: info\n"),
        ),
        (
            "records: [\n {name: b.x., type: A, value: [192.0.2.7]},\n]\n",
            block.to_owned(),
        ),
        ("---\nlog_level: info\n", format!("---\nlog_level: info\n{block}")),
    ] {
        assert_eq!(rewritten(before, one), after, "{before:?}");
    }
    assert_eq!(rewritten(one, ""), "records: []\n");
    assert_eq!(rewritten(block, ""), "records:\n");
}

#[test]
fn every_kind_of_record_comes_back() {
    let all = "records:\n\
        - {name: '*.w.x.', type: A, ttl: 61, value: [192.0.2.1, 192.0.2.2], order: weighted, weights: [1, 2], \
           wildcard: one_label}\n\
        - {name: t.x., type: TXT, ttl: 60, value: ['\"a \\\"b\\\" \\\\\\\\ #\"', 'true']}\n\
        - {name: m.x., type: MX, ttl: 62, value: [10 mail.x.]}\n\
        - {name: y.x., type: TYPE65280, ttl: 62, value: ['\\# 2 0102']}\n";
    let after = rewritten("log_level: info\n", all);
    assert!(are_same(&sets(&after), &sets(all)), "{after}");
}

#[test]
fn records_in_views_stay_and_texts_with_errors_are_refused() {
    let text = "views: [{name: office, clients: [10.0.0.0/8]}]\nrecords:\n  \
                - {name: a.x., type: A, value: [10.0.0.1], view: office}\n  \
                - {name: a.x., type: A, ttl: 300, value: [192.0.2.1]}\n";
    let after = rewritten(text, "records: [{name: b.x., type: A, ttl: 300, value: [192.0.2.1]}]");
    let expected = text.replace(
        "{name: a.x., type: A, ttl: 300, value: [192.0.2.1]}",
        "{name: b.x., type: A, ttl: 300, value: [192.0.2.1]}",
    );
    assert_eq!(after, expected);
    let error = with_records("records: [{name: a.x.}]", &RecordSets::new(), Path::new(PATH)).expect_err("no type");
    assert!(error.starts_with("ConfigMap test:1:11: "), "{error}");
}
