//! Arguments, configuration, run, exit code; everything else is in the library.

use std::process::ExitCode;

/// For librdkafka's allocations too: one or two small ones a record, made and freed by different
/// threads. It takes a quarter off the CPU time of glibc's (docs/decisions/0005-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Few arenas; freed pages stay for half a second: a busy worker wants them back at once, and three
/// seconds cost 70 MiB where windows are large.
#[allow(non_upper_case_globals, unsafe_code)]
#[unsafe(export_name = "malloc_conf")]
pub static malloc_conf: &[u8] = b"narenas:4,dirty_decay_ms:500,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    ExitCode::from(alluvium::main())
}
