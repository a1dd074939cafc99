/* Says hello, with its arguments and what comes in on standard input.
 *
 * @args
 * @args one two
 * @stdin a line of input
 */
#include <stdio.h>

int main(int argc, char **argv)
{
    char line[80];
    printf("hello, world\n");
    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    if (fgets(line, sizeof line, stdin))
        printf("input: %s", line);
    return argc;
}
