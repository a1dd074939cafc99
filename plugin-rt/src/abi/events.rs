//! Subscriptions to events.

use super::{Export, export, host, no_plugin, of_plugin};
use crate::abi::context;
use crate::callbacks::{
    Callback, Callbacks, Discon, FromFunction, Function, List, Subscriber, Userdata, Vcpu,
};
use crate::misuse::{breach, questionable};
use crate::plugin::PluginId;

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_register_vcpu_init_cb),
    export!(2 qemu_plugin_register_vcpu_exit_cb),
    export!(2 qemu_plugin_register_vcpu_idle_cb),
    export!(2 qemu_plugin_register_vcpu_resume_cb),
    export!(2 qemu_plugin_register_vcpu_tb_trans_cb),
    export!(5 qemu_plugin_register_vcpu_discon_cb),
    export!(2 qemu_plugin_register_vcpu_syscall_cb),
    export!(6 qemu_plugin_register_vcpu_syscall_filter_cb),
    export!(2 qemu_plugin_register_vcpu_syscall_ret_cb),
    export!(2 qemu_plugin_register_flush_cb),
    export!(2 qemu_plugin_register_atexit_cb),
    export!(2 qemu_plugin_vcpu_for_each),
];

/// Subscribes, or with NULL unsubscribes, the plugin with this id.
fn subscribe<C: Copy>(
    name: &str,
    id: u64,
    event: impl FnOnce(&mut Callbacks) -> &mut List<C>,
    callback: Option<C>,
) {
    if context::current().is_none() {
        questionable(
            name,
            "called on a thread of the plugin's own; it takes effect, but at a time that nobody knows",
        );
    }
    let id = PluginId(id);
    if host().subscribe(id, event, callback).is_err() {
        no_plugin(name, id);
    }
}

/// The callback that a plugin has passed, whose shape follows from its version.
fn passed<I: FromFunction, U: FromFunction>(
    name: &str,
    id: u64,
    function: Function,
    userdata: Userdata,
) -> Option<Callback<I, U>> {
    let version = of_plugin(name, PluginId(id));
    // SAFETY: a plugin of this version passes a function of this shape.
    function.map(|function| unsafe { Callback::of(version, function, userdata) })
}

/// Functions that subscribe to an event by a callback and nothing else.
macro_rules! subscriptions {
    ($($(#[$doc:meta])* $function:ident => $event:ident;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        extern "C" fn $function(id: u64, callback: Function, userdata: Userdata) {
            let name = stringify!($function);
            let callback = passed(name, id, callback, userdata);
            subscribe(name, id, |callbacks| &mut callbacks.$event, callback);
        }
    )*};
}

subscriptions! {
    /// A vCPU begins.
    qemu_plugin_register_vcpu_init_cb => init;
    /// A vCPU ends, and others go on.
    qemu_plugin_register_vcpu_exit_cb => exit;
    /// A vCPU waits for something to do.
    qemu_plugin_register_vcpu_idle_cb => idle;
    /// A vCPU has something to do again.
    qemu_plugin_register_vcpu_resume_cb => resume;
    /// A block is translated.
    qemu_plugin_register_vcpu_tb_trans_cb => tb_trans;
    /// A system call is about to be made.
    qemu_plugin_register_vcpu_syscall_cb => syscall;
    /// Who wants to make a system call in the kernel's stead?
    qemu_plugin_register_vcpu_syscall_filter_cb => filter;
    /// A system call has been made.
    qemu_plugin_register_vcpu_syscall_ret_cb => syscall_ret;
    /// All translations have been dropped.
    qemu_plugin_register_flush_cb => flush;
}

/// Control has gone elsewhere by no instruction, in one of the ways that are bits of `kinds`.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_discon_cb(
    id: u64,
    kinds: i32,
    callback: Function,
    userdata: Userdata,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_discon_cb";
    let callback = passed(NAME, id, callback, userdata);
    let discon = callback.map(|callback| Discon { kinds, callback });
    subscribe(NAME, id, |callbacks| &mut callbacks.discon, discon);
}

/// The program ends. The callback has had userdata in all versions.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_atexit_cb(id: u64, callback: Function, userdata: Userdata) {
    const NAME: &str = "qemu_plugin_register_atexit_cb";
    let version = of_plugin(NAME, PluginId(id));
    // SAFETY: a plugin of this version passes a function of this shape.
    let callback = callback.map(|function| unsafe {
        match version {
            ..=6 => Callback::Id((FromFunction::from_function(function), userdata)),
            7.. => Callback::Userdata(FromFunction::from_function(function), userdata),
        }
    });
    subscribe(NAME, id, |callbacks| &mut callbacks.at_exit, callback);
}

/// Calls `callback` for each vCPU that has begun and not ended, on this thread, before it returns.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_vcpu_for_each(id: u64, callback: Function, userdata: Userdata) {
    const NAME: &str = "qemu_plugin_vcpu_for_each";
    let callback: Option<Vcpu> = passed(NAME, id, callback, userdata);
    let Some(callback) = callback else {
        breach(NAME, "the callback is NULL");
    };
    let Ok(plugin) = host().registry().plugin(PluginId(id)).cloned() else {
        no_plugin(NAME, PluginId(id));
    };
    let subscriber = Subscriber::of(&plugin);
    for index in host().vcpus() {
        callback.call(subscriber, index);
    }
}
