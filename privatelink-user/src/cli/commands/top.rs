//! `privatelink top`.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;
use ratatui::{DefaultTerminal, crossterm::event};

use super::table::Table;
use crate::{
    cli::{
        client,
        daemon::Daemon,
        globals::Globals,
        print::print,
        top::{
            rows::{Order, Row, Subject, short},
            sample::{Sample, Wanted},
            screen,
            state::{Next, State},
        },
    },
    interface::{path, types::Status},
};

/// How long a key may wait for the screen.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct TopArgs {
    /// What to show
    #[arg(value_enum, value_name = "WHAT", default_value = "endpoints")]
    pub subject: Subject,

    /// What to order by
    #[arg(long, value_enum, default_value = "bits")]
    pub sort: Order,

    /// Show only what contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub filter: String,

    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub interval: Duration,

    /// Look twice, print the rates between, and end; also where standard output is no terminal
    #[arg(long)]
    pub once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(200);
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < LEAST { Err("at least 200ms".into()) } else { Ok(interval) }
}

impl TopArgs {
    /// Shows what the gateway carries, until the user ends it.
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        let mut state = State::new(self.subject, self.sort);
        state.filter.clone_from(&self.filter);
        if self.once || globals.json || !io::stdout().is_terminal() {
            return self.print(globals, state, out);
        }
        let daemon = globals.daemon();
        let status: Status = client::get(&daemon, path::STATUS)?;
        let (wanted, sampled) = sampler(globals.daemon());
        let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
        let shown = self.show(&mut terminal, &mut state, &status.gateway, (&wanted, &sampled));
        // What is left on the screen after a failure is the least trouble.
        let _ = ratatui::try_restore();
        shown
    }

    /// Prints the rates between two samples.
    fn print(&self, globals: &Globals, mut state: State, out: &mut impl Write) -> Result<()> {
        let daemon = globals.daemon();
        state.accept(Ok(Sample::take(&daemon, &Wanted::default())?));
        thread::sleep(self.interval);
        state.accept(Ok(Sample::take(&daemon, &Wanted::default())?));
        print(out, globals.json, &state.rows(), |rows| text(rows))
    }

    fn show(
        &self,
        terminal: &mut DefaultTerminal,
        state: &mut State,
        gateway: &str,
        (wanted, sampled): (&Sender<Wanted>, &Receiver<Result<Sample, String>>),
    ) -> Result<()> {
        let mut due = Instant::now();
        let mut is_awaited = false;
        loop {
            for sample in sampled.try_iter() {
                state.accept(sample);
                is_awaited = false;
            }
            if !is_awaited && Instant::now() >= due {
                is_awaited = wanted.send(state.wanted()).is_ok();
                due = Instant::now() + self.interval;
            }
            terminal.draw(|frame| screen::draw(frame, state, gateway))?;
            if !event::poll(TICK)? {
                continue;
            }
            if let event::Event::Key(key) = event::read()? {
                match state.press(key) {
                    Next::Draw => {}
                    Next::Sample => due = Instant::now(),
                    Next::Quit => return Ok(()),
                }
            }
        }
    }
}

/// A thread that takes samples when they are wanted: the daemon may be far away, and keys must not
/// wait for it.
fn sampler(daemon: Daemon) -> (Sender<Wanted>, Receiver<Result<Sample, String>>) {
    let (wanted, asked) = channel::<Wanted>();
    let (taken, sampled) = channel();
    thread::spawn(move || {
        for wanted in asked {
            let sample = Sample::take(&daemon, &wanted).map_err(|error| error.to_string());
            if taken.send(sample).is_err() {
                return;
            }
        }
    });
    (wanted, sampled)
}

fn text(rows: &[Row]) -> String {
    let heading = ["NAME", "OF", "FLOWS", "NEW/S", "PKT/S", "BIT/S", "DROP/S"];
    let mut table = Table::new(&heading, &[2, 3, 4, 5, 6]);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
    for row in rows {
        let rates = [row.new, row.packets, row.bits, row.drops].map(number);
        let [new, packets, bits, drops] = rates;
        let flows = row.flows.to_string();
        table.row([row.name.clone(), row.about.clone(), flows, new, packets, bits, drops]);
    }
    table.render(0)
}
