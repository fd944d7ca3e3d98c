//! Which upstream servers a name goes to: the longest suffix decides.
//!
//! ```text
//! www.corp.example. ─► www.corp.example.? no ─► corp.example.? yes: the set `corp`
//! host.internal.    ─► … internal.? a special zone: answered here
//! www.example.net.  ─► no suffix of it: the default set, or nobody
//! ```
//!
//! A route takes the place of a special zone of the same name. Clients of a view that has routes of its own are looked
//! up in a table of the view's, which has the general routes too.

use std::collections::HashMap;

use super::special::{self, Special};
use crate::config::{Route, RouteTarget};
use crate::model::name::{MAX_NAME_BYTES, Name};
use crate::model::views::ViewName;

/// Where a name goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// To the set with this number.
    Set(u16),
    /// It is answered here, as the name of this zone.
    Special(Name, Special),
    /// Nobody is asked.
    Nobody,
}

/// All routes.
#[derive(Debug)]
pub(super) struct Routes {
    /// Those of all clients.
    general: Table,
    /// By the name of a view: those of its clients, where some are its own.
    of_views: HashMap<ViewName, Table>,
}

/// The routes of some clients.
#[derive(Debug)]
struct Table {
    /// By the name in wire form, in lower case.
    by_name: HashMap<Box<[u8]>, Target>,
    /// Lengths that names in it have: most suffixes of names have none of these.
    has_length: [bool; MAX_NAME_BYTES + 1],
    fallback: Target,
}

impl Routes {
    /// `number_of` gives the number of the set with this name; `None` is asked for the default set.
    pub(super) fn new(routes: &[Route], number_of: impl Fn(Option<&str>) -> Option<u16>) -> Self {
        let general: Vec<&Route> = routes.iter().filter(|route| route.view.is_none()).collect();
        let views = routes.iter().filter_map(|route| route.view.clone());
        let of_views = views.map(|view| {
            // A view's own route takes the place of a general one of the same name.
            let own = routes.iter().filter(|route| route.view.as_ref() == Some(&view));
            let table = Table::new(general.iter().copied().chain(own), &number_of);
            (view, table)
        });
        Self {
            of_views: of_views.collect(),
            general: Table::new(general.iter().copied(), &number_of),
        }
    }

    /// Whether views have routes of their own.
    pub(super) fn have_views(&self) -> bool {
        !self.of_views.is_empty()
    }

    /// Where the name goes, for clients in this view or in none; in wire form, in lower case.
    pub(super) fn of(&self, name: &[u8], view: Option<&str>) -> &Target {
        let own = view.and_then(|view| self.of_views.get(view));
        own.unwrap_or(&self.general).of(name)
    }
}

impl Table {
    fn new<'a>(routes: impl Iterator<Item = &'a Route>, number_of: &impl Fn(Option<&str>) -> Option<u16>) -> Self {
        let set = |name| number_of(name).map_or(Target::Nobody, Target::Set);
        let key = |name: &Name| name.as_wire().to_ascii_lowercase().into();
        let special = special::zones().into_iter();
        let mut by_name: HashMap<Box<[u8]>, Target> = special
            .map(|(apex, special)| (key(&apex), Target::Special(apex, special)))
            .collect();
        for Route { zone, to, .. } in routes {
            let target = match to {
                RouteTarget::Never => match by_name.get(&key(zone)) {
                    Some(target @ Target::Special(..)) => target.clone(),
                    _ => Target::Special(zone.to_lowercase(), Special::Empty),
                },
                RouteTarget::Default => set(None),
                RouteTarget::Set(name) => set(Some(name)),
            };
            by_name.insert(key(zone), target);
        }
        let mut has_length = [false; MAX_NAME_BYTES + 1];
        for name in by_name.keys() {
            has_length[name.len()] = true;
        }
        Self {
            has_length,
            by_name,
            fallback: set(None),
        }
    }

    fn of(&self, name: &[u8]) -> &Target {
        let mut rest = name;
        loop {
            let may_be_there = self.has_length.get(rest.len()).is_some_and(|has| *has);
            if may_be_there && let Some(target) = self.by_name.get(rest) {
                return target;
            }
            match rest.split_first() {
                Some((&length, below)) if length > 0 && below.len() > usize::from(length) => {
                    rest = &below[usize::from(length)..];
                }
                _ => return &self.fallback,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_suffix_wins_and_routes_replace_special_zones() {
        let route = |zone: &str, to| Route {
            zone: Name::parse(zone).unwrap(),
            view: None,
            to,
        };
        let routes = [
            route("corp.example.", RouteTarget::Set("corp".into())),
            route("public.corp.example.", RouteTarget::Default),
            route("secret.example.", RouteTarget::Never),
            route("10.in-addr.arpa.", RouteTarget::Set("corp".into())),
            route("localhost.", RouteTarget::Never),
        ];
        let routes = Routes::new(&routes, |name| match name {
            None => Some(0),
            Some("corp") => Some(1),
            Some(_) => None,
        });
        let of = |name: &str| {
            routes
                .of(&Name::parse(name).unwrap().as_wire().to_ascii_lowercase(), None)
                .clone()
        };
        assert_eq!(of("www.example."), Target::Set(0));
        assert_eq!(of("."), Target::Set(0));
        assert_eq!(of("corp.example."), Target::Set(1));
        assert_eq!(of("a.b.CORP.example."), Target::Set(1));
        assert_eq!(of("xcorp.example."), Target::Set(0));
        assert_eq!(of("www.public.corp.example."), Target::Set(0));
        assert_eq!(of("1.0.0.10.in-addr.arpa."), Target::Set(1));
        assert!(matches!(of("x.secret.example."), Target::Special(apex, Special::Empty) if apex.label_count() == 2));
        assert!(matches!(of("host.internal."), Target::Special(_, Special::Empty)));
        assert!(matches!(of("localhost."), Target::Special(_, Special::Localhost)));
        let none = Routes::new(&[], |_| None);
        assert_eq!(none.of(b"\x01a\0", None), &Target::Nobody);
        assert!(!none.have_views());
    }

    #[test]
    fn a_views_own_routes_go_before_general_ones_of_the_same_name() {
        let route = |zone: &str, view: Option<&str>, to: &str| Route {
            zone: Name::parse(zone).unwrap(),
            view: view.map(ViewName::from),
            to: RouteTarget::Set(to.into()),
        };
        let routes = [
            route(".", Some("kids"), "filtered"),
            route("corp.example.", None, "corp"),
            route("corp.example.", Some("lab"), "lab"),
        ];
        let sets = [None, Some("corp"), Some("filtered"), Some("lab")];
        let number_of = |name: Option<&str>| sets.iter().position(|set| *set == name).map(|place| place as u16);
        let routes = Routes::new(&routes, number_of);
        assert!(routes.have_views());
        let of = |name: &str, view| routes.of(Name::parse(name).unwrap().as_wire(), view).clone();
        for (name, view, set) in [
            ("www.example.", None, 0),
            ("www.example.", Some("kids"), 2),
            ("www.example.", Some("lab"), 0),
            ("a.corp.example.", None, 1),
            ("a.corp.example.", Some("kids"), 1),
            ("a.corp.example.", Some("lab"), 3),
            ("a.corp.example.", Some("other"), 1),
        ] {
            assert_eq!(of(name, view), Target::Set(set), "{name} {view:?}");
        }
    }
}
