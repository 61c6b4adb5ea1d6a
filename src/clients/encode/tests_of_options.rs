//! What is chosen about files beside their format, as readers find it in them.

use std::sync::Arc;

use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use crate::clients::encode::Encoder;
use crate::clients::encode::read_back::parquet_as_json;
use crate::clients::encode::tests::{RAW, lines, of, record};
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::{
    ColumnRows, Format, FormatOptions, ParquetCodec, Rows, TextCodec, TextPolicy,
};
use crate::pure::layout::rules::Fit;
use crate::pure::record::Record;

const PARQUET: Format = Format::Parquet(ParquetCodec::Zstd);

fn encode(format: Format, options: FormatOptions, rows: &Rows, fit: &Fit<'_>) -> Bytes {
    let mut encoder = Encoder::with(format, options, rows, &of()).unwrap();
    let mut out = Vec::new();
    // Enough for several pages.
    for n in 0..50_000 {
        let (key, value) = (format!("key-{n}"), format!("value {}", n % 7));
        encoder.append(&record(n, Some(key.as_bytes()), Some(value.as_bytes()), &[]), fit).unwrap();
        encoder.drain_bytes(&mut |b| out.extend_from_slice(&b));
    }
    encoder.finish(&[], &mut |b| out.extend_from_slice(&b)).unwrap();
    out.into()
}

fn metadata(file: &Bytes) -> ParquetMetaData {
    let policy = PageIndexPolicy::Optional;
    let reader = ParquetMetaDataReader::new().with_page_index_policy(policy);
    reader.parse_and_finish(file).unwrap()
}

#[test]
fn a_page_index_has_every_page_and_is_written_where_it_is_asked_for() {
    let plain = metadata(&encode(PARQUET, FormatOptions::default(), &RAW, &Fit::Raw));
    let column = plain.row_group(0).column(2);
    assert!(column.offset_index_offset().is_some() && column.column_index_offset().is_none());
    let options = FormatOptions { page_index: true, ..FormatOptions::default() };
    let indexed = metadata(&encode(PARQUET, options, &RAW, &Fit::Raw));
    assert!(indexed.row_group(0).column(2).column_index_offset().is_some());
    assert!(indexed.row_group(0).column(7).column_index_offset().is_some(), "the value");
    let pages = indexed.page_index_for_row_group(0).page_locations(2).unwrap().clone();
    assert!(2 < pages.len(), "{} pages", pages.len());
}

/// Whether a dictionary of numbers saves something is known by the first rows of a row group.
#[test]
fn numbers_that_do_not_come_again_have_no_dictionary() {
    let column = |name: &str| Column::new(name, None, ColumnType::Int64).unwrap();
    let columns = JsonColumns::new(vec![column("many"), column("few")]);
    let (key, value) = (TextPolicy::Auto, None);
    let rows = Rows::Columns(Arc::new(ColumnRows { key, value, columns }));
    let mut encoder = Encoder::with(PARQUET, FormatOptions::default(), &rows, &of()).unwrap();
    let mut out = Vec::new();
    for n in 0..10_000 {
        let fit = Fit::Cells(vec![Cell::Int64(n * 7), Cell::Int64(n % 7)]);
        encoder.append(&record(n, None, Some(b"{}"), &[]), &fit).unwrap();
    }
    encoder.finish(&[], &mut |b| out.extend_from_slice(&b)).unwrap();
    let file = metadata(&out.clone().into());
    let of_name = |name: &str| {
        let mut all = file.row_group(0).columns().iter();
        all.find(|column| column.column_path().string() == name).unwrap()
    };
    assert_eq!(of_name("many").dictionary_page_offset(), None);
    let encodings: Vec<_> = of_name("many").encodings().collect();
    assert!(!encodings.contains(&Encoding::RLE_DICTIONARY), "{encodings:?}");
    assert!(of_name("few").dictionary_page_offset().is_some());
    let read = parquet_as_json(out);
    assert!((0..).zip(&read).all(|(n, row)| row["many"] == n * 7 && row["few"] == n % 7));
    assert_eq!(read.len(), 10_000);
}

#[test]
fn a_bloom_filter_knows_the_keys_of_its_row_group() {
    let options = FormatOptions { bloom_filter: true, ..FormatOptions::default() };
    let file = encode(PARQUET, options, &RAW, &Fit::Raw);
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let read = ReadOptionsBuilder::new().with_reader_properties(properties).build();
    let reader = SerializedFileReader::new_with_options(file, read).unwrap();
    let group = reader.get_row_group(0).unwrap();
    let filter: &Sbbf = group.get_column_bloom_filter(5).expect("of the key");
    assert!((0..50_000).all(|n| filter.check(&format!("key-{n}").as_str())));
    let others = (50_000..60_000).filter(|n| filter.check(&format!("key-{n}").as_str()));
    assert!(others.count() < 300, "one of a hundred");
    assert!(group.get_column_bloom_filter(7).is_none(), "nobody looks for a whole value");
    let plain = metadata(&encode(PARQUET, FormatOptions::default(), &RAW, &Fit::Raw));
    assert!(plain.row_group(0).column(5).bloom_filter_offset().is_none());
}

#[test]
fn plain_times_are_the_same_numbers() {
    let options = FormatOptions { plain_times: true, ..FormatOptions::default() };
    let records: [Record<'_>; 1] = [record(1, None, None, &[])];
    let mut encoder = Encoder::with(PARQUET, options, &RAW, &of()).unwrap();
    encoder.append(&records[0], &Fit::Raw).unwrap();
    let mut file = Vec::new();
    encoder.finish(&[], &mut |b| file.extend_from_slice(&b)).unwrap();
    let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.clone())).unwrap();
    let kind = |name: &str| read.schema().field_with_name(name).unwrap().data_type().clone();
    assert_eq!((kind("timestamp"), kind("timestamp_ms")), (DataType::Int64, DataType::Int64));
    let ids = |rows: &Rows, options| {
        let encoder = Encoder::with(PARQUET, options, rows, &of()).unwrap();
        let mut file = Vec::new();
        encoder.finish(&[], &mut |b| file.extend_from_slice(&b)).unwrap();
        let metadata = metadata(&file.into());
        let fields = metadata.file_metadata().schema().get_fields().to_vec();
        let of = fields.iter().map(|f| (f.name().to_string(), f.get_basic_info().id()));
        of.collect::<Vec<_>>()
    };
    for rows in [RAW, Rows::Counts, Rows::Quarantine] {
        assert_eq!(ids(&rows, options), ids(&rows, FormatOptions::default()), "{rows:?}");
    }
    let row = &parquet_as_json(file)[0];
    assert_eq!((&row["timestamp"], &row["timestamp_ms"]), (&1_500_000.into(), &1_500.into()));
}

#[test]
fn a_higher_level_makes_no_larger_file_of_the_same_rows() {
    for format in [
        PARQUET,
        Format::Parquet(ParquetCodec::Gzip),
        Format::JsonLines(TextCodec::Gzip),
        Format::JsonLines(TextCodec::Zstd),
    ] {
        let of = |level| {
            let options = FormatOptions { level: Some(level), ..FormatOptions::default() };
            encode(format, options, &RAW, &Fit::Raw)
        };
        let (fast, small) = (of(1), of(9));
        assert!(small.len() < fast.len(), "{format:?}: {} and {}", fast.len(), small.len());
        if matches!(format, Format::Parquet(_)) {
            assert_eq!(parquet_as_json(fast.to_vec()), parquet_as_json(small.to_vec()));
        }
    }
    assert!(!Format::Parquet(ParquetCodec::Lz4).has_levels());
    let plain =
        encode(Format::JsonLines(TextCodec::None), FormatOptions::default(), &RAW, &Fit::Raw);
    assert_eq!(lines(&plain).len(), 50_000);
}
