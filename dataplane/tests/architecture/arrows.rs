// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which folder uses which: the tables in docs/architecture.md and the code say the same, and nothing goes in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::paths::{Import, Path, paths};
use super::sources::{read, root};

/// From a file, or folder, to those it uses.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Where crates begin: nothing below uses them.
const ROOTS: [&str; 2] = ["lib", "main"];

/// A name that an import brings in under the same name is from another crate: following it would never end.
const MAX_REEXPORTS: usize = 8;

/// A crate's modules, by path, and what each imports.
struct Crate {
    files: BTreeMap<Path, String>,
    imports: BTreeMap<Path, Vec<Import>>,
    uses: BTreeMap<Path, Vec<Path>>,
}

impl Crate {
    fn read(folder: &str) -> Self {
        let (mut files, mut imports, mut uses) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for source in read(folder).iter().filter(|source| !source.is_test()) {
            let found = paths(&fs::read_to_string(&source.file).unwrap());
            let module = source.module();
            files.insert(module.clone(), source.name.clone());
            imports.insert(module.clone(), found.imports);
            uses.insert(module, found.uses);
        }
        Self { files, imports, uses }
    }

    /// The file that defines what a path in a module names; none for other crates.
    fn find(&self, module: &[String], path: &[String], depth: usize) -> Option<Path> {
        let (first, mut rest) = path.split_first()?;
        let mut at: Path = match first.as_str() {
            "crate" => Path::new(),
            "self" => module.to_vec(),
            "super" => module.split_last()?.1.to_vec(),
            name => self.step(module, name, depth)?,
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                at.pop();
            } else if let Some(next) = self.step(&at, name, depth) {
                at = next;
            } else {
                // An item of this module.
                break;
            }
            rest = after;
        }
        Some(at)
    }

    /// From a module to one inside it, or to where a name in it comes from.
    fn step(&self, module: &[String], name: &str, depth: usize) -> Option<Path> {
        let child: Path = module.iter().cloned().chain([name.to_owned()]).collect();
        if self.files.contains_key(&child) {
            return Some(child);
        }
        if depth > MAX_REEXPORTS {
            return None;
        }
        let import = self.imports.get(module)?.iter().find(|it| it.name == name)?;
        self.find(module, &import.path, depth + 1)
    }

    fn between_files(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, file) in &self.files {
            let imported = self.imports.get(module).into_iter().flatten();
            let imported = imported.filter(|it| !it.is_public).map(|it| &it.path);
            let used = imported.chain(self.uses.get(module).into_iter().flatten());
            let targets = used.filter_map(|path| self.find(module, path, 0));
            let targets = targets.filter_map(|target| self.files.get(&target).cloned());
            let targets = targets.filter(|target| target != file).collect();
            arrows.insert(file.clone(), targets);
        }
        arrows
    }
}

fn folder_of(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn between_folders(files: &Arrows) -> Arrows {
    let mut arrows = Arrows::new();
    for (file, targets) in files {
        let folder = folder_of(file);
        if ROOTS.contains(&folder) {
            continue;
        }
        let others = targets.iter().map(|target| folder_of(target).to_owned());
        arrows
            .entry(folder.to_owned())
            .or_default()
            .extend(others.filter(|other| other != folder));
    }
    arrows
}

/// A table in docs/architecture.md, in its order: the folder in the first column, those it uses in the last one.
fn documented(crate_folder: &str) -> Vec<(String, BTreeSet<String>)> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let heading = format!("### Folders of `{crate_folder}`\n");
    let (_, section) = text.split_once(&heading).expect(&heading);
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        let columns: Vec<&str> = row.trim_matches('|').split('|').collect();
        let names = |column: &str| column.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let folder: Vec<String> = names(columns.first().unwrap());
        let used: Vec<String> = names(columns.last().unwrap());
        (folder.concat(), used.into_iter().collect())
    })
    .collect()
}

/// Arrows that are part of a circle.
fn circle(arrows: &Arrows) -> Vec<String> {
    let mut left = arrows.clone();
    loop {
        let ends: Vec<String> = left.keys().cloned().collect();
        // Whatever uses nothing that is left is in no circle.
        left.retain(|_, targets| {
            targets.retain(|target| ends.contains(target));
            !targets.is_empty()
        });
        if left.len() == ends.len() {
            break;
        }
    }
    left.iter()
        .map(|(from, to)| format!("{from} -> {}", Vec::from_iter(to.clone()).join(", ")))
        .collect()
}

fn check(folder: &str) {
    let files = Crate::read(folder).between_files();
    assert_eq!(
        circle(&files),
        [""; 0],
        "files of {folder} use each other in a circle"
    );

    let found = between_folders(&files);
    // Shown when the test fails.
    for (name, used) in &found {
        println!("{folder}/{name} uses {used:?}");
    }
    let table = documented(folder);
    let mut seen = BTreeSet::new();
    for (name, allowed) in &table {
        let used = found
            .get(name)
            .unwrap_or_else(|| panic!("{folder} has no {name}"));
        let extra: Vec<_> = used.difference(allowed).collect();
        assert!(
            extra.is_empty(),
            "{folder}/{name} uses {extra:?}: not in docs/architecture.md"
        );
        let unused: Vec<_> = allowed.difference(used).collect();
        assert!(
            unused.is_empty(),
            "{folder}/{name} does not use {unused:?}: remove it from docs/architecture.md"
        );
        let later: Vec<_> = allowed.difference(&seen).collect();
        assert!(
            later.is_empty(),
            "docs/architecture.md has {later:?} below {name}, which uses it"
        );
        seen.insert(name.clone());
    }
    let missing: Vec<_> = found.keys().filter(|name| !seen.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "docs/architecture.md lacks {missing:?} of {folder}"
    );
}

#[test]
fn folders_of_the_datapath_use_each_other_as_documented() {
    check("dataplane-common/src");
}

#[test]
fn folders_of_the_agent_use_each_other_as_documented() {
    check("dataplane/src");
}
