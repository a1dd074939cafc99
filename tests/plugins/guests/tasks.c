/*
 * For each byte that it reads, says how many threads it has: as entries of its directory, and by what
 * `status` and `stat` say; the directory is read with a small buffer, too. There are three threads.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *rest(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

static int entries(void)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    while (directory && (entry = readdir(directory))) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count;
}

/* The same, an entry at a time. */
static int single_entries(void)
{
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY), count = 0;
    char buffer[32];
    long len;

    while ((len = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        count += buffer[19] != '.';
    }
    close(fd);
    return count;
}

static int in_status(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    int count = 0;

    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "Threads: %d", &count);
    }
    fclose(file);
    return count;
}

static int in_stat(void)
{
    FILE *file = fopen("/proc/self/stat", "r");
    char text[1024];
    int count = 0, field = 3;
    size_t len = fread(text, 1, sizeof text - 1, file);
    char *at;

    text[len] = 0;
    for (at = strrchr(text, ')') + 2; field < 20; field++) {
        at = strchr(at, ' ') + 1;
    }
    sscanf(at, "%d", &count);
    fclose(file);
    return count;
}

int main(void)
{
    pthread_t thread;
    char byte, own[64];

    for (int i = 0; i < 2; i++) {
        if (pthread_create(&thread, NULL, rest, NULL)) {
            return 1;
        }
    }
    snprintf(own, sizeof own, "/proc/%d/task/%d/status", getpid(), getpid());
    while (read(0, &byte, 1) == 1) {
        printf("%d %d %d %d %d\n", entries(), single_entries(), in_status("/proc/self/status"),
               in_status(own), in_stat());
        fflush(stdout);
    }
    return 7;
}
