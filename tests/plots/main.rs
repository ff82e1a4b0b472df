//! The benches' charts and verdicts: what they draw is what they were given, in a form that a README can show.

#[path = "../../benches/plot/mod.rs"]
mod plot;
#[path = "../../benches/soak/slope.rs"]
mod slope;

use std::fs;
use std::path::Path;

use plot::{Axis, Bar, Bars, Curve, Curves, Group};
use quick_xml::Reader;
use quick_xml::events::Event;

/// What a chart may weigh in the repository.
const MOST_BYTES: usize = 40 * 1024;

/// The texts of a chart, and how many elements of each name it has.
fn read(path: &Path) -> (Vec<String>, Vec<String>) {
    let svg = fs::read_to_string(path).expect("the chart is there");
    assert!(svg.len() < MOST_BYTES, "{} bytes", svg.len());
    let mut reader = Reader::from_str(&svg);
    let (mut texts, mut elements) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().expect("the chart is XML") {
            Event::Start(element) | Event::Empty(element) => {
                elements.push(element.name().as_ref().to_owned());
            }
            Event::Text(text) => texts.push(text.trim().to_owned()),
            Event::Eof => return (texts, elements),
            _ => {}
        }
    }
}

#[test]
fn bars_have_their_names_figures_and_a_white_plate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bars.svg");
    let bar = |median: f64| Some(Bar { min: median * 0.9, median, max: median * 1.2 });
    let chart = Bars {
        title: "Delivered messages".to_owned(),
        unit: "messages a second".to_owned(),
        log: true,
        series: ["dockgate", "mosquitto", "rumqttd", "rmqtt"].map(str::to_owned).to_vec(),
        groups: (0..8)
            .map(|i| Group { name: format!("fanin{i}"), bars: vec![bar(841_000.0), bar(169_000.0), None, bar(4.2e6)] })
            .collect(),
    };
    plot::bars(&path, &chart).unwrap();
    let (texts, elements) = read(&path);
    for text in ["Delivered messages", "messages a second", "dockgate", "rmqtt", "fanin0", "fanin7", "841k", "4.2M"] {
        assert!(texts.iter().any(|candidate| candidate == text), "no {text:?} in {texts:?}");
    }
    // The plate, a swatch for each series, and a bar for each figure.
    assert_eq!(elements.iter().filter(|name| *name == "rect").count(), 1 + 4 + 8 * 3);
    assert!(fs::read_to_string(&path).unwrap().contains(r##"fill="#FFFFFF""##));
}

#[test]
fn bars_that_do_not_fit_their_series_are_refused() {
    let group = Group { name: "idle".to_owned(), bars: vec![None] };
    let chart = Bars { title: String::new(), unit: String::new(), log: false, series: Vec::new(), groups: vec![group] };
    let error = plot::bars(Path::new("never-drawn.svg"), &chart).unwrap_err();
    assert_eq!(error.to_string(), "1 bars for 0 series in \"idle\"");
}

#[test]
fn curves_of_a_day_are_small_and_have_their_axes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curves.svg");
    let curve = |name: &str, height: f64| Curve {
        name: name.to_owned(),
        points: (0..400).map(|i| (f64::from(i), height + f64::from(i % 7))).collect(),
    };
    let axis = |title: &str| Axis { title: title.to_owned(), log: false };
    let chart = Curves {
        title: "Memory".to_owned(),
        x: axis("minutes"),
        y: axis("MiB"),
        series: vec![curve("resident", 48.0), curve("anonymous", 34.0), curve("nothing", f64::NAN)],
    };
    let drawn = |chart: &Curves| {
        plot::curves(&path, chart).unwrap();
        read(&path).1.into_iter().filter(|name| name == "polyline").count()
    };
    let two = Curves { series: chart.series[..2].to_vec(), ..chart.clone() };
    assert_eq!(drawn(&chart), drawn(&two), "what is no number is not drawn");
    plot::curves(&path, &chart).unwrap();
    let (texts, elements) = read(&path);
    for text in ["Memory", "minutes", "MiB", "resident", "0", "400", "60"] {
        assert!(texts.iter().any(|candidate| candidate == text), "no {text:?} in {texts:?}");
    }
    assert_eq!(elements.iter().filter(|name| *name == "circle").count(), 0, "so many points have no marks");
}

#[test]
fn a_chart_that_cannot_be_written_says_which() {
    let chart = Curves {
        title: String::new(),
        x: Axis { title: String::new(), log: true },
        y: Axis { title: String::new(), log: true },
        series: Vec::new(),
    };
    let error = plot::curves(Path::new("/no/such/folder/chart.svg"), &chart).unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot draw /no/such/folder/chart.svg: "), "{error:#}");
}

#[test]
fn a_slope_is_that_of_most_samples() {
    let line: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i), 100.0 + 2.0 * f64::from(i))).collect();
    assert_eq!(slope::slope(&line), Some(2.0));
    let mut with_peaks = line;
    for at in [3, 11, 29] {
        with_peaks[at].1 += 10_000.0;
    }
    let slope = slope::slope(&with_peaks).unwrap();
    assert!((1.9..2.1).contains(&slope), "{slope}");
    assert_eq!(slope::slope(&[(1.0, 5.0)]), None);
}
