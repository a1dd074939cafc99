/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * traps: counts interrupts, exceptions and host calls of each vCPU (interface version 5 and later).
 *
 * A Linux program run by hartscope has an exception for each fault that becomes a signal, and a host
 * call for each system call.
 */
#include "common.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

struct counts {
    uint64_t interrupts;
    uint64_t exceptions;
    uint64_t hostcalls;
};

static struct qemu_plugin_scoreboard *board;

CB_DISCON(diverted)
{
    struct counts *counts = qemu_plugin_scoreboard_find(board, vcpu);
    switch (type) {
    case QEMU_PLUGIN_DISCON_INTERRUPT:
        counts->interrupts++;
        break;
    case QEMU_PLUGIN_DISCON_EXCEPTION:
        counts->exceptions++;
        break;
    case QEMU_PLUGIN_DISCON_HOSTCALL:
        counts->hostcalls++;
        break;
    default:
        break;
    }
}

CB_ATEXIT(report)
{
    keep_all();
    out("VCPU, interrupts, exceptions, hostcalls\n");
    for (int vcpu = 0; vcpu < qemu_plugin_num_vcpus(); vcpu++) {
        const struct counts *counts = qemu_plugin_scoreboard_find(board, (unsigned)vcpu);
        out("%4d, %10" PRIu64 ", %10" PRIu64 ", %10" PRIu64 "\n", vcpu, counts->interrupts,
            counts->exceptions, counts->hostcalls);
    }
}

CB_UNLOAD(unload)
{
    board_free(board);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info UNUSED,
                                           int argc, char **argv)
{
    if (argc > 0) {
        return arg_refused("traps", argv[0]);
    }
    board = qemu_plugin_scoreboard_new(sizeof(struct counts));
    on_discon(id, QEMU_PLUGIN_DISCON_ALL, diverted);
    on_exit_of_guest(id, report);
    return 0;
}
