/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * glib's arrays without glib's headers.
 *
 * Registers and guest memory are handed over in GArray and GByteArray. Emulator and plugin must use one
 * and the same glib for that, so the library is opened at run time, by the plugins that need it and only
 * when they do; nothing else here knows of glib.
 */
#ifndef PLUGINS_GARRAY_H
#define PLUGINS_GARRAY_H

#include <dlfcn.h>
#include <stdio.h>

#include <qemu-plugin.h>

#ifndef QEMU_PLUGIN_HAS_GLIB
/* The public beginning of both, as documented. */
struct _GArray {
    char *data;
    unsigned int len;
};
struct _GByteArray {
    uint8_t *data;
    unsigned int len;
};
#endif

/* The functions needed of glib. */
static struct {
    GByteArray *(*bytes_new)(void);
    GByteArray *(*bytes_set_size)(GByteArray *array, unsigned int size);
    char *(*array_free)(GArray *array, int free_segment);
} garray;

/* Finds them; complains in the name of `plugin`. Call it from install. */
static inline bool garray_load(const char *plugin)
{
    /* Global, so that the emulator finds the same copy. */
    void *glib = dlopen("libglib-2.0.so.0", RTLD_NOW | RTLD_GLOBAL);
    if (glib != NULL) {
        *(void **)&garray.bytes_new = dlsym(glib, "g_byte_array_new");
        *(void **)&garray.bytes_set_size = dlsym(glib, "g_byte_array_set_size");
        *(void **)&garray.array_free = dlsym(glib, "g_array_free");
    }
    if (garray.bytes_new == NULL || garray.bytes_set_size == NULL || garray.array_free == NULL) {
        fprintf(stderr, "%s: needs libglib-2.0.so.0: %s\n", plugin,
                glib == NULL ? dlerror() : "a function is missing");
        return false;
    }
    return true;
}

#endif
