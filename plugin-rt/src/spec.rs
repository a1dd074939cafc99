//! What the user says to load: `-plugin FILE[,name=value…]`.
//!
//! The value of the option is items between commas; two commas are one that belongs to a value. The
//! first item may be the file alone. `file=` begins another plugin, anywhere; `id=` is of no interest.
//! All else becomes the arguments of the plugin before it. A bare `name` is short for `name=on`, and
//! `noname` for `name=off`; `arg=name=value` is an old way to say `name=value`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A plugin and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The library, as the dynamic linker takes it.
    pub path: OsString,
    /// Its arguments, `name=value` as a rule.
    pub arguments: Vec<OsString>,
}

/// Why there is nothing to load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The user asks for help: [`USAGE`].
    #[error("{USAGE}")]
    Help,
    /// An argument, and no plugin before it.
    #[error("missing earlier '-plugin file=' option")]
    MissingFile,
    /// A plugin without a name.
    #[error("'-plugin file=' requires a non-empty argument")]
    EmptyFile,
}

/// What `-plugin help` says.
pub const USAGE: &str = "\
plugin options:
  file=FILE     the plugin's library; as the first item, FILE alone will do
  NAME=VALUE    an argument for the plugin";

/// Everything there is to load, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specs {
    specs: Vec<Spec>,
    warnings: Vec<String>,
    /// The plugin that arguments are for: a position in `specs`.
    open: Option<usize>,
}

impl Specs {
    /// Takes in one option's value. The same path again adds arguments to the plugin that is there.
    pub fn add(&mut self, option: &OsStr) -> Result<(), SpecError> {
        self.open = None;
        let mut rest = option.as_bytes();
        let mut is_first = true;
        while !rest.is_empty() {
            let item = Item::parse(&mut rest, std::mem::take(&mut is_first));
            if let Some(warning) = item.warning() {
                self.warnings.push(warning);
            }
            self.item(item)?;
        }
        Ok(())
    }

    fn item(&mut self, item: Item) -> Result<(), SpecError> {
        let value = item.value();
        if matches!(value, b"help" | b"?") {
            return Err(SpecError::Help);
        }
        match item.name.as_slice() {
            b"file" if value.is_empty() => Err(SpecError::EmptyFile),
            b"file" => {
                self.begin(OsString::from_vec(value.to_vec()));
                Ok(())
            }
            b"id" => Ok(()),
            b"arg" if !is_bool_word(value) => {
                let (old, new) = (lossy(b"arg=", value), self.argument_of_arg(value));
                let advice = lossy(b"", &new);
                self.warnings.push(format!(
                    "plugin argument '{old}' is deprecated; use '{advice}' instead"
                ));
                self.argument(new)
            }
            name => self.argument([name, b"=", value].concat()),
        }
    }

    /// `arg=name` is `name=on`, `arg=name=value` is `name=value`.
    fn argument_of_arg(&self, value: &[u8]) -> Vec<u8> {
        match value.contains(&b'=') {
            true => value.to_vec(),
            false => [value, b"=on"].concat(),
        }
    }

    fn begin(&mut self, path: OsString) {
        let known = self.specs.iter().position(|spec| spec.path == path);
        self.open = Some(known.unwrap_or_else(|| {
            self.specs.push(Spec {
                path,
                arguments: Vec::new(),
            });
            self.specs.len() - 1
        }));
    }

    fn argument(&mut self, text: Vec<u8>) -> Result<(), SpecError> {
        let open = self.open.ok_or(SpecError::MissingFile)?;
        self.specs[open].arguments.push(OsString::from_vec(text));
        Ok(())
    }

    /// The plugins.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    /// What is understood, but will not be for ever: a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// One item between commas.
struct Item {
    /// Without the `no` of a bare one.
    name: Vec<u8>,
    setting: Setting,
}

enum Setting {
    Value(Vec<u8>),
    /// A bare name, and whether it is an `off`.
    Bare {
        off: bool,
    },
}

impl Item {
    /// Takes the next item off `rest`. The first one may be a file's name alone.
    fn parse(rest: &mut &[u8], is_first: bool) -> Item {
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b','));
        let end = end.unwrap_or(rest.len());
        if rest.get(end) == Some(&b'=') {
            let name = rest[..end].to_vec();
            *rest = &rest[end + 1..];
            return Item {
                name,
                setting: Setting::Value(take_value(rest)),
            };
        }
        if is_first {
            return Item {
                name: b"file".to_vec(),
                setting: Setting::Value(take_value(rest)),
            };
        }
        let bare = &rest[..end];
        *rest = rest.get(end + 1..).unwrap_or_default();
        let (name, off) = match bare.strip_prefix(b"no") {
            Some(name) => (name, true),
            None => (bare, false),
        };
        Item {
            name: name.to_vec(),
            setting: Setting::Bare { off },
        }
    }

    fn value(&self) -> &[u8] {
        match &self.setting {
            Setting::Value(value) => value,
            Setting::Bare { off: true } => b"off",
            Setting::Bare { off: false } => b"on",
        }
    }

    fn warning(&self) -> Option<String> {
        let Setting::Bare { off } = self.setting else {
            return None;
        };
        let name = String::from_utf8_lossy(&self.name);
        let (short, state) = if off { ("no", "off") } else { ("", "on") };
        Some(format!(
            "short-form boolean option '{short}{name}' deprecated; use '{name}={state}' instead"
        ))
    }
}

/// Takes a value off `rest`, and the comma that ends it.
fn take_value(rest: &mut &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        *rest = after;
        if byte == b',' {
            match rest.strip_prefix(b",") {
                Some(after) => *rest = after,
                None => break,
            }
        }
        value.push(byte);
    }
    value
}

fn is_bool_word(text: &[u8]) -> bool {
    matches!(
        text,
        b"on" | b"yes" | b"true" | b"y" | b"off" | b"no" | b"false" | b"n"
    )
}

fn lossy(a: &[u8], b: &[u8]) -> String {
    String::from_utf8_lossy(&[a, b].concat()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Specs, SpecError> {
        let mut specs = Specs::default();
        for option in options {
            specs.add(OsStr::new(option))?;
        }
        Ok(specs)
    }

    /// Each plugin and its arguments, with spaces between.
    fn shown(options: &[&str]) -> Vec<String> {
        let specs = parse(options).unwrap();
        let shown = specs.specs().iter().map(|spec| {
            let parts = std::iter::once(&spec.path).chain(&spec.arguments);
            let parts: Vec<_> = parts.map(|part| part.to_str().unwrap()).collect();
            parts.join(" ")
        });
        shown.collect()
    }

    #[test]
    fn arguments_follow_their_file() {
        assert_eq!(shown(&["a.so"]), ["a.so"]);
        assert_eq!(shown(&["file=a.so,x=1,y=2"]), ["a.so x=1 y=2"]);
        assert_eq!(shown(&["a.so,x=1,file=b.so,x=2"]), ["a.so x=1", "b.so x=2"]);
        assert_eq!(shown(&["a.so,name=,=z,id=7"]), ["a.so name= =z"]);
    }

    #[test]
    fn the_same_path_again_is_the_same_plugin() {
        let options = ["a.so,x=1", "b.so", "a.so,y=2", "./a.so"];
        assert_eq!(shown(&options), ["a.so x=1 y=2", "b.so", "./a.so"]);
    }

    #[test]
    fn two_commas_are_one_of_the_value() {
        assert_eq!(shown(&["a,,b.so,x=1,,2,y=,,"]), ["a,b.so x=1,2 y=,"]);
    }

    #[test]
    fn short_forms_come_with_a_warning() {
        let specs = parse(&["a.so,inline,noidle"]).unwrap();
        assert_eq!(specs.specs()[0].arguments, ["inline=on", "idle=off"]);
        assert_eq!(specs.warnings().len(), 2);
        let specs = parse(&["a.so,arg=x,arg=x=v,arg=on"]).unwrap();
        assert_eq!(specs.specs()[0].arguments, ["x=on", "x=v", "arg=on"]);
        assert_eq!(specs.warnings().len(), 2);
        assert!(parse(&["a.so,x=on"]).unwrap().warnings().is_empty());
    }

    #[test]
    fn what_cannot_be_loaded() {
        assert_eq!(parse(&["x=1"]), Err(SpecError::MissingFile));
        assert_eq!(parse(&["a.so", "x=1"]), Err(SpecError::MissingFile));
        assert_eq!(parse(&["file="]), Err(SpecError::EmptyFile));
        assert_eq!(parse(&["a.so,x=help"]), Err(SpecError::Help));
        assert_eq!(parse(&["?"]), Err(SpecError::Help));
        assert_eq!(parse(&[""]), Ok(Specs::default()));
    }
}
