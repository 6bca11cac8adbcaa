//! Programs that the compiler refuses, each for the reasons that its second line names.
//!
//! They are the programs of a package that is made here, since a package of the workspace has to compile.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Codes of the compiler's errors, by program.
type Errors = BTreeMap<String, Vec<String>>;

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/misuse/refused");
    let entries = fs::read_dir(folder).expect("the folder of programs");
    let mut programs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    programs.sort();
    programs
}

fn name(program: &Path) -> String {
    program.file_stem().expect("a file's name").to_string_lossy().into_owned()
}

/// What a program's second line says, a code for each error: `// refused: E0505`.
fn expected(program: &Path) -> Vec<String> {
    let text = fs::read_to_string(program).expect("a program");
    let codes = text.lines().nth(1).and_then(|line| line.strip_prefix("// refused: "));
    codes.expect("codes of errors in the second line").split(' ').map(String::from).collect()
}

/// Makes the package, and returns its folder.
fn package(programs: &[PathBuf]) -> PathBuf {
    let hal = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("misuse");
    fs::create_dir_all(&folder).expect("a folder for the package");
    let mut manifest =
        String::from("[package]\nname = \"misuse\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n");
    for (name, path) in [("hal", hal.to_path_buf()), ("libkernel", hal.join("../libkernel"))] {
        writeln!(manifest, "{name} = {{ path = {path:?} }}").expect("a string grows");
    }
    for program in programs {
        writeln!(manifest, "[[bin]]\nname = {:?}\npath = {program:?}", name(program))
            .expect("a string grows");
    }
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest");
    // The versions that the workspace has: nothing is asked of the network.
    fs::copy(hal.join("../../Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace's versions");
    folder
}

/// Compiles the package; what the compiler says is `PATH/NAME.rs:LINE:COLUMN: error[CODE]: WORDS`.
fn errors(folder: &Path) -> Errors {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--offline", "--keep-going", "--message-format", "short"]);
    let output = cargo.env("CARGO_TARGET_DIR", folder.join("target")).current_dir(folder).output();
    let said = String::from_utf8(output.expect("cargo").stderr).expect("text");
    let mut errors = Errors::new();
    for line in said.lines() {
        let Some((place, rest)) = line.split_once(".rs:") else { continue };
        if let Some(code) = rest.split_once(" error[").and_then(|(_, rest)| rest.split(']').next()) {
            errors.entry(name(Path::new(place))).or_default().push(code.to_owned());
        }
    }
    assert!(!errors.is_empty(), "nothing was refused:\n{said}");
    errors
}

#[test]
fn refused() {
    let programs = programs();
    let errors = errors(&package(&programs));
    let expected: Errors = programs.iter().map(|program| (name(program), expected(program))).collect();
    assert_eq!(errors, expected);
}
