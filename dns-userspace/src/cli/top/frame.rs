//! A frame, drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Widget};

use super::super::status::duration;
use super::figures::Figures;

/// Rows of the lists in the middle.
const LISTED: usize = 5;

/// Rows that the whole of it needs.
pub(super) fn height(figures: &Figures) -> u16 {
    let rows = HEAD + middle(figures) + names(figures) + sources(figures);
    rows as u16
}

const HEAD: usize = 3;

fn middle(figures: &Figures) -> usize {
    figures.planes.len().max(LISTED) + 2
}

fn names(figures: &Figures) -> usize {
    figures.names.len().max(figures.clients.len()).max(1) + 2
}

fn sources(figures: &Figures) -> usize {
    if figures.sources.is_empty() {
        0
    } else {
        figures.sources.len() + 2
    }
}

/// Draws all of it.
pub(super) fn draw(figures: &Figures, area: Rect, buffer: &mut Buffer) {
    let rows = [HEAD, middle(figures), names(figures), sources(figures)];
    let [head, middle, bottom, sources] =
        Layout::vertical(rows.map(|rows| Constraint::Length(rows as u16))).areas(area);
    Paragraph::new(heading(figures)).render(head, buffer);
    let [planes, rcodes, types, passed] = Layout::horizontal([
        Constraint::Min(36),
        Constraint::Length(19),
        Constraint::Length(17),
        Constraint::Length(26),
    ])
    .areas(middle);
    list("planes", planes_of(figures), planes, buffer);
    list("rcodes", rates(&figures.rcodes, LISTED), rcodes, buffer);
    list("types", rates(&figures.types, LISTED), types, buffer);
    list("passed by XDP", rates(&figures.passed, LISTED), passed, buffer);
    let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(bottom);
    let title = if figures.has_xdp_names {
        "names"
    } else {
        "names (without XDP's answers)"
    };
    list(title, rates(&figures.names, usize::MAX), left, buffer);
    list("clients", rates(&figures.clients, usize::MAX), right, buffer);
    let of_sources = figures.sources.iter().map(|(source, state, records)| {
        let color = if state == "synced" { Color::Green } else { Color::Yellow };
        Line::from(vec![
            Span::raw(format!("{source:<32} ")),
            Span::styled(format!("{state:<10}"), color),
            Span::raw(format!(" {records} records")),
        ])
    });
    if !figures.sources.is_empty() {
        list("sources", of_sources.collect(), sources, buffer);
    }
}

fn heading(figures: &Figures) -> Vec<Line<'static>> {
    let queries = figures.queries();
    let by_xdp = figures.transports.iter().find(|(transport, _)| transport == "xdp");
    let share = by_xdp.map_or(0.0, |(_, rate)| if queries > 0.0 { rate / queries } else { 0.0 });
    let mut first = vec![
        Span::from(format!("hotdns {}", figures.version)).bold(),
        Span::from(format!(
            "  {}  up {}  {} MiB",
            figures.server,
            duration(figures.uptime_seconds),
            figures.memory_bytes >> 20
        )),
    ];
    if let Some(trouble) = &figures.trouble {
        let trouble = trouble.lines().next().unwrap_or_default().to_owned();
        first.push(Span::styled(format!("  {trouble}"), Style::new().red()));
    }
    let transports: Vec<String> = figures
        .transports
        .iter()
        .map(|(transport, rate)| format!("{transport} {}", short(*rate)))
        .collect();
    let second = format!(
        "{} answers/s, {:.1} % by XDP  ({})",
        short(queries),
        share * 100.0,
        transports.join(", ")
    );
    let cache = match figures.cache {
        None => "no cache".to_owned(),
        Some((hits, misses, entries)) => {
            let all = hits + misses;
            let ratio = if all > 0.0 {
                format!("{:.0} % hits", hits / all * 100.0)
            } else {
                "idle".to_owned()
            };
            format!("cache {ratio}, {entries} entries")
        }
    };
    let third = format!("{cache}  {} TCP connections", figures.tcp_connections);
    vec![Line::from(first), Line::from(second), Line::from(third)]
}

fn planes_of(figures: &Figures) -> Vec<Line<'static>> {
    let time = |seconds: &Option<f64>| seconds.map_or("-".to_owned(), shown_time);
    figures
        .planes
        .iter()
        .map(|(plane, rate, median, most)| {
            let text = format!("{plane:<10}{:>8}/s {:>6} {:>6}", short(*rate), time(median), time(most));
            Line::from(text)
        })
        .collect()
}

fn rates(rates: &[(String, f64)], most: usize) -> Vec<Line<'static>> {
    let seen = rates.iter().filter(|(_, rate)| *rate > 0.0);
    seen.take(most)
        .map(|(of, rate)| Line::from(format!("{:>6} {of}", short(*rate))))
        .collect()
}

fn list(title: &'static str, lines: Vec<Line<'static>>, area: Rect, buffer: &mut Buffer) {
    let block = Block::new().borders(Borders::ALL).title(title);
    Paragraph::new(lines).block(block).render(area, buffer);
}

/// A rate in few letters: 0.5, 17, 1.2k, 3.4M.
fn short(rate: f64) -> String {
    match rate {
        rate if rate >= 999_500.0 => format!("{:.1}M", rate / 1e6),
        rate if rate >= 999.5 => format!("{:.1}k", rate / 1e3),
        rate if rate >= 9.95 || rate == 0.0 => format!("{rate:.0}"),
        rate => format!("{rate:.1}"),
    }
}

/// A time in few letters: 5us, 2.5ms.
fn shown_time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 0.001 => format!("{}us", (seconds * 1e7).round() / 10.0),
        seconds if seconds < 1.0 => format!("{}ms", (seconds * 1e4).round() / 10.0),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_few_letters() {
        assert_eq!(
            [0.0, 0.49, 17.2, 1234.0, 3_400_000.0].map(short),
            ["0", "0.5", "17", "1.2k", "3.4M"]
        );
        assert_eq!([0.000_002_5, 0.001, 2.5].map(shown_time), ["2.5us", "1ms", "2.5s"]);
    }
}
