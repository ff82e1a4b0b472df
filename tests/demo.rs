//! `dockgate demo`, as a newcomer runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The demo takes 10 to 15 s; more than this and a newcomer would have left.
const DEADLINE: Duration = Duration::from_secs(30);

fn start_demo() -> Child {
    Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("demo")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary that cargo has built starts")
}

/// All that the process writes and how it ends, or a panic after the deadline.
fn wait(mut child: Child) -> (ExitStatus, Vec<String>, String) {
    let deadline = Instant::now() + DEADLINE;
    let (done, ended) = mpsc::channel();
    let stdout = child.stdout.take();
    let mut stderr = child.stderr.take().expect("standard error is a pipe");
    let lines = thread::spawn(move || {
        let lines: Vec<String> = stdout
            .map(|out| {
                BufReader::new(out)
                    .lines()
                    .map(|line| line.expect("UTF-8"))
                    .collect()
            })
            .unwrap_or_default();
        lines
    });
    let errors = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).expect("UTF-8");
        // Standard error closes when the process ends.
        done.send(()).expect("the test waits for this");
        text
    });
    if ended
        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        .is_err()
    {
        child.kill().expect("a process that runs can be ended");
        let lines = lines.join().expect("the reader ends with the process");
        panic!("no end within {DEADLINE:?}; so far:\n{}", lines.join("\n"));
    }
    let status = child.wait().expect("the process has ended");
    let lines = lines.join().expect("the reader ends with the process");
    (
        status,
        lines,
        errors.join().expect("the reader ends with the process"),
    )
}

#[test]
fn the_demo_shows_all_its_steps_in_order_and_exits_with_0() {
    let (status, lines, errors) = wait(start_demo());
    let text = lines.join("\n");
    assert!(status.success(), "{status}\n{text}\n{errors}");
    let steps: Vec<(&str, &str)> = vec![
        ("broker", "up: MQTT on 127.0.0.1:"),
        ("dock", "online: 8UUXN"),
        ("backends", "watching"),
        ("fileupload_list", "answered"),
        ("fileupload_start", "accepted"),
        ("a second start", "refused with 325009"),
        ("fileupload_progress", "running"),
        ("fileupload_update", "canceled"),
        ("fileupload_start", "accepted"),
        ("fileupload_progress", "ok, with the fingerprint"),
        ("/metrics", "agrees"),
        ("/api/v1/uploads", "agrees"),
    ];
    let mut rest = lines.iter();
    for (number, (name, result)) in (1..).zip(steps) {
        let begin = format!(" {number:>2}  {name} ");
        let line = rest.find(|line| line.starts_with(&begin));
        let line = line.unwrap_or_else(|| panic!("no line {begin:?} in its place in\n{text}"));
        assert!(
            line[begin.len()..].trim_start().starts_with(result),
            "{line:?} lacks {result:?}"
        );
    }
    assert!(text.contains("the dock never saw it"), "{text}");
    assert!(
        lines
            .last()
            .is_some_and(|line| line.starts_with("Everything went as shown")),
        "{text}"
    );
}

#[test]
fn into_a_pipe_there_are_lines_for_quarters_and_no_escape_codes() {
    let (status, lines, errors) = wait(start_demo());
    assert!(status.success(), "{status}\n{errors}");
    assert!(
        lines
            .iter()
            .all(|line| !line.contains('\x1b') && !line.contains('\r'))
    );
    for module in ["aircraft", "dock"] {
        let percents: Vec<u32> = lines
            .iter()
            .filter_map(|line| {
                line.strip_prefix("     ")?
                    .strip_prefix(module)?
                    .split_once(" % ")
            })
            .map(|(percent, _)| percent.trim().parse().expect("a percentage"))
            .collect();
        // The first upload is canceled half-way, the second comes to its end.
        let starts = percents.iter().filter(|percent| **percent == 0).count();
        assert_eq!(
            (starts, percents.last()),
            (2, Some(&100)),
            "{module}: {percents:?}"
        );
    }
}

#[test]
fn a_demo_that_nobody_can_read_fails() {
    let mut child = start_demo();
    drop(child.stdout.take());
    let (status, _, errors) = wait(child);
    assert!(!status.success());
    assert!(errors.contains("standard output"), "{errors:?}");
}
