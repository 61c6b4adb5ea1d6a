//! Arguments, configuration, run, exit code; everything else is in the library.

use std::io::Write as _;

/// For librdkafka's allocations too: one or two small ones a record, made and freed by different
/// threads. It takes a quarter off the CPU time of glibc's (docs/decisions/0005-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Few arenas; freed pages stay for half a second: a busy worker wants them back at once, and three
/// seconds cost 70 MiB where windows are large.
#[allow(non_upper_case_globals, unsafe_code)]
#[unsafe(export_name = "malloc_conf")]
pub static malloc_conf: &[u8] = b"narenas:4,dirty_decay_ms:500,muzzy_decay_ms:0\0";

/// Ends without the handlers of exit(3): OpenSSL's frees its locks, and a thread that is still in
/// a call of TLS then takes one of them, which ends the process by a signal after a clean stop.
fn main() -> ! {
    let code = alluvium::main();
    let _ = std::io::stdout().flush();
    signal_hook::low_level::exit(i32::from(code))
}
