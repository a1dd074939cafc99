/* A dynamically linked program: the kernel's part is to load the dynamic linker, which maps the
 * libraries, binds functions lazily and sets up thread-local storage.
 *
 * @only riscv64
 * @cflags -Wl,-Bdynamic -Wl,--dynamic-linker=/lib/ld-linux-riscv64-lp64d.so.1
 * @options -L /usr/riscv64-linux-gnu
 * @expect linked dynamically: 1
 * @expect math: 1.6487
 * @expect thread: 42, errno of its own: 1
 * @expect loaded later: 12.000
 * @expect caught: 1
 */
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>

static void *work(void *argument)
{
    errno = 33;
    return (char *)argument + 2;
}

static sigjmp_buf escape;

static void caught(int signal)
{
    siglongjmp(escape, signal);
}

int main(void)
{
    volatile double half = 0.5;
    pthread_t thread;
    void *value;
    printf("linked dynamically: %d\n", getauxval(AT_BASE) != 0);
    printf("math: %.4f\n", exp(half));
    errno = 0;
    pthread_create(&thread, NULL, work, (void *)40);
    pthread_join(thread, &value);
    printf("thread: %ld, errno of its own: %d\n", (long)value, errno == 0);
    void *library = dlopen("libm.so.6", RTLD_NOW);
    double (*cube_root)(double) = library ? (double (*)(double))dlsym(library, "cbrt") : NULL;
    printf("loaded later: %.3f\n", cube_root ? cube_root(1728) : 0.0);
    signal(SIGSEGV, caught);
    volatile int got = sigsetjmp(escape, 1);
    if (!got)
        *(volatile int *)8 = 1;
    printf("caught: %d\n", got == SIGSEGV);
    return 0;
}
