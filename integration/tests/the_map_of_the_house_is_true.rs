//! Promise: each source file has its row in ARCHITECTURE.md, with the file's first line, and no row is without its file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with a section of their own in the code map.
const SECTIONS: [&str; 6] =
    ["protos/src", "sip/src", "cluster/src", "runtime/src", "examples/src", "integration/src"];

#[test]
fn the_map_of_the_house_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map is there");
    let sections: BTreeMap<&str, &str> =
        text.split("\n### ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    for name in SECTIONS {
        let rows = rows(sections.get(name).unwrap_or_else(|| panic!("no section {name}")));
        let files = files(&root.join(name));
        assert!(!files.is_empty());
        assert_eq!(rows, files, "the rows of {name} (left) are not its files (right)");
    }
}

fn rows(section: &str) -> BTreeMap<String, String> {
    let rows =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    rows.map(|(file, what)| (file.to_owned(), what.to_owned())).collect()
}

/// First lines by path; generated code and unit tests in files of their own need no row.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder of the workspace can be read") {
            let path = entry.expect("so can its entries").path();
            let name = path.strip_prefix(folder).expect("it is below").to_string_lossy().into_owned();
            if path.is_dir() && !name.ends_with("tests") && name != "generated" {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).expect("so can its files");
                let first = text.lines().next().and_then(|line| line.strip_prefix("//! "));
                found.insert(
                    name.clone(),
                    first.unwrap_or_else(|| panic!("{name} does not say what it is")).to_owned(),
                );
            }
        }
    }
    found
}
