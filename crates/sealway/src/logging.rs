//! Log lines on standard error: text for people, or one JSON object a line.
//!
//! Level: `info` of our own crates and `warn` of others; `-q` only warnings, `-v` debug, `-vv` everything of ours. The access log is
//! the target `sealway::access`, at `info`.

use std::io;

use anstream::{AutoStream, ColorChoice};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{LogFormat, TalkArgs};
use crate::printer::color_choice;

/// Starts logging for the life of the process.
pub(crate) fn start(talk: TalkArgs) {
    start_at(level(talk), talk);
}

/// The same for a command whose own output is what matters: only errors are said, until more is asked for.
pub(crate) fn start_quietly(talk: TalkArgs) {
    let level = if talk.verbose == 0 {
        // Refusals are what its rows show, in words of their own.
        LevelFilter::ERROR
    } else {
        level(TalkArgs {
            verbose: talk.verbose - 1,
            ..talk
        })
    };
    start_at(level, talk);
}

fn start_at(level: LevelFilter, talk: TalkArgs) {
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("sealway", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = match talk.log_format {
        LogFormat::Text => layer.with_ansi(wants_colour(talk)).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    // Only a second start in one process can fail, and that one changes nothing.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

fn level(talk: TalkArgs) -> LevelFilter {
    match (talk.quiet, talk.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    }
}

fn wants_colour(talk: TalkArgs) -> bool {
    match color_choice(talk.color) {
        ColorChoice::Auto => AutoStream::choice(&io::stderr()) != ColorChoice::Never,
        ColorChoice::Never => false,
        ColorChoice::Always | ColorChoice::AlwaysAnsi => true,
    }
}
