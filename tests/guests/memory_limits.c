/* Limits on memory are remembered for the guest and do not hurt the emulator.
 *
 * @no-qemu it forgets them
 */
#define _GNU_SOURCE
#include "show.h"
#include <stdlib.h>
#include <sys/resource.h>

int main(void)
{
    struct rlimit limit, old;
    SHOW(getrlimit(RLIMIT_AS, &limit));
    limit.rlim_cur = 512 << 20;
    SHOW(setrlimit(RLIMIT_AS, &limit));
    SHOW(getrlimit(RLIMIT_AS, &old));
    SHOW(old.rlim_cur);
    void *some = malloc(1 << 20);
    SHOW(some != NULL);
    SHOW(getrlimit(999, &old));
    limit = (struct rlimit){2, 1};
    SHOW(setrlimit(RLIMIT_STACK, &limit));
    return 0;
}
