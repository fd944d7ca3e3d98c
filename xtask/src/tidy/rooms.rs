//! The rooms of the server, in the order of `lib.rs`: each names those before it alone, so there is no circle.
//!
//! A room is a file or folder directly below `dns-userspace/src`, such as `store`. Test code may name any.

use super::{Finding, source};

/// The root of the library, whose `pub mod` and `pub(crate) mod` lines are the order.
pub(super) const ROOT: &str = "dns-userspace/src/lib.rs";
const FOLDER: &str = "dns-userspace/src/";

/// The rooms in their order.
pub(super) fn order(root: &str) -> Vec<String> {
    let modules = root.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("pub mod ")
            .or_else(|| line.strip_prefix("pub(crate) mod "))
    });
    modules.map(|name| name.trim_end_matches(';').to_owned()).collect()
}

/// Checks one source file.
pub(super) fn check(order: &[String], file: &str, text: &str) -> Vec<Finding> {
    let Some(place) = place_of(order, file) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(source::code(text).lines()) {
        for (at, _) in line.match_indices("crate::") {
            if line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                continue;
            }
            let named = &line[at + "crate::".len()..];
            let end = named.find(|symbol: char| !(symbol.is_alphanumeric() || symbol == '_'));
            let named = &named[..end.unwrap_or(named.len())];
            if let Some(later) = order
                .iter()
                .position(|room| room == named)
                .filter(|later| *later > place)
            {
                let (room, named) = (&order[place], &order[later]);
                let message = format!("`{room}` names `{named}`, which comes after it in {ROOT}: data flows one way");
                findings.push(Finding::new(file, number, message));
            }
        }
    }
    findings
}

/// Where the room of a file is in the order; `None` for tests and what is no room.
fn place_of(order: &[String], file: &str) -> Option<usize> {
    let path = file.strip_prefix(FOLDER)?;
    let is_test = |part: &str| matches!(part, "tests" | "tests.rs" | "testing.rs");
    if path.split('/').any(is_test) {
        return None;
    }
    let room = path.split('/').next()?.trim_end_matches(".rs");
    order.iter().position(|name| name == room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        let order = order("//! A library.\n\npub mod model;\npub(crate) mod store;\npub mod serve;\n");
        check(&order, file, text).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_room_names_those_before_it_alone() {
        let text = "use crate::model::Name;\nuse crate::serve::Worker;\n// crate::serve\nlet x = mycrate::serve;\n";
        assert_eq!(lines("dns-userspace/src/store.rs", text), [2]);
        assert_eq!(lines("dns-userspace/src/store/plan.rs", text), [2]);
        assert_eq!(lines("dns-userspace/src/serve/udp.rs", text), [0; 0]);
        assert_eq!(lines("dns-userspace/src/store/tests/model.rs", text), [0; 0]);
        assert_eq!(lines("dns-userspace/src/lib.rs", text), [0; 0]);
        assert_eq!(lines("tests/src/planes.rs", text), [0; 0]);
    }
}
