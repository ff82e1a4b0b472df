//! How long the parts of a message's way take, and the whole way through the edge in one thread, for each message.
//!
//! `cargo bench --bench micro`; criterion's own options work: `-- routing --quick`.

#[path = "../subjects/mod.rs"]
mod subjects;

use criterion::Criterion;
use dockgate::metrics::Version;
use std::time::Instant;
use subjects::{Subject, every_subject};

fn measure(criterion: &mut Criterion, group: &str, name: &str, make: impl Fn() -> Subject) {
    let mut made = None;
    let mut group = criterion.benchmark_group(group);
    group.bench_function(name, |bencher| {
        // Not before it is asked for: some take long to make.
        let subject = made.get_or_insert_with(&make);
        // Of a round with many messages, one message is what is timed.
        let messages = u64::from(subject.messages());
        bencher.iter_custom(|times| {
            let rounds = times.div_ceil(messages);
            let began = Instant::now();
            for _ in 0..rounds {
                subject.once();
            }
            began.elapsed().mul_f64(times as f64 / (rounds * messages) as f64)
        });
    });
    group.finish();
}

macro_rules! in_time {
    (
        parts { $($group:ident { $($part:ident: $make_part:expr;)+ })+ }
        edge { $($scene:ident: $make_scene:expr;)+ }
    ) => {
        fn measure_all(criterion: &mut Criterion) {
            $($(measure(criterion, stringify!($group), stringify!($part), || $make_part);)+)+
            $(measure(criterion, "edge", stringify!($scene), || $make_scene);)+
        }
    };
}
every_subject!(in_time);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    measure_all(&mut criterion);
    criterion.final_summary();
}
