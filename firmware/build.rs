//! The memory of the board, and a slice of the breast-cancer data as constants.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Rows to train on, and after them rows to test on.
const TRAIN: usize = 256;
const TEST: usize = 128;
const FEATURES: usize = 30;

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("data.rs"), data()).expect("OUT_DIR can be written to");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(slow_timer)");
    if env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it") == "none" {
        fs::write(out.join("memory.x"), memory()).expect("OUT_DIR can be written to");
        if env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv8m")) {
            println!("cargo:rustc-cfg=slow_timer");
        }
        println!("cargo:rustc-link-search={}", out.display());
        if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
            // The start-up code of ARM includes it by itself.
            println!("cargo:rustc-link-arg-bins=-Tmemory.x");
        }
        println!("cargo:rustc-link-arg-bins=-Tlink.x");
        println!("cargo:rustc-link-arg-bins=--nmagic");
    }
}

/// 256 KiB of flash and 64 KiB of RAM, less than any board under test has.
fn memory() -> String {
    let target = env::var("TARGET").expect("cargo sets it");
    let (flash, ram) = match target.as_str() {
        // The secure alias of the board with a Cortex-M33.
        "thumbv8m.main-none-eabihf" => (0x1000_0000_u32, 0x3800_0000_u32),
        _ if target.starts_with("riscv32") => (0x8000_0000, 0x8010_0000),
        _ => (0x0000_0000, 0x2000_0000),
    };
    let mut script = format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {flash:#x}, LENGTH = 256K\n  RAM : ORIGIN = {ram:#x}, LENGTH = 64K\n}}\n"
    );
    if target.starts_with("riscv32") {
        for (region, memory) in [
            ("TEXT", "FLASH"),
            ("RODATA", "FLASH"),
            ("DATA", "RAM"),
            ("BSS", "RAM"),
            ("HEAP", "RAM"),
            ("STACK", "RAM"),
        ] {
            writeln!(script, "REGION_ALIAS(\"REGION_{region}\", {memory});").expect("a String");
        }
    }
    script
}

/// The first rows of the file, standardised by the training rows; 1 is malignant.
fn data() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/breast_cancer.csv");
    println!("cargo:rerun-if-changed={}", path.display());
    let file = fs::read_to_string(path).expect("the data set is part of the repository");
    let rows: Vec<Vec<&str>> =
        file.lines().skip(1).take(TRAIN + TEST).map(|line| line.split(',').collect()).collect();
    let column = |j: usize| {
        let values: Vec<f64> = rows.iter().map(|row| row[j].parse().expect("a number")).collect();
        let mean = values[..TRAIN].iter().sum::<f64>() / TRAIN as f64;
        let squares = values[..TRAIN].iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let deviation = (squares / TRAIN as f64).sqrt();
        values.into_iter().map(move |x| ((x - mean) / deviation) as f32)
    };
    let columns: Vec<Vec<f32>> = (0..FEATURES).map(|j| column(j).collect()).collect();
    let mut out = String::new();
    for (name, from, to) in [("TRAIN", 0, TRAIN), ("TEST", TRAIN, TRAIN + TEST)] {
        let features = (from..to).flat_map(|i| columns.iter().map(move |column| column[i]));
        let targets = rows[from..to].iter().map(|row| f32::from(row[FEATURES] == "malignant"));
        array(&mut out, &format!("{name}_FEATURES"), features.collect());
        array(&mut out, &format!("{name}_TARGETS"), targets.collect());
    }
    out
}

fn array(out: &mut String, name: &str, values: Vec<f32>) {
    writeln!(out, "pub static {name}: [f32; {}] = {values:?};", values.len()).expect("a String");
}
