/* Code that the kernel writes: read, received and read in pieces into a page that has run before, and
 * a page of which the kernel writes a part while the rest goes on running. A translator that
 * write-protects code must not let the kernel stumble over it.
 *
 * @only riscv64
 */
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { RET = 0x8067 };

static uint32_t *page;

/* li a0, value; ret */
static void function(uint32_t code[2], int value)
{
    code[0] = value << 20 | 0x513;
    code[1] = RET;
}

static int call(void)
{
    __builtin___clear_cache((char *)page, (char *)page + 8);
    return ((int (*)(void))page)();
}

int main(void)
{
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t code[2];
    function(page, 1);
    SHOW(call());
    int p[2], s[2], file = memfd_create("code", 0);
    SHOW(pipe(p));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    for (int round = 0; round < 3; round++) {
        function(code, 100 + round);
        SHOW(write(p[1], code, 8));
        SHOW(read(p[0], page, 8));
        SHOW(call());
        function(code, 200 + round);
        SHOW(pwrite(file, code, 8, 0));
        SHOW(pread(file, page, 8, 0));
        SHOW(call());
        function(code, 300 + round);
        SHOW(send(s[0], code, 8, 0));
        SHOW(recv(s[1], page, 8, MSG_WAITALL));
        SHOW(call());
        function(code, 400 + round);
        struct iovec pieces[] = {{page, 4}, {page + 1, 4}};
        SHOW(pwrite(file, code, 8, 0));
        SHOW(preadv(file, pieces, 2, 0));
        SHOW(call());
        function(code, 500 + round);
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
        SHOW(send(s[0], code, 8, 0));
        SHOW(recvmsg(s[1], &message, 0));
        SHOW(call());

        /* Data beside the code. */
        void *data = page + 512;
        SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, data));
        SHOW(call());
        SHOW(syscall(SYS_fstat, p[0], data));
        SHOW(call());
        SHOW(fcntl(file, F_GETLK, memset(data, 0, sizeof(struct flock))) == 0);
        SHOW(call());
        struct pollfd *fd = data;
        *fd = (struct pollfd){p[1], POLLOUT, 0};
        SHOW(call());
        SHOW(poll(fd, 1, 0));
        SHOW(call());
        SHOW(syscall(SYS_getcwd, data, 1000) > 0);
        SHOW(call());
        SHOW(pipe2(data, 0));
        SHOW(call());
    }
    return 0;
}
