//! The daemon answers every request as its OpenAPI document describes, and survives it. Needs root
//! and Python's schemathesis; run by `cargo xtask test`.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use privatelink_tests::lab::{Daemon, Lab, bridge};

/// The checks of each response.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";

#[test]
fn every_request_is_answered_as_described() {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/schemathesis/bin/schemathesis");
    let lab = Lab::quickstart().unwrap();
    // A daemon without optimizations needs long to walk a large table for each response.
    let config = include_str!("../../examples/quickstart.toml")
        .replace("name = \"gw-a\"", "name = \"gw-a\"\nmax_flows = 4096");
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let address = bridge::to_socket(&daemon.socket()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(&program)
        .current_dir(folder.path())
        .args(["run", &format!("http://{address}/v1/openapi.json"), "--checks", CHECKS])
        // The same requests each time. The request that ends the daemon, and the one whose response
        // never ends, are tested elsewhere.
        .args(["--seed", "1", "--exclude-path", "/v1/down"])
        .args(["--exclude-path", "/v1/events/follow"])
        .args(["--max-examples", "40", "--phases", "examples,coverage,fuzzing"])
        .args(["--request-timeout", "20", "--no-color"])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: cargo xtask setup", program.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    assert!(output.status.success(), "{said}{errors}");
    let status = daemon.status().unwrap();
    assert_eq!(status["ready"], true);
    assert!(!daemon.output().contains("panicked"), "{}", daemon.output());
}
