/* Programs that become other programs.
 *
 * @no-qemu it cannot execute programs for another machine, and its vfork copies memory
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void report(const char *what, pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child)
        printf("%s: lost\n", what);
    else if (WIFEXITED(status))
        printf("%s: exit %d\n", what, WEXITSTATUS(status));
    else
        printf("%s: signal %d\n", what, WTERMSIG(status));
    fflush(stdout);
}

/* What the new program sees. */
static int as_child(int argc, char **argv)
{
    sigset_t mask;
    struct sigaction usr1, usr2, pipe;
    for (int i = 0; i < argc; i++)
        printf("  argv[%d] %s\n", i, argv[i]);
    for (char **entry = environ; *entry; entry++)
        printf("  %s\n", *entry);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    sigaction(SIGUSR1, NULL, &usr1);
    sigaction(SIGUSR2, NULL, &usr2);
    sigaction(SIGPIPE, NULL, &pipe);
    printf("  blocked %d, handled %d, ignored %d, pipe ignored %d\n",
           sigismember(&mask, SIGTERM), usr1.sa_handler != SIG_DFL,
           usr2.sa_handler == SIG_IGN, pipe.sa_handler == SIG_IGN);
    int open = fcntl(17, F_GETFD) != -1, closed = fcntl(18, F_GETFD) != -1;
    printf("  descriptors %d %d\n", open, closed);
    return argc;
}

static void handler(int signal)
{
    (void)signal;
}

static char *args[] = {"another name", "child", "", "three", NULL};
static char *env[] = {"A=1", "B=two words", NULL};

static pid_t fork_and(int (*execute)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execute();
        _exit(100);
    }
    return child;
}

static int by_name(void)
{
    return execve("/proc/self/exe", args, env);
}

static int by_descriptor(void)
{
    return fexecve(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), args, env);
}

static int with_state(void)
{
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGTERM);
    sigprocmask(SIG_BLOCK, &some, NULL);
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    dup2(1, 17);
    dup3(1, 18, O_CLOEXEC);
    return by_name();
}

static int through_script(void)
{
    return execve("script", (char *[]){"ignored", "with", "args", NULL}, env);
}

static int host_program(void)
{
    return execve("/bin/sh", (char *[]){"sh", "-c", "exit $((40 + $A))", NULL}, env);
}

static void errors(void)
{
    static const char *const names[] = {"/no/such/program", "/", "data", "garbage", "script/x"};
    int file = open("data", O_CREAT | O_WRONLY, 0644);
    close(file);
    file = open("garbage", O_CREAT | O_WRONLY, 0755);
    if (write(file, "\177ELF but no more", 16) != 16)
        abort();
    close(file);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int result = execve(names[i], args, env);
        printf("%s: %d %s\n", names[i], result, strerror(errno));
    }
    char *volatile bad = (char *)8;
    int result = execve(bad, args, env);
    printf("bad name: %d %s\n", result, strerror(errno));
    result = execve("/proc/self/exe", (char **)bad, env);
    printf("bad arguments: %d %s\n", result, strerror(errno));
}

static volatile int seen_by_parent;

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return as_child(argc, argv);
    char dir[] = "/tmp/exec-guest-XXXXXX", self[4096];
    if (!mkdtemp(dir) || chdir(dir) != 0 || setenv("A", "1", 1) != 0)
        return 1;
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len < 0)
        return 1;
    self[len] = 0;

    report("by name", fork_and(by_name));
    report("by descriptor", fork_and(by_descriptor));
    report("with state", fork_and(with_state));
    report("program of the host", fork_and(host_program));
    FILE *script = fopen("script", "w");
    fprintf(script, "#!/bin/sh\nexit $#\n");
    fclose(script);
    chmod("script", 0755);
    report("script", fork_and(through_script));
    errors();

    /* Until it is another program, the child is a guest in its parent's memory. */
    pid_t child = vfork();
    if (child == 0) {
        seen_by_parent = 42;
        _exit(5);
    }
    report("vfork", child);
    printf("seen by the parent: %d\n", seen_by_parent);
    child = vfork();
    if (child == 0) {
        execve(self, args, env);
        _exit(6);
    }
    report("vfork and execve", child);

    int error = posix_spawn(&child, "/no/such/program", NULL, NULL, args, env);
    printf("spawn: %s\n", strerror(error));
    error = posix_spawn(&child, self, NULL, NULL, args, env);
    printf("spawn: %s\n", error ? strerror(error) : "ok");
    report("spawn", child);
    printf("system: %d\n", WEXITSTATUS(system("exit 33")));
    fflush(stdout);
    FILE *pipe = popen("echo through a pipe", "r");
    char line[64] = "";
    if (!fgets(line, sizeof line, pipe))
        printf("no line\n");
    printf("%s", line);
    printf("pclose: %d\n", pclose(pipe));

    unlink("script"), unlink("data"), unlink("garbage");
    if (chdir("/") != 0 || rmdir(dir) != 0)
        printf("not empty\n");
    return 0;
}
