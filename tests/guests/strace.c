/* Makes system calls of many kinds, for the test of --strace, which knows what each must look like.
 * With an argument: so many threads make calls at once.
 *
 * @args
 * @args 4
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buf[200];

static void on_signal(int number)
{
    (void)number;
}

static void *caller(void *unused)
{
    for (int i = 0; i < 200; i++)
        syscall(SYS_getppid);
    return unused;
}

static int threads(int count)
{
    pthread_t all[count];
    for (int i = 0; i < count; i++)
        pthread_create(&all[i], NULL, caller, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(all[i], NULL);
    puts("done");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return threads(atoi(argv[1]));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup3(null, 20, O_CLOEXEC);
    open("/no/such/file", O_RDONLY);
    open("/dev/null", O_WRONLY | O_CREAT, 0644);
    syscall(SYS_write, 20, "tab\t, quote\", end\n", 18);
    syscall(SYS_write, 20, "forty letters are more than what is shown", 40);
    syscall(SYS_write, 20, "\0001\177\xff", 4);
    syscall(SYS_write, 20, (void *)16, 4);
    syscall(SYS_write, 99, "x", 1);
    struct stat status;
    stat("/dev/null", &status);
    lseek(20, 5, SEEK_CUR);
    int p[2];
    syscall(SYS_pipe2, p, O_NONBLOCK);
    struct pollfd fds[] = {{20, POLLIN | POLLOUT, 0}};
    struct timespec none = {0, 0}, some = {0, 5000};
    ppoll(fds, 1, &none, NULL);
    fds[0].events = 0;
    fds[0].fd = -1;
    ppoll(fds, 1, &some, NULL);
    struct iovec parts[] = {{"one", 3}, {"two!", 4}};
    writev(20, parts, 2);
    nanosleep(&some, NULL);
    fcntl(20, F_GETFL);
    fcntl(20, F_SETFD, 0);
    ioctl(20, TIOCGWINSZ, buf);
    ioctl(20, 0x40087aaa, buf);
    struct sockaddr_un address = {AF_UNIX, "/no/such/socket"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(s, (void *)&address, sizeof address);
    int on = 1;
    setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    struct utsname name;
    uname(&name);
    prctl(PR_SET_NAME, "traced");
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory, 4096, PROT_NONE);
    munmap(memory, 8192);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    syscall(480, 1, 2);
    off_t at = 0;
    int in = open("/proc/self/cmdline", O_RDONLY);
    sendfile(20, in, &at, 3);
    if (fork() == 0) {
        /* What the guest does with its own descriptors does not concern the log. */
        close_range(2, 100000, 0);
        _exit(7);
    }
    wait(NULL);
    puts("done");
    fflush(stdout);
    _exit(3);
}
