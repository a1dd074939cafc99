/* Says what can be asked about the program and the emulator. */
#include "any.h"

static void parse(const char *text)
{
    bool value = false, other = true;
    if (qemu_plugin_bool_parse("x", text, &value)) {
        qemu_plugin_bool_parse("x", text, &other);
        say("%s: %s\n", text ? text : "NULL", value == other ? value ? "true" : "false" : "odd");
    } else {
        qemu_plugin_bool_parse("x", text, &other);
        say("%s: no%s\n", text ? text : "NULL", value || !other ? ", and changed" : "");
    }
}

VCPU_CB(on_init)
{
    char *path = (char *)qemu_plugin_path_to_binary();
    say("path %s\n", path);
    free(path);
    say("start %" PRIx64 "\nend %" PRIx64 "\nentry %" PRIx64 "\n", qemu_plugin_start_code(),
        qemu_plugin_end_code(), qemu_plugin_entry_code());
    say("vcpus %d\n", qemu_plugin_num_vcpus());
#if VERSION >= 3
    const void *control = qemu_plugin_request_time_control();
    say("time control %s\n", control ? "given" : "none");
    qemu_plugin_update_ns(control, 1000);
#endif
}

INSTALL
{
    say("%s, versions %d to %d, %s, %d and %d processors\n", info->target_name, info->version.min,
        info->version.cur, info->system_emulation ? "system" : "user", info->system.smp_vcpus,
        info->system.max_vcpus);
    say("id %s, %d arguments%s\n", id ? "there" : "missing", argc, argv ? "" : ", none at all");
    for (int i = 0; i < argc; i++) {
        say("argument %s\n", argv[i]);
    }
    say("vcpus %d\n", qemu_plugin_num_vcpus());
    const char *const words[] = { "on",  "yes", "true", "y", "off", "no", "false",
                                  "n",   "1",   "On",   "",  NULL };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        parse(words[i]);
    }
    ON(qemu_plugin_register_vcpu_init_cb, id, on_init);
    return 0;
}
