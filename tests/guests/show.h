/* What the guests about system calls print with: results and names of errors, no numbers that differ
 * from machine to machine. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Prints an expression with its result, or with the name of the error. */
#define SHOW(call)                                                                                 \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long result_ = (long)(call);                                                               \
        if (result_ == -1)                                                                         \
            printf("%s: %s\n", #call, strerrorname_np(errno));                                     \
        else                                                                                       \
            printf("%s: %ld\n", #call, result_);                                                   \
    } while (0)

/* The same where the number says nothing. */
#define WORKS(call)                                                                                \
    do {                                                                                           \
        errno = 0;                                                                                 \
        int works_ = (long)(call) >= 0;                                                            \
        printf("%s: %s\n", #call, works_ ? "works" : strerrorname_np(errno));                      \
    } while (0)
