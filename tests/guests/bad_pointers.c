/* Bad pointers, given to the kernel: NULL, wild ones, protected and missing memory, memory that ends
 * in the middle of a buffer. Each is EFAULT where Linux finds it, and never more.
 *
 * @no-qemu it looks at pointers first, and does nothing by halves
 */
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char buf[256];

static void others(int fd, void *bad)
{
    int one = 1, s[2], epoll = epoll_create1(0);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, bad));
    SHOW(syscall(SYS_ppoll, bad, 1, NULL, NULL, 8));
    SHOW(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, s[0], bad));
    SHOW(syscall(SYS_getrandom, bad, 8, 0));
    SHOW(syscall(SYS_bind, s[0], bad, 16));
    SHOW(syscall(SYS_getsockname, s[0], bad, bad));
    SHOW(syscall(SYS_setsockopt, s[0], SOL_SOCKET, SO_REUSEADDR, bad, 4));
    SHOW(syscall(SYS_getsockopt, s[0], SOL_SOCKET, SO_TYPE, &one, bad));
    SHOW(syscall(SYS_sendmsg, s[0], bad, 0));
    struct msghdr head = {.msg_iov = bad, .msg_iovlen = 1};
    SHOW(syscall(SYS_recvmsg, s[0], &head, MSG_DONTWAIT));
    SHOW(syscall(SYS_sysinfo, bad));
    SHOW(syscall(SYS_prlimit64, 0, 7, NULL, bad));
    SHOW(syscall(SYS_fcntl, fd, F_GETLK, bad));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, bad, 8) == 0 || errno == EFAULT);
    SHOW(syscall(SYS_sendto, s[0], bad, 8, 0, NULL, 0));
    close(s[0]), close(s[1]), close(epoll);
}

static void bad_pointers(void)
{
    int fd = open("data", O_RDWR), p[2];
    SHOW(pipe(p));
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *bad[] = {NULL, (void *)16, (void *)-4096, (void *)(1L << 62), none, only};
    for (int i = 0; i < 6; i++) {
        printf("bad pointer %d\n", i);
        lseek(fd, 0, SEEK_SET);
        SHOW(syscall(SYS_read, fd, bad[i], 8));
        SHOW(syscall(SYS_newfstatat, AT_FDCWD, "data", bad[i], 0));
        SHOW(syscall(SYS_fstat, fd, bad[i]));
        SHOW(syscall(SYS_getcwd, bad[i], 100));
        SHOW(syscall(SYS_pipe2, bad[i], 0));
        SHOW(syscall(SYS_uname, bad[i]));
        SHOW(syscall(SYS_getdents64, open(".", O_RDONLY), bad[i], 1000));
        SHOW(syscall(SYS_readv, fd, bad[i], i == 5 ? 0 : 1));
        struct iovec v[2] = {{buf, 4}, {bad[i], 4}};
        SHOW(syscall(SYS_readv, fd, v, 2));
        if (i < 5) {
            SHOW(syscall(SYS_write, p[1], bad[i], 8));
            SHOW(syscall(SYS_openat, AT_FDCWD, bad[i], O_RDONLY));
            SHOW(syscall(SYS_writev, p[1], bad[i], 2));
        }
        if (i != 0 && i != 5)
            others(fd, bad[i]);
        /* A bad descriptor is found before the bad pointer. */
        SHOW(syscall(SYS_write, -1, bad[i], 8));
    }
    /* Memory that ends in the middle of the buffer. */
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 4096, 4096);
    lseek(fd, 0, SEEK_SET);
    SHOW(read(fd, two + 4090, 26));
    printf("%.6s\n", two + 4090);
    memcpy(two + 4092, "data", 4);
    SHOW(open(two + 4092, O_RDONLY));
    memcpy(two + 4091, "data", 5);
    WORKS(open(two + 4091, O_RDONLY));
    char *name = malloc(5000);
    memset(name, 'n', 4999);
    name[4999] = 0;
    SHOW(open(name, O_RDONLY));
}

int main(void)
{
    char directory[] = "/tmp/hartscope-pointers-XXXXXX";
    if (!mkdtemp(directory) || chdir(directory) != 0)
        return 1;
    int fd = open("data", O_RDWR | O_CREAT, 0600);
    SHOW(write(fd, "abcdefghijklmnopqrstuvwxyz", 26));
    close(fd);
    bad_pointers();
    SHOW(unlink("data"));
    SHOW(rmdir(directory));
    return 0;
}
