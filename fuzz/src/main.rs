//! Gives whatever libFuzzer thinks of to one decoder, the one that `DECODER` names.
//! `DECODER=list` names all; `DECODER=name SAMPLES=dir` writes the samples to begin with.
#![cfg_attr(not(test), no_main)]
#![allow(dead_code, unused_imports)]

#[path = "../../src/foreign/mod.rs"]
mod foreign;
#[path = "../../src/pure/mod.rs"]
mod pure;

mod common;
mod outside;

use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

use foreign::{DECODERS, Decoder};

static CHOSEN: OnceLock<&Decoder> = OnceLock::new();

/// Finds the decoder before the first bytes come.
fn choose() {
    let name = std::env::var("DECODER").unwrap_or_default();
    if name == "list" {
        DECODERS.iter().for_each(|decoder| println!("{}", decoder.name));
        exit(0);
    }
    let Some(decoder) = DECODERS.iter().find(|decoder| decoder.name == name) else {
        eprintln!("DECODER={name:?} is none of those that DECODER=list names");
        exit(2);
    };
    if let Some(directory) = std::env::var_os("SAMPLES") {
        for (number, sample) in decoder.samples.iter().enumerate() {
            let path = Path::new(&directory).join(format!("sample-{number}"));
            if let Err(error) = std::fs::write(&path, sample) {
                eprintln!("can't write {}: {error}", path.display());
                exit(2);
            }
        }
        exit(0);
    }
    let _ = CHOSEN.set(decoder);
}

libfuzzer_sys::fuzz_target!(
    init: choose(),
    |bytes: &[u8]| {
        let decoder = CHOSEN.get().expect("it is chosen first");
        (decoder.decode)(bytes);
    }
);
