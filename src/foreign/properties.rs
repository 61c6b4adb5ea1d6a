//! Arbitrary bytes, and changed samples, through every decoder.

use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};

use super::{DECODERS, Decoder};
use crate::outside::audit::rows;

/// What often goes wrong.
const TRICKY: &[&str] = &[
    "",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "4294967295",
    "1e999999999999999999",
    "..",
    "../",
    "/",
    "//",
    "_alluvium/",
    "\\",
    "\0",
    "\n",
    ";",
    "=",
    "%",
    "{",
    "}",
    "[",
    "null",
    "\"",
    "\u{1f600}",
    "\u{fffd}",
    "&a;",
];

/// One change of a sample: where, how much is taken away there, and what comes in its place.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn change() -> impl Strategy<Value = Change> {
    let tricky = prop::sample::select(TRICKY).prop_map(|text| text.as_bytes().to_vec());
    let bytes = prop::collection::vec(any::<u8>(), 0..12);
    let long = (any::<u8>(), 1..3_000_usize).prop_map(|(byte, n)| vec![byte; n]);
    let put = prop_oneof![4 => tricky, 4 => bytes, 1 => long];
    (any::<prop::sample::Index>(), prop_oneof![4 => 0..4_usize, 1 => 0..400_usize], put)
}

fn changed(sample: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for (at, taken, put) in changes {
        let at = at.index(bytes.len() + 1);
        let to = bytes.len().min(at + taken);
        let _: Vec<u8> = bytes.splice(at..to, put.iter().copied()).collect();
    }
    bytes
}

/// Decodes, and compares the memory that was in use at the same time with the length of the bytes.
fn decode(decoder: &Decoder, bytes: &[u8]) -> Result<(), TestCaseError> {
    let used = allocation_counter::measure(|| (decoder.decode)(bytes)).bytes_max;
    let most = (decoder.memory + 64 * bytes.len()) as u64;
    prop_assert!(used <= most, "{used} bytes of memory for {} bytes, {most} at most", bytes.len());
    Ok(())
}

fn check(name: &str) {
    let decoder = DECODERS.iter().find(|d| d.name == name).expect("it is in the table");
    for sample in decoder.samples {
        decode(decoder, sample).unwrap();
    }
    let mut runner = TestRunner::new(RunnerConfig::with_cases(2_000));
    let arbitrary = prop::collection::vec(any::<u8>(), 0..600);
    let samples: Vec<Vec<u8>> = decoder.samples.iter().map(|s| s.to_vec()).collect();
    let samples = (prop::sample::select(samples), prop::collection::vec(change(), 0..6));
    let samples = samples.prop_map(|(sample, changes)| changed(&sample, &changes));
    let bytes = prop_oneof![1 => arbitrary, 6 => samples];
    runner.run(&bytes, |bytes| decode(decoder, &bytes)).unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// Files of an archive that somebody has changed, as `verify` and `recount` read them. Their
/// libraries may use what memory they like; the daemon itself reads none of them.
#[test]
fn files_of_an_archive() {
    let samples: [(&str, &[u8]); 8] = [
        ("f.parquet", include_bytes!("../../tests/golden/raw-v1.parquet")),
        ("f.parquet", include_bytes!("../../tests/golden/counts-v1.parquet")),
        ("f.parquet", include_bytes!("../../tests/golden/words-v1.parquet")),
        ("f.jsonl", include_bytes!("../../tests/golden/rows-raw.jsonl")),
        ("f.jsonl", include_bytes!("../../tests/golden/rows-counts.jsonl")),
        ("f.avro", include_bytes!("../../tests/golden/raw-v2.avro")),
        ("f.avro", include_bytes!("../../tests/golden/counts-v2.avro")),
        ("f.txt", include_bytes!("../../tests/golden/rows-values.txt")),
    ];
    let mut runner = TestRunner::new(RunnerConfig::with_cases(2_000));
    let bytes = (prop::sample::select(samples.to_vec()), prop::collection::vec(change(), 0..4));
    let run = runner.run(&bytes, |((path, sample), changes)| {
        let bytes = bytes::Bytes::from(changed(sample, &changes));
        let _ = rows::footer(bytes.clone());
        let _ = rows::places(path, bytes.clone());
        let _ = rows::raw(path, bytes.clone(), |_| {});
        let _ = rows::counts(path, bytes, |_| {});
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
}

/// Two bytes are written over one, at every place of a Parquet file. The Parquet library panics at
/// some of these files; whoever reads them gets an error.
#[test]
fn files_at_which_the_library_panics() {
    let sample = include_bytes!("../../tests/golden/raw-v1.parquet");
    let answers = (0..sample.len()).map(|at| {
        let bytes = bytes::Bytes::from([&sample[..at], &[45, 49], &sample[at + 1..]].concat());
        rows::raw("f.parquet", bytes, |_| {})
    });
    let panics = answers.filter(|answer| answer.as_ref().is_err_and(|e| e.contains("panics")));
    assert!(0 < panics.count(), "the library does not panic any more: is this still needed?");
}

/// A test for each decoder of the table, and a table that has a test for each.
macro_rules! total {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_decoder_has_a_test() {
            let names: Vec<&str> = DECODERS.iter().map(|d| d.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

total!(
    metadata,
    positions,
    entry,
    identity,
    header,
    partials,
    count,
    field,
    columns,
    avro,
    avro_schema,
    json_object,
    json_schema,
    protobuf,
    protobuf_schema,
    kept_schema,
    column_types,
    time,
    words,
    template,
    names,
    configuration,
    hadoop,
    web,
    sink,
    status,
);

/// The measure of memory sees an allocation by a length that a stranger names.
#[test]
fn an_allocation_by_a_foreign_length_is_seen() {
    let decoder = Decoder {
        name: "careless",
        samples: &[],
        decode: |bytes| {
            let length = bytes.iter().fold(0, |n, byte| n << 4 | usize::from(byte & 15));
            std::hint::black_box(Vec::<u8>::with_capacity(length));
        },
        memory: 1 << 10,
    };
    assert!(decode(&decoder, &[0, 0, 0, 1]).is_ok());
    assert!(decode(&decoder, &[0, 9, 9, 9, 9, 9]).is_err());
}
