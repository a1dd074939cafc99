/*
 * Counts blocks, and leaves something behind each time it goes, where others can see it.
 *
 *   leave=memory    64 KiB
 *   leave=file      an open file
 *   leave=library   its library
 *   leave=thread    a thread that goes on in its library
 *   leave=nothing
 */
#define _GNU_SOURCE
#include "any.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_ulong blocks;
/* What stays must not look as if it could be left out. */
static void *volatile kept;

static void on_block(unsigned int vcpu, void *userdata)
{
    blocks++;
}

TRANS_CB(on_translation)
{
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

static void *go_on(void *unused)
{
    for (;;) {
        usleep(1000);
        blocks++;
    }
    return unused;
}

static bool leave(const char *what)
{
    pthread_t thread;
    Dl_info own;
    if (strcmp(what, "memory") == 0) {
        kept = memset(malloc(64 << 10), 1, 64 << 10);
    } else if (strcmp(what, "file") == 0) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0;
    } else if (strcmp(what, "library") == 0) {
        return dladdr(&blocks, &own) != 0 && dlopen(own.dli_fname, RTLD_NOW | RTLD_NODELETE) != NULL;
    } else if (strcmp(what, "thread") == 0) {
        return pthread_create(&thread, NULL, go_on, NULL) == 0;
    }
    return true;
}

INSTALL
{
    const char *what = argument(argc, argv, "leave");
    ON(qemu_plugin_register_vcpu_tb_trans_cb, id, on_translation);
    return what != NULL && leave(what) ? 0 : -1;
}
