//! What the user says to load: `-plugin FILE[,name=value…]`.

use std::ffi::{OsStr, OsString};

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
    #[error("-plugin file= requires a non-empty argument")]
    EmptyFile,
}

/// What `-plugin help` says.
pub const USAGE: &str = "\
-plugin options:
  file=FILE              the plugin's library; FILE alone will do
  NAME=VALUE             an argument for the plugin";

/// Everything there is to load, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specs {
    specs: Vec<Spec>,
    warnings: Vec<String>,
}

impl Specs {
    /// Takes in one option's value. The same path again adds arguments to the plugin that is there.
    pub fn add(&mut self, _option: &OsStr) -> Result<(), SpecError> {
        todo!()
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
