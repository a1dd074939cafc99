/* What /proc says of the program itself: its own file, arguments and mappings, not the emulator's.
 *
 * @no-qemu the file behind /proc/self/exe is QEMU's own for stat
 */
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char buf[4096];

static void about_itself(const char *name)
{
    char *mine = realpath(name, NULL);
    long len = readlink("/proc/self/exe", buf, sizeof buf - 1);
    buf[len < 0 ? 0 : len] = 0;
    printf("exe %d\n", mine && !strcmp(mine, buf));
    SHOW(readlink("/proc/self/exe", buf, 4));
    struct stat a, b;
    SHOW(stat("/proc/self/exe", &a));
    SHOW(stat(name, &b));
    printf("same file %d\n", a.st_ino == b.st_ino && a.st_size == b.st_size);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    len = read(fd, buf, sizeof buf);
    printf("cmdline %d %d\n", len == (long)strlen(name) + 1, !strcmp(buf, name));
    SHOW(lseek(fd, 0, SEEK_SET));
    close(fd);
    fd = open("/proc/self/exe", O_RDONLY);
    SHOW(read(fd, buf, 4));
    printf("%.3s\n", buf + 1);
    close(fd);
    FILE *maps = fopen("/proc/self/maps", "r");
    int here = 0, stack = 0;
    while (maps && fgets(buf, sizeof buf, maps)) {
        unsigned long from, to;
        if (sscanf(buf, "%lx-%lx", &from, &to) == 2) {
            here |= from <= (unsigned long)about_itself && (unsigned long)about_itself < to;
            stack |= from <= (unsigned long)&from && (unsigned long)&from < to
                     && strstr(buf, "[stack]");
        }
    }
    printf("maps %d %d\n", here, stack);
    char link[64];
    fd = open("/dev/null", O_WRONLY);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    SHOW(readlink(link, buf, sizeof buf));
}

int main(int argc, char **argv)
{
    (void)argc;
    about_itself(argv[0]);
    return 0;
}
