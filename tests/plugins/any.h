/*
 * What the test plugins share: one source for every version of the interface, and a log.
 *
 * Callbacks are defined and registered with the macros below; they get no userdata from events, as
 * only version 7 has it.
 */
#ifndef ANY_H
#define ANY_H

#include <qemu-plugin.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION QEMU_PLUGIN_API_VERSION

QEMU_PLUGIN_EXPORT int qemu_plugin_version = VERSION;

#if VERSION < 7
#define SIMPLE_CB(name) static void name(qemu_plugin_id_t cb_id)
#define ATEXIT_CB(name) static void name(qemu_plugin_id_t cb_id, void *userdata)
#define VCPU_CB(name) static void name(qemu_plugin_id_t cb_id, unsigned int vcpu)
#define TRANS_CB(name) static void name(qemu_plugin_id_t cb_id, struct qemu_plugin_tb *tb)
#define SYSCALL_CB(name)                                                                           \
    static void name(qemu_plugin_id_t cb_id, unsigned int vcpu, int64_t num, uint64_t a1,         \
                     uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,             \
                     uint64_t a7, uint64_t a8)
#define SYSRET_CB(name)                                                                            \
    static void name(qemu_plugin_id_t cb_id, unsigned int vcpu, int64_t num, int64_t ret)
#define DISCON_CB(name)                                                                            \
    static void name(qemu_plugin_id_t cb_id, unsigned int vcpu, enum qemu_plugin_discon_type type, \
                     uint64_t from, uint64_t to)
#define FILTER_CB(name)                                                                            \
    static bool name(qemu_plugin_id_t cb_id, unsigned int vcpu, int64_t num, uint64_t a1,         \
                     uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6,             \
                     uint64_t a7, uint64_t a8, uint64_t *sysret)
/* Registers an event, or whatever else takes an id and a callback. */
#define ON(function, id, cb) function((id), (cb))
#define ON_DISCON(id, types, cb) qemu_plugin_register_vcpu_discon_cb((id), (types), (cb))
#else
#define SIMPLE_CB(name) static void name(void *userdata)
#define ATEXIT_CB(name) static void name(void *userdata)
#define VCPU_CB(name) static void name(unsigned int vcpu, void *userdata)
#define TRANS_CB(name) static void name(struct qemu_plugin_tb *tb, void *userdata)
#define SYSCALL_CB(name)                                                                           \
    static void name(unsigned int vcpu, int64_t num, uint64_t a1, uint64_t a2, uint64_t a3,       \
                     uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8,             \
                     void *userdata)
#define SYSRET_CB(name)                                                                            \
    static void name(unsigned int vcpu, int64_t num, int64_t ret, void *userdata)
#define DISCON_CB(name)                                                                            \
    static void name(unsigned int vcpu, enum qemu_plugin_discon_type type, uint64_t from,         \
                     uint64_t to, void *userdata)
#define FILTER_CB(name)                                                                            \
    static bool name(unsigned int vcpu, int64_t num, uint64_t a1, uint64_t a2, uint64_t a3,       \
                     uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8,             \
                     int64_t *sysret, void *userdata)
#define ON(function, id, cb) function((id), (cb), NULL)
#define ON_DISCON(id, types, cb) qemu_plugin_register_vcpu_discon_cb((id), (types), (cb), NULL)
#endif

#define INSTALL                                                                                    \
    QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,      \
                                               int argc, char **argv)

/* Writes a piece of the log (-d plugin). */
__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    qemu_plugin_outs(text);
}

/* The value of the argument of that name, or NULL. */
__attribute__((unused)) static const char *argument(int argc, char **argv, const char *name)
{
    size_t len = strlen(name);
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=') {
            return argv[i] + len + 1;
        }
    }
    return NULL;
}

__attribute__((unused)) static uint64_t number(int argc, char **argv, const char *name,
                                               uint64_t otherwise)
{
    const char *value = argument(argc, argv, name);
    return value ? strtoull(value, NULL, 0) : otherwise;
}

#ifndef QEMU_PLUGIN_HAS_GLIB
/* glib's own, by its binary interface: no header of it need be there. */
struct _GArray {
    char *data;
    unsigned int len;
};
struct _GByteArray {
    uint8_t *data;
    unsigned int len;
};
GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_append(GByteArray *array, const uint8_t *data, unsigned int len);
GByteArray *g_byte_array_set_size(GByteArray *array, unsigned int len);
uint8_t *g_byte_array_free(GByteArray *array, int free_segment);
char *g_array_free(GArray *array, int free_segment);
void g_free(void *memory);
#endif

#endif
