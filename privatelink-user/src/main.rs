//! The `privatelink` command.

use privatelink_user::cli::{args::Cli, exit::Exit};

fn main() -> Exit {
    Cli::main()
}
