/* Signals that kill although there is a handler, or that somebody wants ignored; and handlers that
 * change what they return to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile char *volatile nowhere;
static volatile int endless = 1;

static void survive(int signal)
{
    (void)signal;
    _exit(50);
}

static void set(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    if (sigaction(signal, &action, NULL) != 0)
        _exit(51);
}

static void block(int signal)
{
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, signal);
    sigprocmask(SIG_BLOCK, &some, NULL);
}

static void fault_with_handler(void)
{
    set(SIGSEGV, survive, 0);
    *nowhere = 1;
}

static void fault_while_blocked(void)
{
    set(SIGSEGV, survive, 0);
    block(SIGSEGV);
    *nowhere = 1;
}

static void fault_while_ignored(void)
{
    set(SIGSEGV, SIG_IGN, 0);
    *nowhere = 1;
}

static void fault_in_handler(int signal)
{
    (void)signal;
    *nowhere = 1;
}

static void fault_in_its_handler(void)
{
    set(SIGSEGV, fault_in_handler, 0);
    *nowhere = 1;
}

static void fault_in_other_handler(void)
{
    set(SIGUSR1, fault_in_handler, 0);
    set(SIGSEGV, survive, 0);
    raise(SIGUSR1);
}

static int recurse(volatile char *above)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return endless ? recurse(frame) + frame[0] + above[0] : 0;
}

static void overflow_without_stack(void)
{
    volatile char start = 0;
    set(SIGSEGV, survive, 0);
    recurse(&start);
}

static void alternate_stack_is_gone(void)
{
    stack_t stack = {.ss_size = 65536};
    stack.ss_sp = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&stack, NULL);
    set(SIGUSR1, survive, SA_ONSTACK);
    raise(SIGUSR1);
}

/* The frame has no room, but SIGSEGV has a handler with another stack. */
static void other_stack_helps(void)
{
    stack_t stack = {.ss_size = 65536, .ss_sp = malloc(65536)};
    volatile char start = 0;
    sigaltstack(&stack, NULL);
    set(SIGSEGV, survive, SA_ONSTACK);
    recurse(&start);
}

static void ignored_signals(void)
{
    set(SIGTERM, SIG_IGN, 0);
    raise(SIGTERM);
    raise(SIGCHLD);
    raise(SIGURG);
    raise(SIGWINCH);
    raise(SIGCONT);
    _exit(52);
}

static void blocked_then_default(void)
{
    sigset_t none;
    sigemptyset(&none);
    block(SIGHUP);
    raise(SIGHUP);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void reset_after_first(void)
{
    set(SIGUSR1, SIG_IGN, 0);
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

static void real_time_default(void)
{
    raise(SIGRTMIN + 3);
}

static void stopped(void)
{
    raise(SIGSTOP);
    _exit(53);
}

static void kill_cannot_be_handled(void)
{
    struct sigaction action = {.sa_handler = survive};
    int kill_refused = sigaction(SIGKILL, &action, NULL) == -1 && errno == EINVAL;
    int stop_refused = sigaction(SIGSTOP, &action, NULL) == -1 && errno == EINVAL;
    sigset_t all, now;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigprocmask(SIG_SETMASK, NULL, &now);
    _exit(kill_refused && stop_refused && !sigismember(&now, SIGKILL) &&
                  !sigismember(&now, SIGSTOP) && sigismember(&now, SIGSEGV) &&
                  sigismember(&now, SIGTERM)
              ? 54
              : 55);
}

/* A handler decides what is blocked after it. */
static void block_more(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

static void mask_from_context(void)
{
    struct sigaction action = {.sa_sigaction = block_more, .sa_flags = SA_SIGINFO};
    sigset_t now;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    raise(SIGUSR2);
    _exit(sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1) ? 56 : 57);
}

static void no_message(void)
{
    /* Emulators and shells say different things about a death. */
    if (!freopen("/dev/null", "w", stderr))
        _exit(58);
}

static void report(const char *what, void (*child)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        no_message();
        child();
        _exit(0);
    }
    waitpid(pid, &status, WUNTRACED);
    if (WIFSTOPPED(status)) {
        printf("%s: stopped by %d\n", what, WSTOPSIG(status));
        kill(pid, SIGCONT);
        waitpid(pid, &status, 0);
    }
    if (WIFEXITED(status))
        printf("%s: exit %d\n", what, WEXITSTATUS(status));
    else
        printf("%s: signal %d\n", what, WTERMSIG(status));
}

int main(void)
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    report("fault with a handler", fault_with_handler);
    report("fault while blocked", fault_while_blocked);
    report("fault while ignored", fault_while_ignored);
    report("fault in its own handler", fault_in_its_handler);
    report("fault in another handler", fault_in_other_handler);
    report("overflow without another stack", overflow_without_stack);
    report("the other stack is gone", alternate_stack_is_gone);
    report("another stack helps", other_stack_helps);
    report("ignored signals", ignored_signals);
    report("default after being blocked", blocked_then_default);
    report("default again", reset_after_first);
    report("real-time default", real_time_default);
    report("stopped and continued", stopped);
    report("not to be handled", kill_cannot_be_handled);
    report("the handler changes the mask", mask_from_context);
    return 0;
}
