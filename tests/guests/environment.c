/* Prints the environment variables that the arguments name; for -0, its own name.
 *
 * @args HOME NO_SUCH_VARIABLE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = getenv(argv[i]);
        if (!strcmp(argv[i], "-0"))
            printf("argv[0]=%s\n", argv[0]);
        else if (value)
            printf("%s=%s\n", argv[i], value);
        else
            printf("no %s\n", argv[i]);
    }
    return 0;
}
