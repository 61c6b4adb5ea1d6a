//! `alluvium ddl`: a mapping's files as a table of Hive, Spark, Trino or DuckDB.

mod arguments;
mod columns;
mod engines;
mod failure;
mod hive;
mod registered;

pub(super) use arguments::{Ddl, TableOf};
pub(super) use engines::{Engine, Table, literal};
