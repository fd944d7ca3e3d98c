//! How far long work is: a line on standard error, where that is a terminal and the results are for people.

use std::io::Read;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::OutputFormat;

/// How often the line is drawn while nothing is counted.
const TICK: Duration = Duration::from_millis(200);

/// Long work. Its line is gone when it ends.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts things up to `total`, where that is known.
    pub(crate) fn of_things(output: OutputFormat, what: &'static str, total: Option<usize>) -> Self {
        let template = match total {
            Some(_) => "{msg} {bar:30} {pos} of {len}",
            None => "{spinner} {msg} {pos}",
        };
        Self::new(
            output,
            what,
            template,
            total.and_then(|total| u64::try_from(total).ok()),
        )
    }

    /// Counts octets up to `total`, where that is known.
    pub(crate) fn of_octets(output: OutputFormat, what: &'static str, total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{msg} {bar:30} {bytes} of {total_bytes}, {eta} left",
            None => "{spinner} {msg} {bytes}",
        };
        Self::new(output, what, template, total)
    }

    /// Waits for something that cannot be counted.
    pub(crate) fn of_waiting(output: OutputFormat, what: &'static str) -> Self {
        let progress = Self::new(output, what, "{spinner} {msg} {elapsed}", None);
        progress.0.enable_steady_tick(TICK);
        progress
    }

    fn new(output: OutputFormat, what: &'static str, template: &str, total: Option<u64>) -> Self {
        // Where standard error is no terminal, nothing is drawn on it.
        let target = match output {
            OutputFormat::Table => ProgressDrawTarget::stderr(),
            OutputFormat::Json | OutputFormat::Yaml => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(total, target).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many more are done.
    pub(crate) fn add(&self, count: usize) {
        self.0.inc(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Counts what is read.
    pub(crate) fn reader<R: Read>(&self, from: R) -> impl Read + use<R> {
        self.0.wrap_read(from)
    }

    /// Does what may print, with the line out of its way.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.suspend(work)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_counted_whether_it_is_shown_or_not() {
        for output in [OutputFormat::Table, OutputFormat::Json, OutputFormat::Yaml] {
            let progress = Progress::of_octets(output, "octets", Some(5));
            let mut text = String::new();
            progress
                .reader(&b"12345"[..])
                .read_to_string(&mut text)
                .expect("memory is read");
            progress.add(2);
            assert_eq!((text.as_str(), progress.0.position()), ("12345", 7));
            assert!(progress.0.is_hidden() || output == OutputFormat::Table);
        }
    }
}
