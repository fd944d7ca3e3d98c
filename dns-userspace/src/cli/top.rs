//! `hotdns top`: a running server, live.
//!
//! ```text
//! GET /metrics, /api/v1/top, /api/v1/sources ─► Reading ─┬─► Figures (of two readings) ─► frame: the terminal, or text
//!                             an interval later ─ Reading ┘
//! ```

mod figures;
mod frame;

use std::time::{Duration, Instant};

use clap::Args;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use serde_json::Value;

use self::figures::Figures;
use super::connection::{Client, Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::status::Metrics;

/// Columns of the frame that `--once` prints.
const WIDTH: u16 = 100;

/// Arguments of `hotdns top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Print one frame, and end.
    #[arg(long)]
    once: bool,
    /// Seconds between frames; those of which rates are the average.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// How many names and clients to show.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    #[command(flatten)]
    server: ServerArgs,
}

/// What the server says at one moment.
struct Reading {
    at: Instant,
    metrics: Metrics,
    top: Value,
    sources: Value,
}

impl Reading {
    fn take(client: &Client, limit: u16) -> Result<Self, Failure> {
        let limit = limit.to_string();
        let top = client.call(
            "GET",
            &path_with("/api/v1/top", &[("limit", Some(&limit))]),
            Payload::None,
        )?;
        let sources = client.call("GET", "/api/v1/sources", Payload::None)?;
        let metrics = client.call("GET", "/metrics", Payload::None)?;
        Ok(Self {
            at: Instant::now(),
            metrics: Metrics::parse(&metrics.text),
            top: top.json()?,
            sources: sources.json()?,
        })
    }
}

/// Shows frames until `q`, or prints one.
pub(crate) fn top(args: &TopArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let interval = Duration::from_secs(args.interval);
    let before = Reading::take(&client, args.limit)?;
    if args.once {
        std::thread::sleep(interval);
        let figures = Figures::of(client.shown(), &before, &Reading::take(&client, args.limit)?);
        return args.server.output.print(&figures.to_json(), || text(&figures));
    }
    let mut terminal = ratatui::try_init().map_err(|error| {
        Failure::Usage(format!(
            "there is no terminal to draw on ({error}): `--once` prints one frame"
        ))
    })?;
    let shown = show(args, &client, before, interval, &mut terminal);
    ratatui::restore();
    shown
}

fn show(
    args: &TopArgs,
    client: &Client,
    mut before: Reading,
    interval: Duration,
    terminal: &mut ratatui::DefaultTerminal,
) -> Result<(), Failure> {
    let failed = |error| Failure::File {
        path: "the terminal".to_owned(),
        error,
    };
    let mut figures = Figures::of(client.shown(), &before, &before);
    loop {
        terminal
            .draw(|drawn| frame::draw(&figures, drawn.area(), drawn.buffer_mut()))
            .map_err(failed)?;
        let next = before.at + interval;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            if !event::poll(left).map_err(failed)? {
                break;
            }
            match event::read().map_err(failed)? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                    if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                        return Ok(());
                    }
                }
                Event::Resize(..) => {
                    terminal
                        .draw(|drawn| frame::draw(&figures, drawn.area(), drawn.buffer_mut()))
                        .map_err(failed)?;
                }
                _ => {}
            }
        }
        match Reading::take(client, args.limit) {
            Ok(now) => {
                figures = Figures::of(client.shown(), &before, &now);
                before = now;
            }
            // A server that is started anew comes back.
            Err(error @ (Failure::Unreachable { .. } | Failure::Refused { status: 503, .. })) => {
                figures.trouble = Some(error.to_string());
                before.at = Instant::now();
            }
            Err(error) => return Err(error),
        }
    }
}

/// The frame as text.
fn text(figures: &Figures) -> String {
    let area = Rect::new(0, 0, WIDTH, frame::height(figures));
    let mut buffer = Buffer::empty(area);
    frame::draw(figures, area, &mut buffer);
    let line = |row: u16| {
        let cells = (0..area.width).map(|column| buffer[(column, row)].symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (0..area.height).map(line).collect()
}
