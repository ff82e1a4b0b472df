//! The subjects as benchmarks of gungraun.
#![expect(unreachable_pub, reason = "gungraun's macros make items that are")]

use crate::subjects::{self, Subject, every_subject};
use dockgate::metrics::Version;
use gungraun::{Callgrind, Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};

/// Set in the environment of a process that is to be gungraun's harness and nothing more.
pub(crate) const AS_HARNESS: &str = "DOCKGATE_GUNGRAUN_HARNESS";

/// DHAT counts where the function that is measured is in the stack: below all of tokio, so the stack must be long. What the
/// compiler has put into its callers need not be looked up, which takes longer than counting.
const WHOLE_STACKS: [&str; 2] = ["--num-callers=200", "--read-inline-info=no"];

pub(crate) fn run() {
    main();
}

macro_rules! in_instructions {
    (
        parts { $($group:ident { $($part:ident: $make_part:expr;)+ })+ }
        edge { $($scene:ident: $make_scene:expr;)+ }
    ) => {
        $(
            #[library_benchmark]
            $(#[bench::$part($make_part)])+
            fn $group(mut subject: Subject) -> Subject {
                subject.counted();
                subject
            }
        )+

        #[library_benchmark(config = LibraryBenchmarkConfig::default().tool(Dhat::with_args(WHOLE_STACKS)))]
        $(#[bench::$scene($make_scene)])+
        fn edge(mut subject: Subject) -> Subject {
            subject.counted();
            subject
        }

        library_benchmark_group!(name = all, benchmarks = [$($group,)+ edge]);
    };
}
every_subject!(in_instructions);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = all
);
