//! Uninstall and reset.

use super::context::{self, Kind};
use super::{Export, export, host, of_plugin};
use crate::callbacks::{Callback, Function, Simple, Userdata};
use crate::misuse::{breach, questionable};
use crate::plugin::PluginId;
use crate::registry::Request;

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
    let installs = context::current()
        .is_some_and(|context| context.kind == Kind::Install && context.plugin.id() == id);
    if installs {
        breach(
            NAME,
            "called by qemu_plugin_install; return a value other than 0 from there instead",
        );
    }
    finish(NAME, id, Request::Uninstall, callback, userdata);
}

/// Ends all subscriptions; `callback` is called when the last callback has returned, and may subscribe
/// anew. Returns at once.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_reset(id: u64, callback: Function, userdata: Userdata) {
    finish(
        "qemu_plugin_reset",
        PluginId(id),
        Request::Reset,
        callback,
        userdata,
    );
}

fn finish(name: &str, id: PluginId, request: Request, callback: Function, userdata: Userdata) {
    let version = of_plugin(name, id);
    if context::current().is_none() {
        questionable(
            name,
            "called on a thread of the plugin's own, whose code may go away under it; call it from a \
             callback",
        );
    }
    // SAFETY: a plugin of this version passes a function of this shape.
    let completion: Option<Simple> =
        callback.map(|callback| unsafe { Callback::of(version, callback, userdata) });
    match host().finish(id, request, completion) {
        Ok(true) => {}
        // It went between the two questions, or is on its way.
        Ok(false) | Err(_) => questionable(
            name,
            "requested before, and not over yet; this request is ignored",
        ),
    }
}
