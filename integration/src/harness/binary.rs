//! Where the `holdline` binary is: built once per process, in the profile and target directory of the running test.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `holdline` binary, up to date.
///
/// Cargo builds a package's binaries for that package's own tests only, so the first caller asks cargo for it; after
/// `cargo test --workspace` that finds nothing left to do. `HOLDLINE_BIN` names another binary to test.
pub fn holdline() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("HOLDLINE_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// The target directory that the running executable was built in.
pub(super) fn target_directory() -> PathBuf {
    let profile = profile_directory();
    profile.parent().unwrap_or(&profile).to_path_buf()
}

fn build() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let directory = profile_directory();
    // The directory of the `dev` profile is called `debug`.
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // The whole workspace is named so that its dependencies get the features that they got for the tests, and are built once.
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--workspace", "--bin", "holdline", "--profile", profile, "--target-dir"])
        .arg(target_directory())
        .output()
        .unwrap_or_else(|error| panic!("cannot run cargo to build the holdline binary: {error}"));
    assert!(
        output.status.success(),
        "the holdline binary does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    directory.join("holdline")
}

/// `target/<profile>`: the directory of a binary, the parent of `deps` for a test.
fn profile_directory() -> PathBuf {
    let executable = env::current_exe().expect("a running process has an executable");
    let directory = executable.parent().expect("an executable is in a directory");
    match directory.file_name().and_then(|name| name.to_str()) {
        Some("deps") => directory.parent().unwrap_or(directory).to_path_buf(),
        _ => directory.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_runs_inside_the_profile_directory() {
        assert!(profile_directory().join("deps").is_dir());
        assert_eq!(profile_directory().parent(), Some(target_directory().as_path()));
    }
}
