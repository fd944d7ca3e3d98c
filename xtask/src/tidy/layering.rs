//! Rules about what code may name: the invariants of the architecture, which are about what is absent.

use super::{Finding, source};

/// Where `unsafe` may be: packet access, plain-bytes types, maps, and the XDP loader.
const UNSAFE_FILES: &[&str] = &[
    "dns-common/src/opaque.rs",
    "dns-common/src/pod.rs",
    "dns-ebpf/src/packet.rs",
    "dns-ebpf/src/maps.rs",
    // The ring that answers are shown in.
    "dns-ebpf/src/tap.rs",
    "dns-userspace/src/table.rs",
    "dns-userspace/src/table/",
    "dns-userspace/src/serve/xdp.rs",
    "dns-userspace/src/serve/xdp/",
    // The load generator of the benchmarks, and raw sockets and BPF_PROG_TEST_RUN of the tests.
    "dns-ebpf/src/bin/bench/frame.rs",
    "dns-ebpf/src/bin/bench/main.rs",
    "tests/src/net/raw.rs",
    "tests/src/net/seccomp.rs",
    "tests/src/testrun.rs",
];

/// Who may start threads and tasks in the server: the supervisor, and the owners of what it hands out.
const SPAWNING_FILES: &[&str] = &[
    "dns-userspace/src/main.rs",
    "dns-userspace/src/server.rs",
    "dns-userspace/src/server/",
    // Parts that own threads of their own; the supervisor starts and stops the parts.
    "dns-userspace/src/control.rs",
    "dns-userspace/src/serve/query_log.rs",
    "dns-userspace/src/serve/query_log/",
    // Its thread writes to a collector that may block; the server ends it.
    "dns-userspace/src/observe/dnstap.rs",
    "dns-userspace/src/serve/worker.rs",
    // Worlds that are read: files on a thread of their own, and what a peer library needs; they end with the source.
    "dns-userspace/src/source/",
    // What targets are written with, which blocks; it ends with the target.
    "dns-userspace/src/target.rs",
    "dns-userspace/src/target/tests/",
    // Work that would hold up a request: it ends with the request.
    "dns-userspace/src/api/authentication.rs",
    "dns-userspace/src/api/cache.rs",
    "dns-userspace/src/api/page.rs",
    "dns-userspace/src/api/records.rs",
    "dns-userspace/src/api/scrape.rs",
    "dns-userspace/src/api/tokens.rs",
    // Keys of an identity provider, fetched by a library that blocks.
    "dns-userspace/src/principal/jwt.rs",
    // Connections to upstream servers, and trials of those that rest: each ends by itself within seconds.
    "dns-userspace/src/resolve/secure/",
    // A flush because of a NOTIFY, away from the worker that took it.
    "dns-userspace/src/resolve/notify.rs",
    "dns-userspace/src/resolve/upstream.rs",
    // Tests are their own supervisors.
    "dns-userspace/src/control/tests/",
    "dns-userspace/src/serve/tcp/tests.rs",
    "dns-userspace/src/resolve/tests/",
    "dns-userspace/src/rules/tests.rs",
    "dns-userspace/src/api/tests/",
    "dns-userspace/src/source/tests.rs",
];

/// Code that is a function of its input: no IO, no clock, nothing awaited.
const PURE_FILES: &[&str] = &[
    "dns-common/src/",
    "dns-userspace/src/answer.rs",
    "dns-userspace/src/answer/",
    "dns-userspace/src/lines.rs",
    "dns-userspace/src/lines/",
    "dns-userspace/src/message.rs",
    "dns-userspace/src/message/",
    "dns-userspace/src/model.rs",
    "dns-userspace/src/model/",
    "dns-userspace/src/store.rs",
    "dns-userspace/src/store/",
];

/// A rule: in files that begin with one of `places`, save those that begin with one of `exceptions`, none of `names`.
struct Rule {
    places: &'static [&'static str],
    exceptions: &'static [&'static str],
    names: &'static [&'static str],
    message: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        places: &[""],
        exceptions: UNSAFE_FILES,
        names: &["unsafe"],
        message: "belongs into packet access, plain-bytes types, maps and the XDP loader alone",
    },
    Rule {
        places: &["dns-userspace/src/"],
        exceptions: &["dns-userspace/src/serve/xdp.rs", "dns-userspace/src/serve/xdp/"],
        names: &["aya", "aya_log", "aya_obj"],
        message: "only serve/xdp names aya",
    },
    Rule {
        places: &["dns-userspace/src/"],
        // Where the parts are put together, and what is wrong with one of them is told and nothing else.
        exceptions: &[
            "dns-userspace/src/main.rs",
            "dns-userspace/src/server.rs",
            "dns-userspace/src/server/",
        ],
        names: &["anyhow"],
        message: "an error of a part is a type that says what can be wrong with it",
    },
    Rule {
        places: &["dns-userspace/src/"],
        // The verbs are a part of the program: the token of a server is in the environment, so is the editor.
        // A token that is in a variable, named by `token_env`, is read where it is sent.
        exceptions: &[
            "dns-userspace/src/main.rs",
            "dns-userspace/src/cli/",
            "dns-userspace/src/target/provider.rs",
        ],
        names: &[
            "std::env",
            "env::args",
            "env::args_os",
            "env::var",
            "env::var_os",
            "env::vars",
        ],
        message: "only main reads arguments and environment",
    },
    Rule {
        places: &["dns-userspace/src/"],
        exceptions: SPAWNING_FILES,
        names: &[
            "tokio::spawn",
            "task::spawn",
            "thread::spawn",
            "thread::Builder",
            "task::spawn_blocking",
        ],
        message: "only the supervisor, and parts that it starts and stops, start threads and tasks",
    },
    Rule {
        places: PURE_FILES,
        exceptions: &[],
        names: &[
            "async",
            "await",
            "tokio",
            "std::fs",
            "std::io",
            "Instant::now",
            "SystemTime::now",
            "UdpSocket",
            "TcpStream",
        ],
        message: "store, compiler and answerers do no IO, await nothing and read no clock",
    },
    Rule {
        places: &["dns-userspace/src/serve.rs", "dns-userspace/src/serve/"],
        exceptions: &[],
        names: &["crate::store", "crate::control", "crate::journal", "crate::api"],
        message: "data planes never write to the store",
    },
    Rule {
        places: &[
            "dns-userspace/src/config",
            "dns-userspace/src/api",
            "dns-userspace/src/zonefile",
        ],
        // They ask the data plane's own code why a query gets its answer, and what it holds, and tell it nothing.
        exceptions: &[
            "dns-userspace/src/api/debug.rs",
            "dns-userspace/src/api/explain.rs",
            "dns-userspace/src/api/trial.rs",
        ],
        names: &["crate::serve", "crate::publish"],
        message: "sources never talk to data planes",
    },
    Rule {
        places: &[""],
        exceptions: &[],
        names: &[
            "mod utils",
            "mod util",
            "mod helpers",
            "mod helper",
            "mod common",
            "mod misc",
        ],
        message: "name the module after what it does",
    },
];

/// Checks one source file.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.applies(file)).collect();
    let code = source::code(text);
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for rule in &rules {
            if let Some(name) = rule.names.iter().find(|name| names(line, name)) {
                findings.push(Finding::new(file, number, format!("`{name}`: {}", rule.message)));
            }
        }
    }
    findings
}

impl Rule {
    fn applies(&self, file: &str) -> bool {
        let begins = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
        begins(self.places) && !begins(self.exceptions)
    }
}

/// Whether `line` has `name` as whole words. `unsafe` in an attribute (`#[unsafe(no_mangle)]`) is a declaration.
fn names(line: &str, name: &str) -> bool {
    let is_word = |symbol: char| symbol.is_alphanumeric() || symbol == '_';
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let whole = !(before.ends_with(is_word) || after.starts_with(is_word));
        whole && (name != "unsafe" || !before.ends_with('['))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        check(file, text).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unsafe_stays_in_its_files() {
        let text = "// unsafe\nfn f() { unsafe { g() } }\n#[unsafe(no_mangle)]\n";
        assert_eq!(lines("dns-userspace/src/api.rs", text), [2]);
        assert_eq!(lines("dns-common/src/pod.rs", text), [0; 0]);
        assert_eq!(lines("dns-userspace/src/serve/xdp/loader.rs", text), [0; 0]);
    }

    #[test]
    fn only_serve_xdp_names_aya() {
        let text = "use aya::Ebpf;\nlet ayatollah = 1;\n";
        assert_eq!(lines("dns-userspace/src/server.rs", text), [1]);
        assert_eq!(lines("dns-userspace/src/serve/udp.rs", text), [1]);
        assert_eq!(lines("dns-userspace/src/serve/xdp.rs", text), [0; 0]);
        assert_eq!(lines("tests/src/bin/kernel_probe.rs", text), [0; 0]);
    }

    #[test]
    fn errors_of_parts_are_typed() {
        let text = "pub fn load() -> anyhow::Result<()> {}\n";
        assert_eq!(lines("dns-userspace/src/publish.rs", text), [1]);
        assert_eq!(lines("dns-userspace/src/server/system.rs", text), [0; 0]);
        assert_eq!(lines("tests/src/kernel.rs", text), [0; 0]);
    }

    #[test]
    fn only_main_reads_the_environment() {
        let text = "fn f() { std::env::var(\"X\"); }\nconst V: &str = env!(\"V\");\n";
        assert_eq!(lines("dns-userspace/src/config.rs", text), [1]);
        assert_eq!(lines("dns-userspace/src/main.rs", text), [0; 0]);
    }

    #[test]
    fn pure_code_awaits_nothing() {
        assert_eq!(
            lines("dns-userspace/src/store.rs", "x.await;\nlet t = Instant::now();\n"),
            [1, 2]
        );
        assert_eq!(lines("dns-userspace/src/control.rs", "x.await;\n"), [0; 0]);
    }

    #[test]
    fn arrows_do_not_point_back() {
        assert_eq!(
            lines("dns-userspace/src/serve/udp.rs", "use crate::store::Store;\n"),
            [1]
        );
        assert_eq!(
            lines("dns-userspace/src/serve/udp.rs", "use crate::storefront::X;\n"),
            [0; 0]
        );
        assert_eq!(
            lines("dns-userspace/src/api/records.rs", "use crate::publish::Served;\n"),
            [1]
        );
    }
}
