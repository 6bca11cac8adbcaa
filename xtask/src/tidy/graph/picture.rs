//! The picture of the house as an SVG: crates as floors, folders as boxes, arrows to the folders of the crate that they
//! use.
//!
//! Who uses what stands above it. A red arrow belongs to a circle of folders. Pointing at an arrow shows how many pairs
//! of files it stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Graph, Module};

const BOX_WIDTH: usize = 150;
const BOX_HEIGHT: usize = 40;
/// From one box's left edge to the next one's, and from one row's top to the next one's.
const COLUMN: usize = BOX_WIDTH + 30;
const ROW: usize = BOX_HEIGHT + 60;
/// A crate's title above its first row.
const TITLE: usize = 34;
const MARGIN: usize = 20;
const COLUMNS: usize = 8;

/// A folder of a crate, or a file that stands beside the folders.
#[derive(Default)]
struct Folder {
    files: usize,
    lines: usize,
    /// How many pairs of files use each folder of the same crate.
    uses: BTreeMap<String, usize>,
}

/// A crate.
#[derive(Default)]
struct Floor {
    folders: BTreeMap<String, Folder>,
    /// Crates of the picture that it uses.
    uses: BTreeSet<String>,
}

/// Draws the kernel's crates and `abi`.
pub fn draw(graph: &Graph) -> String {
    let floors = floors(graph);
    let mut body = String::new();
    let mut top = MARGIN;
    for (name, floor) in by_rank(&floors) {
        top += draw_floor(&mut body, name, floor, top) + MARGIN;
    }
    let width = COLUMNS * COLUMN + 2 * MARGIN;
    let marker = |id: &str, colour: &str| {
        format!(
            "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"6\" markerHeight=\"6\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{colour}\"/></marker>"
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{top}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<defs>{}{}</defs>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n",
        marker("down", DOWN),
        marker("circle", CIRCLE)
    )
}

const DOWN: &str = "#456";
const CIRCLE: &str = "#c22";

fn floors(graph: &Graph) -> BTreeMap<String, Floor> {
    let mut floors: BTreeMap<String, Floor> = BTreeMap::new();
    let drawn = |module: &Module| module.path.starts_with("kernel/") || module.path.starts_with("abi/");
    for module in graph.modules.iter().filter(|module| drawn(module)) {
        let floor = floors.entry(module.krate.clone()).or_default();
        let folder = floor.folders.entry(folder(module)).or_default();
        folder.files += 1;
        folder.lines += module.lines;
    }
    for (user, used) in &graph.uses {
        let (user, used) = (&graph.modules[*user], &graph.modules[*used]);
        let Some(floor) = floors.get_mut(&user.krate) else { continue };
        if user.krate != used.krate {
            floor.uses.insert(used.krate.clone());
        } else if folder(user) != folder(used)
            && let Some(from) = floor.folders.get_mut(&folder(user))
        {
            *from.uses.entry(folder(used)).or_default() += 1;
        }
    }
    floors
}

fn folder(module: &Module) -> String {
    module.module.first().cloned().unwrap_or_else(|| "lib.rs".to_owned())
}

/// The floors from the top of the house to its ground.
fn by_rank(floors: &BTreeMap<String, Floor>) -> Vec<(&String, &Floor)> {
    let rank =
        ranks(floors.iter().map(|(name, floor)| (name.as_str(), floor.uses.iter().map(String::as_str))));
    let mut sorted: Vec<_> = floors.iter().collect();
    sorted.sort_by_key(|(name, _)| std::cmp::Reverse(rank[name.as_str()].0));
    sorted
}

/// How many steps each thing stands above the ground, and which circle it belongs to; a circle stands on one step.
fn ranks<'a, Used: Iterator<Item = &'a str>>(
    uses: impl Iterator<Item = (&'a str, Used)>,
) -> BTreeMap<&'a str, (usize, usize)> {
    let mut graph = DiGraph::<&str, ()>::new();
    let mut nodes: BTreeMap<&str, NodeIndex> = BTreeMap::new();
    for (user, used) in uses {
        let user = *nodes.entry(user).or_insert_with(|| graph.add_node(user));
        for used in used {
            let used = *nodes.entry(used).or_insert_with(|| graph.add_node(used));
            graph.add_edge(user, used, ());
        }
    }
    let mut rank: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    // What is used comes before its users.
    for (circle, members) in tarjan_scc(&graph).into_iter().enumerate() {
        let below = members.iter().flat_map(|member| graph.neighbors(*member));
        let below = below.filter_map(|used| rank.get(graph[used])).map(|(rank, _)| rank + 1).max();
        rank.extend(members.iter().map(|member| (graph[*member], (below.unwrap_or(0), circle))));
    }
    rank
}

/// Draws one crate from `top` on and returns its height.
fn draw_floor(body: &mut String, name: &str, floor: &Floor, top: usize) -> usize {
    let rank = ranks(
        floor.folders.iter().map(|(name, folder)| (name.as_str(), folder.uses.keys().map(String::as_str))),
    );
    let mut rows: Vec<Vec<&str>> = Vec::new();
    for step in (0..=rank.values().map(|(rank, _)| *rank).max().unwrap_or(0)).rev() {
        let on_step: Vec<&str> =
            rank.iter().filter(|(_, (rank, _))| *rank == step).map(|(name, _)| *name).collect();
        rows.extend(on_step.chunks(COLUMNS).map(<[_]>::to_vec));
    }
    let mut places = BTreeMap::new();
    for (row, names) in rows.iter().enumerate() {
        for (column, name) in names.iter().enumerate() {
            places.insert(*name, (2 * MARGIN + column * COLUMN, top + TITLE + row * ROW));
        }
    }
    let height = TITLE + rows.len() * ROW - (ROW - BOX_HEIGHT) + MARGIN;
    let (width, text) = (COLUMNS * COLUMN + MARGIN, MARGIN + 10);
    let uses = floor.uses.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let files: usize = floor.folders.values().map(|folder| folder.files).sum();
    let lines: usize = floor.folders.values().map(|folder| folder.lines).sum();
    let _ = writeln!(
        body,
        "<rect x=\"{MARGIN}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#f4f4ee\"/>\n\
         <text x=\"{text}\" y=\"{}\"><tspan font-weight=\"bold\" font-size=\"15\">{name}</tspan> {files} files, {lines} lines; \
         uses {uses}</text>",
        top + 20
    );
    draw_arrows(body, floor, &places, &rank);
    draw_boxes(body, floor, &places);
    height
}

fn draw_boxes(body: &mut String, floor: &Floor, places: &BTreeMap<&str, (usize, usize)>) {
    for (name, (x, y)) in places {
        let Folder { files, lines, .. } = &floor.folders[*name];
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"4\" fill=\"white\" stroke=\"#888\"/>\
             <text x=\"{}\" y=\"{}\" font-weight=\"bold\">{name}</text><text x=\"{}\" y=\"{}\">{files} files, {lines} lines</text>",
            x + 8,
            y + 16,
            x + 8,
            y + 32
        );
    }
}

fn draw_arrows(
    body: &mut String,
    floor: &Floor,
    places: &BTreeMap<&str, (usize, usize)>,
    rank: &BTreeMap<&str, (usize, usize)>,
) {
    let middle = BOX_WIDTH / 2;
    for (user, folder) in &floor.folders {
        for (used, pairs) in &folder.uses {
            let ((from_x, from_y), (to_x, to_y)) = (places[user.as_str()], places[used.as_str()]);
            let in_circle = rank[user.as_str()].1 == rank[used.as_str()].1;
            // Downwards from the lower edge to the upper one; within a circle in a bow below the row, each way its own.
            let (start, end) = (from_y + BOX_HEIGHT, if from_y < to_y { to_y } else { to_y + BOX_HEIGHT });
            let (x, to_x) = if in_circle {
                (from_x + middle + 20, to_x + middle - 20)
            } else {
                (from_x + middle, to_x + middle)
            };
            let bend = if from_y < to_y { end - (end - start) / 2 } else { start.max(end) + 45 };
            let (colour, marker) = if in_circle { (CIRCLE, "circle") } else { (DOWN, "down") };
            let _ = writeln!(
                body,
                "<path d=\"M{x} {start}C{x} {bend} {to_x} {bend} {to_x} {end}\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"{:.1}\" stroke-opacity=\"0.6\" marker-end=\"url(#{marker})\"><title>{user} uses {used}: \
                 {pairs}</title></path>",
                1.0 + (*pairs as f64).log2() / 2.0
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Source;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn floors_stand_on_what_they_use() {
        let graph = Graph::new(&[
            source("abi/src/lib.rs", ""),
            source("kernel/below/src/lib.rs", "use abi::x;"),
            source("kernel/above/src/lib.rs", "mod a; mod b;"),
            source("kernel/above/src/a.rs", "use below::z; use crate::b::y;"),
            source("kernel/above/src/b.rs", "use super::a::x;"),
        ]);
        let graph = graph.unwrap();
        let floors = floors(&graph);
        let names: Vec<_> = by_rank(&floors).into_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["above", "below", "abi"]);
        let picture = draw(&graph);
        assert!(picture.contains("a uses b: 1") && picture.contains("b uses a: 1"));
        assert_eq!(picture.matches("url(#circle)").count(), 2);
    }
}
