// The smallest ordinary program, for measuring the start-up.
#include <stdio.h>

int main(void)
{
    puts("hello");
    return 0;
}
