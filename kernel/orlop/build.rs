//! Passes the kernel's linker script when the kernel is built for a bare machine.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=link");
    if variable("CARGO_CFG_TARGET_OS") != "none" {
        return;
    }
    let script = format!("{}/link/{}.ld", variable("CARGO_MANIFEST_DIR"), variable("CARGO_CFG_TARGET_ARCH"));
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo:rustc-link-arg-bins=--no-dynamic-linker");
    if variable("CARGO_CFG_TARGET_ARCH") == "aarch64" {
        // Cortex-A53 may take a wrong address from an ADRP at the end of a page.
        println!("cargo:rustc-link-arg-bins=--fix-cortex-a53-843419");
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
