//! The committed code is what the `.proto` files generate.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use prost_build::Config;
use protox::Compiler;

#[test]
fn committed_code_is_what_the_protos_generate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().unwrap();
    generate(&root.join("proto"), fresh.path());

    let committed = root.join("src/generated");
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&committed).unwrap();
        for file in files(&committed, "rs") {
            fs::remove_file(file).unwrap();
        }
        for file in files(fresh.path(), "rs") {
            fs::copy(&file, committed.join(file.file_name().unwrap())).unwrap();
        }
    }

    let names = |folder: &Path| -> Vec<_> {
        files(folder, "rs").iter().map(|file| file.file_name().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&committed), names(fresh.path()), "run UPDATE=1 cargo test -p holdline-protos");
    for name in names(fresh.path()) {
        let same = fs::read(committed.join(&name)).unwrap() == fs::read(fresh.path().join(&name)).unwrap();
        assert!(same, "{name:?} is out of date: run UPDATE=1 cargo test -p holdline-protos");
    }
}

fn generate(proto: &Path, out: &Path) {
    let sources = files(proto, "proto");
    assert!(!sources.is_empty(), "no .proto under {}", proto.display());
    let mut compiler = Compiler::new([proto]).unwrap();
    compiler.include_source_info(true).include_imports(true);
    let set = compiler.open_files(sources).unwrap().file_descriptor_set();
    // Bytes fields are slices of the frame they came in: nothing is copied before somebody keeps it.
    Config::new().bytes(["."]).out_dir(out).compile_fds(set).unwrap();
}

/// Every file below `folder` with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
