//! The shape of the code: no circles of imports, and long files say why they are long.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A file longer than this says in its first paragraph why.
const LINES_MAX: usize = 400;

/// A module as its path: `["sql", "apply"]`.
type Module = Vec<String>;

#[test]
fn a_long_file_says_why() {
    let mut silent = Vec::new();
    for folder in ["src", "connectors/src", "tests", "benches"] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).expect("the file is there");
            let first: Vec<&str> = text
                .lines()
                .take_while(|line| line.starts_with("//! "))
                .collect();
            let says_why = first.iter().any(|line| line.contains("400 lines"));
            if text.lines().count() > LINES_MAX && !says_why {
                silent.push(path);
            }
        }
    }
    assert_eq!(silent, Vec::<PathBuf>::new());
}

/// A module may import from its own parent, whose private parts it is; every other import goes one way.
#[test]
fn no_two_modules_import_each_other() {
    for folder in ["src", "connectors/src"] {
        let imports = imports(&root().join(folder));
        assert!(imports.len() > 50, "{folder}: {} modules", imports.len());
        for module in imports.keys() {
            let path = way_back(module, &imports);
            assert_eq!(path, None, "{folder}: a circle through {module:?}");
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules that each module names, but for tests and its own parents.
fn imports(folder: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let of_tests = |module: &Module| {
        let is_test = |name: &String| name.ends_with("tests") || name == "golden";
        module.iter().any(is_test) || module[0] == "conformance"
    };
    let modules: BTreeMap<Module, PathBuf> = sources(folder)
        .into_iter()
        .map(|path| (module_of(folder, &path), path))
        .filter(|(module, _)| module[0] != "lib" && module[0] != "main" && !of_tests(module))
        .collect();
    let named = |module: &Module, path: &Path| {
        let text = fs::read_to_string(path).expect("the file is there");
        paths(&text)
            .into_iter()
            .filter_map(|path| resolve(module, &path, &modules))
            .filter(|named| !module.starts_with(named))
            .collect()
    };
    modules
        .iter()
        .map(|(module, path)| (module.clone(), named(module, path)))
        .collect()
}

fn module_of(folder: &Path, path: &Path) -> Module {
    let path = path.strip_prefix(folder).expect("it is inside");
    let path = path.with_extension("");
    let parts = path.iter();
    parts
        .map(|part| part.to_string_lossy().into_owned())
        .collect()
}

/// Every path in the code that begins with `crate`, `self` or `super`, without comments and unit tests.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let comments = Regex::new(r"(?m)//.*$").expect("it is valid");
    let code = comments.replace_all(code.unwrap_or_default(), "");
    let imports = Regex::new(r"(?m)^(?:pub(?:\([^)]*\))? )?use ([^;]+);").expect("it is valid");
    let inline = Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").expect("it is valid");
    let mut found = Vec::new();
    for import in imports.captures_iter(&code) {
        expand("", &import[1], &mut found);
    }
    let rest = imports.replace_all(&code, "");
    found.extend(inline.find_iter(&rest).map(|path| path.as_str().to_owned()));
    let split = |path: &String| path.split("::").map(str::to_owned).collect();
    found.iter().map(split).collect()
}

/// The paths of a tree such as `crate::{a::B, c}`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for letter in tree.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("there is one").push(letter),
        }
    }
    for part in parts {
        let part = part.trim();
        match part.split_once('{') {
            Some((head, inner)) => {
                let inner = inner.trim_end().trim_end_matches('}');
                expand(&format!("{prefix}{head}"), inner, found);
            }
            None if part.is_empty() => {}
            None => found.push(format!("{prefix}{part}")),
        }
    }
}

/// The module that a path leads into.
fn resolve(
    module: &Module,
    path: &[String],
    modules: &BTreeMap<Module, PathBuf>,
) -> Option<Module> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let mut full = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => module.clone(),
        "super" => module[..module.len().checked_sub(ups)?].to_vec(),
        _ => return None,
    };
    full.extend(path[ups.max(1)..].iter().cloned());
    while !full.is_empty() && !modules.contains_key(&full) {
        full.pop();
    }
    (!full.is_empty()).then_some(full)
}

/// The modules on a way from `module` back to itself.
fn way_back(module: &Module, imports: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let mut seen: BTreeSet<&Module> = BTreeSet::new();
    let mut ways: Vec<Vec<&Module>> = vec![vec![module]];
    while let Some(way) = ways.pop() {
        for next in &imports[way[way.len() - 1]] {
            if next == module {
                return Some(way.into_iter().cloned().collect());
            }
            if imports.contains_key(next) && seen.insert(next) {
                ways.push(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}
