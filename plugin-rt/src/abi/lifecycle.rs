//! Uninstall and reset.

use super::context::{self, Kind};
use super::{Export, export, host, of_plugin};
use crate::callbacks::{Callback, Function, Simple, Userdata};
use crate::misuse::{breach, questionable};
use crate::plugin::PluginId;
use crate::registry::{Completion, Request};

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_uninstall),
    export!(2 qemu_plugin_reset),
];

/// Ends the plugin: it is called no more, `callback` is when its last callback has returned, and then
/// its library is closed. Returns at once.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_uninstall(id: u64, callback: Function, userdata: Userdata) {
    const NAME: &str = "qemu_plugin_uninstall";
    let id = PluginId(id);
    if installs(id) {
        breach(
            NAME,
            "called by qemu_plugin_install; return a value other than 0 from there instead",
        );
    }
    let completion = completion(NAME, id, callback, userdata);
    finish(NAME, id, Request::Uninstall, completion);
}

/// Ends all subscriptions; `callback` is called when the last callback has returned, and may subscribe
/// anew. Returns at once. Inside `qemu_plugin_install` there are no callbacks to wait for.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_reset(id: u64, callback: Function, userdata: Userdata) {
    const NAME: &str = "qemu_plugin_reset";
    let id = PluginId(id);
    let completion = completion(NAME, id, callback, userdata);
    if installs(id) && host().start_over(id) == Ok(true) {
        if let Some(completion) = completion {
            completion.call(id);
        }
        return;
    }
    finish(NAME, id, Request::Reset, completion);
}

/// Whether the plugin's `qemu_plugin_install` is running on this thread.
fn installs(id: PluginId) -> bool {
    context::current()
        .is_some_and(|context| context.kind == Kind::Install && context.plugin.id() == id)
}

fn completion(name: &str, id: PluginId, callback: Function, data: Userdata) -> Option<Simple> {
    let version = of_plugin(name, id);
    // SAFETY: a plugin of this version passes a function of this shape.
    callback.map(|callback| unsafe { Callback::of(version, callback, data) })
}

fn finish(name: &str, id: PluginId, request: Request, completion: Option<Simple>) {
    if context::current().is_none() {
        questionable(
            name,
            "called on a thread of the plugin's own, whose code may go away under it; call it from a \
             callback",
        );
    }
    let granted = host().finish(id, request, Completion::Plugin(completion));
    if granted.is_err() {
        questionable(
            name,
            "requested before, and not over yet; this request is ignored",
        );
    }
}
