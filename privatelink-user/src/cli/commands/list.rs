//! Commands that list objects of a kind, or show one in detail.

use std::{cmp::Ordering, io::Write};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cli::{
        client,
        globals::Globals,
        order::natural,
        print::{print, write},
    },
    interface::{
        path,
        types::{CatalogueEntry, Connection, Endpoint, Network, Service, Target},
    },
};

#[derive(Debug, Args)]
pub struct NameArgs {
    /// Show only this one, in detail
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    #[command(flatten)]
    pub list: ListArgs,
}

/// Which of the objects are listed, and how.
#[derive(Debug, Default, Args)]
pub struct ListArgs {
    /// Only those of this service
    #[arg(long = "service", value_name = "SERVICE", id = "of_service")]
    pub service: Option<String>,

    /// Only those in this network
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,

    /// Only those in this state: of a connection, or the health of a target
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,

    /// Sort by this column; numbers with the largest first
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t = Column::Name)]
    pub sort: Column,

    /// How much to show of each
    #[arg(long, short, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    pub output: Form,
}

/// How much a table shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// What fits most terminals
    #[default]
    Table,
    /// All columns
    Wide,
}

/// What lists are sorted and filtered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// The name, numbers in it by their value
    #[default]
    Name,
    /// The service
    Service,
    /// The network
    Network,
    /// The state of the connection, or the health
    State,
    /// Live flows
    Flows,
    /// Packets not forwarded
    Drops,
}

/// The value of a column.
pub enum Value<'a> {
    /// A word.
    Text(&'a str),
    /// A number.
    Number(u64),
}

/// What can be listed.
pub trait Listed {
    /// What to do if there are none.
    const NONE: &'static str;

    /// The value of a column, if objects of this kind have it.
    fn value(&self, column: Column) -> Option<Value<'_>>;
}

impl ListArgs {
    /// Leaves what was asked for, in the order that was asked for.
    pub fn select<T: Listed>(&self, all: &mut Vec<T>) -> Result<()> {
        let filters = [
            (Column::Service, &self.service),
            (Column::Network, &self.network),
            (Column::State, &self.state),
        ];
        for (column, wanted) in filters {
            let Some(wanted) = wanted else { continue };
            if all.first().is_some_and(|one| one.value(column).is_none()) {
                bail!("there is no column `{}` here to filter by", word(column));
            }
            all.retain(
                |one| matches!(one.value(column), Some(Value::Text(text)) if text == wanted),
            );
        }
        if all.first().is_some_and(|one| one.value(self.sort).is_none()) {
            bail!("there is no column `{}` here to sort by", word(self.sort));
        }
        all.sort_by(|one, other| compare(one, other, self.sort));
        Ok(())
    }

    fn is_filtered(&self) -> bool {
        self.service.is_some() || self.network.is_some() || self.state.is_some()
    }

    /// Prints what was selected; `table` also gets whether to show all columns.
    pub fn print<T: Listed + Serialize>(
        &self,
        globals: &Globals,
        mut all: Vec<T>,
        table: fn(&[T], bool) -> String,
        out: &mut impl Write,
    ) -> Result<()> {
        let before = all.len();
        self.select(&mut all)?;
        if all.is_empty() && !globals.json {
            let text = if before > 0 && self.is_filtered() {
                format!("none of {before} matches the filters\n")
            } else {
                T::NONE.to_owned() + "\n"
            };
            return write(out, &text);
        }
        print(out, globals.json, &all, |all| table(all, self.output == Form::Wide))
    }
}

fn word(column: Column) -> String {
    column.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn compare<T: Listed>(one: &T, other: &T, column: Column) -> Ordering {
    let name = || match (one.value(Column::Name), other.value(Column::Name)) {
        (Some(Value::Text(one)), Some(Value::Text(other))) => natural(one, other),
        _ => Ordering::Equal,
    };
    let by_column = match (one.value(column), other.value(column)) {
        (Some(Value::Text(one)), Some(Value::Text(other))) => natural(one, other),
        (Some(Value::Number(one)), Some(Value::Number(other))) => other.cmp(&one),
        _ => Ordering::Equal,
    };
    by_column.then_with(name)
}

impl Listed for Network {
    const NONE: &'static str = "no networks: declare one with `[[network]]`, and reload";

    fn value(&self, column: Column) -> Option<Value<'_>> {
        match column {
            Column::Name | Column::Network => Some(Value::Text(&self.name)),
            Column::Service | Column::State | Column::Flows | Column::Drops => None,
        }
    }
}

impl Listed for Service {
    const NONE: &'static str =
        "no services: declare one with `[[service]]`, or with `privatelink create service`";

    fn value(&self, column: Column) -> Option<Value<'_>> {
        match column {
            Column::Name | Column::Service => Some(Value::Text(&self.name)),
            Column::Network => Some(Value::Text(&self.network)),
            Column::Flows => Some(Value::Number(self.active_flows)),
            Column::State | Column::Drops => None,
        }
    }
}

impl Listed for Endpoint {
    const NONE: &'static str =
        "no endpoints: declare one with `[[endpoint]]`, or with `privatelink create endpoint`";

    fn value(&self, column: Column) -> Option<Value<'_>> {
        Some(match column {
            Column::Name => Value::Text(&self.name),
            Column::Service => Value::Text(&self.service),
            Column::Network => Value::Text(&self.network),
            Column::State => Value::Text(&self.state),
            Column::Flows => Value::Number(self.active_flows),
            Column::Drops => Value::Number(self.drops),
        })
    }
}

impl Listed for CatalogueEntry {
    const NONE: &'static str = "no service is offered to you: its provider lists you in `allow`";

    fn value(&self, column: Column) -> Option<Value<'_>> {
        match column {
            Column::Name | Column::Service => Some(Value::Text(&self.name)),
            Column::Network | Column::State | Column::Flows | Column::Drops => None,
        }
    }
}

impl Listed for Target {
    const NONE: &'static str = "no targets: give a service `[[service.target]]`, or \
                                `privatelink register SERVICE TARGET`";

    fn value(&self, column: Column) -> Option<Value<'_>> {
        match column {
            Column::Name => Some(Value::Text(&self.address)),
            Column::Service => Some(Value::Text(&self.service)),
            Column::State => Some(Value::Text(&self.health)),
            Column::Flows => Some(Value::Number(self.active_flows)),
            Column::Network | Column::Drops => None,
        }
    }
}

impl Listed for Connection {
    const NONE: &'static str = "no connections: each endpoint has one to its service";

    fn value(&self, column: Column) -> Option<Value<'_>> {
        match column {
            Column::Name => Some(Value::Text(&self.endpoint)),
            Column::Service => Some(Value::Text(&self.service)),
            Column::Network => Some(Value::Text(&self.network)),
            Column::State => Some(Value::Text(&self.state)),
            Column::Flows | Column::Drops => None,
        }
    }
}

/// The objects of a kind: where the daemon has them, and how they are printed.
pub struct Objects<T> {
    /// The path of all of them.
    pub all: &'static str,
    /// The path of one.
    pub one: &'static str,
    /// All of them as a table, with all columns or those that fit most terminals.
    pub table: fn(&[T], bool) -> String,
    /// One in detail.
    pub detail: fn(&T) -> String,
}

impl<T: Listed + Serialize + DeserializeOwned> Objects<T> {
    /// Prints all objects, or the one that is named.
    pub fn print(&self, globals: &Globals, args: &NameArgs, out: &mut impl Write) -> Result<()> {
        let daemon = globals.daemon();
        match &args.name {
            None => {
                let all: Vec<T> = client::get(&daemon, self.all)?;
                args.list.print(globals, all, self.table, out)
            }
            Some(name) => {
                let path = path::of(self.one, &client::name(name)?);
                let one: T = client::get(&daemon, &path)?;
                print(out, globals.json, &one, self.detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(endpoint: &str, service: &str, state: &str) -> Connection {
        Connection {
            endpoint: endpoint.into(),
            service: service.into(),
            state: state.into(),
            ..Connection::default()
        }
    }

    fn all() -> Vec<Connection> {
        vec![
            connection("e10", "web", "available"),
            connection("e2", "web", "rejected"),
            connection("e1", "mail", "available"),
        ]
    }

    fn selected(args: &ListArgs) -> Vec<String> {
        let mut all = all();
        args.select(&mut all).unwrap();
        all.into_iter().map(|one| one.endpoint).collect()
    }

    #[test]
    fn lists_are_in_natural_order_and_can_be_filtered_and_sorted() {
        let args = ListArgs::default();
        assert_eq!(selected(&args), ["e1", "e2", "e10"]);
        let of_web = ListArgs { service: Some("web".into()), ..ListArgs::default() };
        assert_eq!(selected(&of_web), ["e2", "e10"]);
        let available = ListArgs { state: Some("available".into()), ..of_web };
        assert_eq!(selected(&available), ["e10"]);
        let by_state = ListArgs { sort: Column::State, ..ListArgs::default() };
        assert_eq!(selected(&by_state), ["e1", "e10", "e2"]);
        let by_flows = ListArgs { sort: Column::Flows, ..ListArgs::default() };
        let error = by_flows.select(&mut all()).unwrap_err();
        assert_eq!(error.to_string(), "there is no column `flows` here to sort by");
    }
}
