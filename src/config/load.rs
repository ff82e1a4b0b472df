//! Lays the file over the defaults and the environment over the file, and reads the result setting by setting,
//! so that every mistake is reported and not only the first.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};

use super::environment::{PREFIX, Variable};
use super::explain::{explain, show};
use super::keys::{self, join};
use super::lines::Lines;
use super::problem::{Place, Problem, SettingsError};
use super::{Listener, Settings, check, object_store, warnings};

/// The largest settings file that is read.
const LARGEST: u64 = 1 << 20;
const LISTENERS: &str = "listeners";

/// Settings as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The settings, which make sense.
    pub settings: Settings,
    /// What is allowed but deserves a second thought.
    pub warnings: Vec<Problem>,
}

impl Settings {
    /// The settings of this process: the defaults, under the file if one is named, under the environment.
    ///
    /// Relative paths in the file start from its folder, those in the environment from the working directory.
    ///
    /// # Errors
    /// Says everything that is wrong: a file that cannot be read, is not TOML, or names settings that do not
    /// exist; values of the wrong kind; values that make no sense alone or together.
    pub fn load(file: Option<&Path>) -> Result<Loaded, SettingsError> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self::load_from(file, environment)
    }

    /// The same, with this environment instead of the process's.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_from(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, SettingsError> {
        let mut given = Figment::new();
        let file = file.map(TomlFile::read).transpose()?;
        if let Some(file) = &file {
            given = given.merge(Toml::string(&file.text));
        }
        let mut variables: Vec<Variable> =
            environment.into_iter().filter_map(|(name, value)| Variable::new(name, &value)).collect();
        // The environment has no order of its own; the messages shall have one.
        variables.sort_by(|a, b| a.name().cmp(b.name()));
        for variable in variables {
            given = given.merge(variable);
        }
        Reading { given, file, accepted: Figment::from(Serialized::defaults(Self::default())), problems: Vec::new() }
            .read()
    }
}

/// The settings file as it was read.
#[derive(Debug)]
struct TomlFile {
    path: PathBuf,
    text: String,
    lines: Lines,
}

impl TomlFile {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let whole = |line, fault, remedy: &str| {
            SettingsError::from(Problem {
                place: Place::File(path.to_owned(), line),
                key: String::new(),
                given: None,
                fault,
                remedy: remedy.to_owned(),
            })
        };
        // What a shell puts in its place, such as <(…), is no file; but it has an end.
        let read = || {
            let mut text = String::new();
            File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
            let is_whole = text.len() as u64 <= LARGEST;
            if is_whole { Ok(text) } else { Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB")) }
        };
        let text = read().map_err(|error| {
            whole(
                None,
                format!("the settings file cannot be read ({error})"),
                "name a file that this user can read, or leave --config out to run with the defaults",
            )
        })?;
        let lines = Lines::parse(&text).map_err(|error| {
            whole(error.line, format!("this is not TOML ({})", error.message), "compare with config/dockgate.toml")
        })?;
        Ok(Self { path: path.to_owned(), text, lines })
    }
}

/// What was given, on its way to become settings.
struct Reading {
    given: Figment,
    file: Option<TomlFile>,
    /// The defaults and whatever was given that can be read.
    accepted: Figment,
    problems: Vec<Problem>,
}

impl Reading {
    fn read(mut self) -> Result<Loaded, SettingsError> {
        let given = match self.given.find_value("") {
            Ok(Value::Dict(_, dict)) => dict,
            // Nothing was given at all.
            _ => Dict::new(),
        };
        self.section("", &given, &keys::defaults());
        let mut settings: Settings = match self.accepted.extract() {
            Ok(settings) => settings,
            Err(error) => {
                self.problem("", None, Place::Default, error.to_string(), "correct it");
                return Err(SettingsError::new(self.problems));
            }
        };
        for flaw in check::flaws(&settings) {
            // A setting that could not be read has its default here, which is nobody's mistake.
            if self.problems.iter().any(|problem| problem.key == flaw.key) {
                continue;
            }
            let place = self.place_of(&given, &flaw.key);
            self.problems.push(flaw.at(place));
        }
        if !self.problems.is_empty() {
            return Err(SettingsError::new(self.problems));
        }
        for (key, path) in settings.paths() {
            if let Place::File(file, _) = self.place_of(&given, &key) {
                *path = file.parent().unwrap_or(Path::new("")).join(&path);
            }
        }
        let warnings = warnings::of(&settings)
            .into_iter()
            .map(|flaw| {
                let place = self.place_of(&given, &flaw.key);
                flaw.at(place)
            })
            // In the environment, that is where it belongs.
            .filter(|problem| problem.key != object_store::SECRET_IN_FILE || matches!(problem.place, Place::File(..)))
            .collect();
        Ok(Loaded { settings, warnings })
    }

    fn section(&mut self, prefix: &str, given: &Dict, defaults: &Dict) {
        for (name, value) in given {
            let key = join(prefix, name);
            let place = self.place(&key, value);
            match (defaults.get(name), value) {
                (None, _) => self.unknown(&key, place),
                (Some(Value::Dict(_, defaults)), Value::Dict(_, given)) => {
                    self.section(&key, given, defaults);
                }
                (Some(Value::Dict(_, defaults)), other) => self.not_a_setting(&key, other, place, defaults),
                (Some(_), Value::Array(_, elements)) if key == LISTENERS => {
                    let readable = self.listeners(&key, elements);
                    self.accept(&key, &Value::from(readable));
                }
                (Some(default), value) => self.setting(&key, value, default, place),
            }
        }
    }

    fn setting(&mut self, key: &str, value: &Value, default: &Value, place: Place) {
        match self.accepts(key, value) {
            Ok(()) => self.accept(key, value),
            Err(kind) => {
                let (fault, remedy) = explain(key, &kind);
                self.problem(
                    key,
                    Some(if keys::is_secret(key) { "(secret)".to_owned() } else { show(value) }),
                    place,
                    fault,
                    &format!("{remedy}; the default is {}", show(default)),
                );
            }
        }
    }

    /// The elements of the list of listeners. Those that cannot be read have one in their place that nothing can be said
    /// against, so that the others are checked all the same.
    fn listeners(&mut self, key: &str, elements: &[Value]) -> Vec<Value> {
        let known = keys::of_listener();
        let mut readable = elements.to_vec();
        for (index, element) in elements.iter().enumerate() {
            let before = self.problems.len();
            let path = format!("{key}[{index}]");
            let place = self.place(&path, element);
            if let Some(fields) = element.as_dict() {
                if !fields.contains_key("bind") {
                    self.problem(
                        &format!("{path}.bind"),
                        None,
                        place,
                        "this listener has no address".to_owned(),
                        "give one, such as bind = \"127.0.0.1:1883\"",
                    );
                }
                self.listener(&path, "", fields, &known);
            } else {
                let fault = "a listener is a table".to_owned();
                let remedy = "write { protocol = \"mqtt\", bind = \"127.0.0.1:1883\" }";
                self.problem(&path, Some(show(element)), place, fault, remedy);
            }
            if self.problems.len() > before {
                readable[index] = Value::from(Dict::from([("bind".to_owned(), Value::from("127.0.0.1:0"))]));
            }
        }
        readable
    }

    /// Reads the fields of a listener, or those of its table `section`.
    fn listener(&mut self, listener: &str, section: &str, fields: &Dict, known: &Dict) {
        for (name, value) in fields {
            let field = join(section, name);
            let path = join(listener, &field);
            let place = self.place(&path, value);
            match (known.get(name), value) {
                (None, _) => {
                    let all = keys::paths(&keys::of_listener());
                    let remedy = keys::nearest(&field, all.iter().map(String::as_str)).map_or_else(
                        || format!("it may have {}", all.join(", ")),
                        |meant| format!("did you mean {meant}?"),
                    );
                    self.problem(&path, None, place, "a listener has no such setting".to_owned(), &remedy);
                }
                (Some(Value::Dict(_, known)), Value::Dict(_, fields)) => self.listener(listener, &field, fields, known),
                (Some(Value::Dict(_, known)), other) => self.not_a_setting(&path, other, place, known),
                (Some(_), value) => {
                    // Try this field alone in a listener that is otherwise sound.
                    let alone = Figment::from(Serialized::default("bind", "127.0.0.1:0")).merge((&*field, value));
                    if let Err(error) = alone.extract::<Listener>() {
                        let (fault, remedy) = explain(&path, &error.kind);
                        self.problem(&path, Some(show(value)), place, fault, &remedy);
                    }
                }
            }
        }
    }

    fn not_a_setting(&mut self, key: &str, given: &Value, place: Place, inner: &Dict) {
        let inner: Vec<_> = inner.keys().map(|name| join(key, name)).collect();
        let remedy = format!("give {}", inner.join(", "));
        self.problem(key, Some(show(given)), place, "this is a section, not a setting".to_owned(), &remedy);
    }

    /// Whether the settings can be read with this one value in place of its default.
    fn accepts(&self, key: &str, value: &Value) -> Result<(), Kind> {
        Figment::from(Serialized::defaults(Settings::default()))
            .merge((key, value))
            .extract::<Settings>()
            .map(drop)
            .map_err(|error| error.kind)
    }

    fn accept(&mut self, key: &str, value: &Value) {
        let accepted = std::mem::take(&mut self.accepted);
        self.accepted = accepted.merge((key, value));
    }

    fn unknown(&mut self, key: &str, place: Place) {
        let all = keys::all();
        let sections = keys::defaults();
        let candidates = all.iter().chain(sections.keys()).map(String::as_str);
        let remedy = match keys::nearest(key, candidates) {
            Some(meant) if matches!(place, Place::Environment(_)) => {
                format!("did you mean {} ({meant})?", Variable::of(meant))
            }
            Some(meant) => format!("did you mean {meant}?"),
            None => "config/dockgate.toml lists them all".to_owned(),
        };
        self.problem(key, None, place, "there is no such setting".to_owned(), &remedy);
    }

    fn problem(&mut self, key: &str, given: Option<String>, place: Place, fault: String, remedy: &str) {
        self.problems.push(Problem { place, key: key.to_owned(), given, fault, remedy: remedy.to_owned() });
    }

    /// Where the setting of this path was given, which may be deep in a list.
    fn place_of(&self, given: &Dict, key: &str) -> Place {
        find(given, key).map_or(Place::Default, |value| self.place(key, value))
    }

    fn place(&self, key: &str, value: &Value) -> Place {
        // The tag of a table is that of the layer that named it first; the tag of what is in it is exact.
        let tag = match value {
            Value::Dict(tag, dict) => dict.values().next().map_or(*tag, Value::tag),
            other => other.tag(),
        };
        let layer = self.given.get_metadata(tag).map(|layer| &*layer.name);
        match (layer, &self.file) {
            (Some(name), _) if name.starts_with(PREFIX) => Place::Environment(name.to_owned()),
            (_, Some(file)) => Place::File(file.path.clone(), file.lines.line_of(key)),
            (_, None) => Place::Default,
        }
    }
}

/// The value at a dotted path, or that of the list it is in.
fn find<'a>(given: &'a Dict, key: &str) -> Option<&'a Value> {
    let (head, rest) = key.split_once('.').unwrap_or((key, ""));
    let value = given.get(head.split('[').next()?)?;
    match value {
        Value::Dict(_, inner) if !rest.is_empty() => find(inner, rest),
        _ => Some(value),
    }
}
