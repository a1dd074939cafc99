/* Floating-point flags belong to a thread: signal handlers have them put back, children and new
 * threads begin with a copy. SIGFPE is a signal like any other to a guest whose arithmetic never
 * traps.
 */
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile double one = 1, three = 3, zero, huge = 1e308, tiny = 1e-300;

/* In an order of our own: FE_* differ between machines. */
static const char *flags(void)
{
    static __thread char text[6];
    static const int all[] = { FE_INVALID, FE_DIVBYZERO, FE_OVERFLOW, FE_UNDERFLOW, FE_INEXACT };
    int raised = fetestexcept(FE_ALL_EXCEPT);
    for (int i = 0; i < 5; i++)
        text[i] = raised & all[i] ? "IZOUX"[i] : '-';
    return text;
}

static volatile sig_atomic_t seen;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)context;
    volatile double result = zero / zero;
    (void)result;
    seen = signal == SIGFPE && info->si_code == SI_TKILL ? seen + 1 : -100;
}

static void *thread(void *arg)
{
    volatile double result = huge * huge;
    (void)result;
    *(double *)arg = fetestexcept(FE_OVERFLOW) != 0;
    for (int i = 0; i < 300; i++) {
        feclearexcept(FE_ALL_EXCEPT);
        result = tiny * tiny;
        *(double *)arg += fetestexcept(FE_UNDERFLOW) != 0;
    }
    return NULL;
}

int main(void)
{
    volatile double result = one / three;
    (void)result;
    printf("a third %s\n", flags());

    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGFPE, &action, NULL);
    for (int i = 0; i < 200; i++)
        raise(SIGFPE);
    printf("after %d signals %s\n", (int)seen, flags());

    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGFPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGFPE);
    sigpending(&pending);
    feclearexcept(FE_ALL_EXCEPT);
    result = one / zero;
    printf("blocked: seen %d, pending %d, %s\n", (int)seen, sigismember(&pending, SIGFPE), flags());
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    printf("unblocked: seen %d, %s\n", (int)seen, flags());

    fflush(stdout);
    if (fork() == 0) {
        printf("child %s", flags());
        result = one / three;
        printf(" then %s\n", flags());
        fflush(stdout);
        _exit(0);
    }
    int status;
    wait(&status);
    printf("parent %s\n", flags());

    double count = 0;
    pthread_t other;
    pthread_create(&other, NULL, thread, &count);
    pthread_join(other, NULL);
    printf("thread %g, here %s\n", count, flags());

    fflush(stdout);
    if (fork() == 0) {
        signal(SIGFPE, SIG_IGN);
        raise(SIGFPE);
        printf("ignored\n");
        fflush(stdout);
        signal(SIGFPE, SIG_DFL);
        result = zero / zero;
        printf("still there %s\n", flags());
        fflush(stdout);
        raise(SIGFPE);
        _exit(0);
    }
    wait(&status);
    printf("killed %d by %d\n", WIFSIGNALED(status), WTERMSIG(status));
    return 0;
}
