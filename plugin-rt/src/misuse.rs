//! Plugins that break the rules are told so, in one line that names them.
//!
//! Where QEMU gives up, so does Hartscope ([`breach`]). What QEMU lets pass has a harmless outcome
//! here, and is named only if the user asks for it ([`questionable`], `--check-plugins`).

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use epoch::sync::Mutex;

use crate::abi::context;
use crate::plugin::Plugin;
use crate::runtime::Runtime;

/// What has been said already, if it need not be said twice.
#[derive(Default)]
pub(crate) struct Named(Mutex<BTreeSet<String>>);

/// A rule is broken for which there is no way on: says what and what to do, and aborts.
#[cold]
pub(crate) fn breach(function: &str, what: impl Display) -> ! {
    say(&line(caller().as_deref(), function, &what));
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}

/// A rule is broken, with a harmless outcome: says so, once, if that is wanted.
#[cold]
pub(crate) fn questionable(function: &str, what: impl Display) {
    let Some(runtime) = Runtime::global() else {
        return;
    };
    if !runtime.config().check {
        return;
    }
    let line = line(caller().as_deref(), function, &what);
    if runtime.named().0.lock().insert(line.clone()) {
        say(&line);
    }
}

/// Whether the user wants to be told of every misuse: then nothing is done without calling.
pub(crate) fn is_checked() -> bool {
    Runtime::global().is_some_and(|runtime| runtime.config().check)
}

fn caller() -> Option<context::Running> {
    context::current().map(|context| context.plugin)
}

fn line(plugin: Option<&Plugin>, function: &str, what: &dyn Display) -> String {
    struct Name<'a>(Option<&'a Plugin>);
    impl Display for Name<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                Some(plugin) => write!(f, "plugin {}", plugin.name()),
                None => f.write_str("a plugin, outside of its callbacks"),
            }
        }
    }
    format!("hartscope: {}: {function}: {what}\n", Name(plugin))
}

/// Standard error is written in one piece; it may be closed.
fn say(line: &str) {
    // SAFETY: the text is as long as that.
    let _ = unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}
