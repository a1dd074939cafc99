/* Directories: making, listing, changing into, removing them; relative names, links across them,
 * inotify, extended attributes. */
#define _GNU_SOURCE
#include "show.h"
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static char buf[4096];

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void list(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, not_hidden, alphasort);
    printf("%s:", directory);
    for (int i = 0; i < count; i++)
        printf(" %s/%d", entries[i]->d_name, entries[i]->d_type);
    printf("\n");
}

static void names(void)
{
    SHOW(mkdir("one", 0755));
    SHOW(mkdir("one", 0755));
    SHOW(mkdir("one/two", 0700));
    SHOW(mkdir("none/two", 0700));
    int one = open("one", O_RDONLY | O_DIRECTORY);
    SHOW(mkdirat(one, "three", 0700));
    SHOW(close(openat(one, "file", O_CREAT | O_WRONLY, 0600)));
    SHOW(symlinkat("../one", one, "link"));
    SHOW(linkat(one, "file", one, "two/file", 0));
    SHOW(mknodat(one, "pipe", S_IFIFO | 0600, 0));
    list("one");
    list("one/two");
    list("one/link/link/two");
    SHOW(rmdir("one"));
    SHOW(unlinkat(one, "two", 0));
    SHOW(unlinkat(one, "file", AT_REMOVEDIR));
    SHOW(renameat(one, "two", AT_FDCWD, "moved"));
    SHOW(renameat(one, "three", AT_FDCWD, "moved"));
    SHOW(syscall(SYS_renameat2, one, "three", AT_FDCWD, "moved", RENAME_EXCHANGE));
    list(".");
    list("moved");
    list("one/three");
    SHOW(fchdir(one));
    char *cwd = getcwd(buf, sizeof buf);
    printf("%s\n", cwd ? basename(cwd) : "?");
    SHOW(getcwd(buf, 3) == NULL);
    SHOW(chdir("three"));
    SHOW(chdir("../pipe"));
    SHOW(access("file", R_OK));
    SHOW(chdir("../.."));
    close(one);

    /* More entries than fit one call. */
    SHOW(mkdir("many", 0700));
    char name[64];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "many/a-rather-long-name-for-a-file-%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    int many = open("many", O_RDONLY | O_DIRECTORY), count = 0, calls = 0;
    long len;
    while ((len = syscall(SYS_getdents64, many, buf, sizeof buf)) > 0) {
        calls++;
        for (long at = 0; at < len; at += *(unsigned short *)(buf + at + 16))
            count++;
    }
    printf("%d entries, several calls %d\n", count, calls > 1);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "many/a-rather-long-name-for-a-file-%d", i);
        unlink(name);
    }
    close(many);
}

static void watching(void)
{
    int in = inotify_init1(IN_NONBLOCK);
    int watch = inotify_add_watch(in, "many", IN_CREATE | IN_DELETE | IN_CLOSE_WRITE);
    SHOW(watch > 0);
    SHOW(read(in, buf, sizeof buf));
    close(open("many/new", O_CREAT | O_WRONLY, 0600));
    unlink("many/new");
    long len = read(in, buf, sizeof buf);
    for (long at = 0; at < len;) {
        struct inotify_event *event = (void *)(buf + at);
        printf("%x %s %d\n", event->mask, event->name, event->wd == watch);
        at += sizeof *event + event->len;
    }
    SHOW(inotify_rm_watch(in, watch));
    SHOW(inotify_rm_watch(in, 77));
    SHOW(rmdir("many"));
    close(in);
}

static void attributes(void)
{
    close(open("attributed", O_CREAT | O_WRONLY, 0600));
    if (setxattr("attributed", "user.colour", "green", 5, XATTR_CREATE) != 0) {
        /* Not every file system has them. */
        printf("%d\n", errno == ENOTSUP);
    } else {
        printf("%d\n", setxattr("attributed", "user.colour", "red", 3, XATTR_CREATE) == -1);
        printf("%d\n", getxattr("attributed", "user.colour", buf, sizeof buf) == 5);
        printf("%d\n", !memcmp(buf, "green", 5));
        printf("%d\n", listxattr("attributed", buf, sizeof buf) >= 12);
        printf("%d\n", removexattr("attributed", "user.colour") == 0);
        printf("%d\n", getxattr("attributed", "user.colour", buf, sizeof buf) == -1);
    }
    unlink("attributed");
}

int main(void)
{
    char directory[] = "/tmp/hartscope-directories-XXXXXX";
    if (!mkdtemp(directory) || chdir(directory) != 0)
        return 1;
    umask(022);
    names();
    watching();
    attributes();
    SHOW(unlink("one/file"));
    SHOW(unlink("one/link"));
    SHOW(unlink("one/pipe"));
    SHOW(unlink("one/three/file"));
    SHOW(rmdir("one/three"));
    SHOW(rmdir("one"));
    SHOW(rmdir("moved"));
    SHOW(rmdir(directory));
    return 0;
}
