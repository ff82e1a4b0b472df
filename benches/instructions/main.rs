//! How many instructions the parts of a message's way take, and the whole way through the edge with its allocations; and a
//! guard that fails when one of them has become more than it was.
//!
//! `cargo bench --profile ci --bench instructions`, and `-- --help` for more. Valgrind counts, driven by gungraun: callgrind
//! the instructions of the thread that does the work, DHAT the blocks that it allocates. The counts depend on the code and
//! the compiler, and hardly on the machine or what else it does; what they may be stands in `limits.txt`, for the build
//! profile `ci` only.

mod guard;
mod harness;
mod limits;
mod measured;
#[path = "../subjects/mod.rs"]
mod subjects;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Gungraun's runner calls this program again: to tell what there is, and under valgrind to do it.
    let is_called_back = std::env::args().nth(1).is_some_and(|argument| argument == "--gungraun-run");
    if is_called_back || std::env::var_os(harness::AS_HARNESS).is_some() {
        harness::run();
        return ExitCode::SUCCESS;
    }
    guard::run()
}
