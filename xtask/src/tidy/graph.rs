//! Which file uses which: circles of files inside a crate, which may not grow, and the picture of the house.
//!
//! A file uses another one if it names something that stands there, by whatever way the name was given on. Methods are
//! not named by a path, so what only they need is not seen; code for tests does not count.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::Source;

mod paths;
pub mod picture;

use paths::{Mentions, Path};

/// For each crate of the kernel whose files stand in circles, how many files the largest one has. The numbers fall
/// only.
const CIRCLES: [(&str, usize); 9] = [
    ("filesystems", 2),
    // Frames know who pays for them (`frame/charge.rs`), and who keeps the accounts stands in a cell of `sync`.
    ("hal", 34),
    ("libkernel", 2),
    ("memory", 9),
    ("models", 2),
    ("orlop", 91),
    ("sched", 12),
    ("subject", 2),
    // Extended attributes that a file system keeps in memory are a file of their own, beside the trait for others.
    ("vfs", 42),
];

/// One file as a module of its crate.
pub struct Module {
    /// The crate's name.
    pub krate: String,
    /// The file's path relative to the root.
    pub path: String,
    /// The module's path in the crate; empty for the root.
    pub module: Path,
    /// Lines of its text.
    pub lines: usize,
    mentions: Mentions,
}

/// All modules, and which one uses which.
pub struct Graph {
    /// The files.
    pub modules: Vec<Module>,
    /// Pairs of indices: who uses whom. Nobody uses itself.
    pub uses: BTreeSet<(usize, usize)>,
    by_name: BTreeMap<(String, Path), usize>,
}

impl Graph {
    /// Reads all sources of libraries and of xtask.
    pub fn new(sources: &[Source]) -> Result<Graph> {
        let mut graph = Graph { modules: Vec::new(), uses: BTreeSet::new(), by_name: BTreeMap::new() };
        for source in sources.iter().filter(|source| !source.is_test()) {
            let Some((krate, module)) = place(&source.path) else { continue };
            let mentions = paths::read(&source.text).with_context(|| source.path.clone())?;
            graph.by_name.insert((krate.clone(), module.clone()), graph.modules.len());
            let lines = source.text.lines().count();
            graph.modules.push(Module { krate, path: source.path.clone(), module, lines, mentions });
        }
        for user in 0..graph.modules.len() {
            let used = graph.modules[user].mentions.used.iter();
            let found: Vec<_> = used.filter_map(|path| graph.resolve(user, path, 0)).collect();
            graph.uses.extend(found.into_iter().filter(|used| *used != user).map(|used| (user, used)));
        }
        Ok(graph)
    }

    /// The file in which what a path names stands.
    fn resolve(&self, from: usize, path: &[String], hops: usize) -> Option<usize> {
        // A name that is given on in a circle is no program that compiles; the bound keeps a wrong reading from going
        // on for ever.
        const MOST_HOPS: usize = 16;
        let mut at = from;
        for (index, segment) in path.iter().enumerate() {
            let Module { krate, module, mentions, .. } = &self.modules[at];
            let child = || [module.clone(), vec![segment.clone()]].concat();
            let next = match segment.as_str() {
                "crate" if index == 0 => self.find(krate, &[]),
                "self" if index == 0 => Some(at),
                "super" => self.find(krate, module.split_last()?.1),
                _ => self.find(krate, &child()),
            };
            if let Some(next) = next {
                at = next;
                continue;
            }
            if let Some(meant) =
                mentions.names.get(segment).filter(|meant| meant.as_slice() != [segment.clone()])
            {
                let whole = [meant, &path[index + 1..]].concat();
                return (hops < MOST_HOPS).then(|| self.resolve(at, &whole, hops + 1)).flatten();
            }
            if index == 0 {
                at = self.find(segment, &[])?;
                continue;
            }
            return Some(at);
        }
        Some(at)
    }

    fn find(&self, krate: &str, module: &[String]) -> Option<usize> {
        self.by_name.get(&(krate.to_owned(), module.to_vec())).copied()
    }

    /// Files that use each other in a circle, largest first.
    pub fn circles(&self) -> Vec<Vec<usize>> {
        let mut graph = DiGraph::<(), ()>::new();
        let nodes: Vec<_> = self.modules.iter().map(|_| graph.add_node(())).collect();
        for (user, used) in &self.uses {
            graph.add_edge(nodes[*user], nodes[*used], ());
        }
        let mut circles: Vec<Vec<_>> = tarjan_scc(&graph)
            .into_iter()
            .filter(|members| members.len() > 1)
            .map(|members| members.into_iter().map(|node| node.index()).collect())
            .collect();
        circles.sort_by_key(|members| std::cmp::Reverse(members.len()));
        circles
    }
}

/// A file's crate and module, if it belongs to a library or to xtask. A program beside a library has the library's
/// modules.
fn place(path: &str) -> Option<(String, Path)> {
    let (folder, file) = path.split_once("/src/")?;
    let inner = file.strip_suffix(".rs")?;
    if inner.starts_with("bin/") || (inner == "main" && folder != "xtask") {
        return None;
    }
    let mut module: Path = inner.split('/').map(str::to_owned).collect();
    if module
        .last()
        .is_some_and(|last| last == "mod" || module.len() == 1 && (last == "lib" || last == "main"))
    {
        module.pop();
    }
    Some((folder.rsplit('/').next()?.to_owned(), module))
}

/// Circles of the kernel's files that have grown, or fallen without being recorded.
pub fn check(sources: &[Source]) -> Vec<String> {
    let graph = match Graph::new(sources) {
        Ok(graph) => graph,
        Err(error) => return vec![format!("{error:#}")],
    };
    let mut largest: BTreeMap<&str, &Vec<usize>> = BTreeMap::new();
    let circles = graph.circles();
    let is_kernel = |circle: &&Vec<usize>| graph.modules[circle[0]].path.starts_with("kernel/");
    for circle in circles.iter().rev().filter(is_kernel) {
        largest.insert(&graph.modules[circle[0]].krate, circle);
    }
    let recorded = BTreeMap::from(CIRCLES);
    let mut problems = Vec::new();
    for krate in largest.keys().chain(recorded.keys()).collect::<BTreeSet<_>>() {
        let files = largest.get(*krate).map_or(0, |circle| circle.len());
        let limit = recorded.get(*krate).copied().unwrap_or(0);
        if files > limit {
            problems.push(format!("{krate}: {files} files use each other in a circle, at most {limit}:"));
            let members = largest[*krate].iter().map(|index| &graph.modules[*index].path);
            problems.extend(members.map(|path| format!("  {path}")));
        } else if files < limit {
            problems.push(format!(
                "{krate}: the largest circle has {files} files now, record that instead of {limit}"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let source =
            |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
        Graph::new(&files.iter().map(source).collect::<Vec<_>>()).unwrap()
    }

    fn uses(graph: &Graph) -> Vec<(&str, &str)> {
        let path = |index: &usize| graph.modules[*index].path.as_str();
        graph.uses.iter().map(|(user, used)| (path(user), path(used))).collect()
    }

    #[test]
    fn a_name_leads_to_where_it_stands() {
        let graph = graph(&[
            ("kernel/one/src/lib.rs", "pub mod a;"),
            ("kernel/one/src/a/mod.rs", "mod inner;\npub use inner::Thing;"),
            ("kernel/one/src/a/inner.rs", "pub struct Thing;"),
            ("kernel/two/src/lib.rs", "mod b;\nmod c;"),
            ("kernel/two/src/b.rs", "use one::a::Thing;\nfn f() { crate::c::g() }"),
            ("kernel/two/src/c.rs", "use one::a;\nfn g() -> a::Thing { super::b::f() }"),
        ]);
        let (b, c, inner) = ("kernel/two/src/b.rs", "kernel/two/src/c.rs", "kernel/one/src/a/inner.rs");
        let facade = "kernel/one/src/a/mod.rs";
        let mut found = uses(&graph);
        found.sort();
        let mut expected = vec![(b, inner), (b, c), (c, b), (c, inner), (c, facade)];
        expected.sort();
        assert_eq!(found, expected);
        let circles = graph.circles();
        assert_eq!(circles.len(), 1);
        assert_eq!(circles[0].len(), 2);
    }

    #[test]
    fn files_have_places() {
        let place = |path: &str| super::place(path).map(|(krate, module)| (krate, module.join("::")));
        assert_eq!(place("kernel/orlop/src/fs/mod.rs"), Some(("orlop".into(), "fs".into())));
        assert_eq!(place("kernel/orlop/src/fs/pipe.rs"), Some(("orlop".into(), "fs::pipe".into())));
        assert_eq!(place("kernel/orlop/src/lib.rs"), Some(("orlop".into(), String::new())));
        assert_eq!(place("kernel/orlop/src/main.rs"), None);
        assert_eq!(place("xtask/src/main.rs"), Some(("xtask".into(), String::new())));
    }
}
