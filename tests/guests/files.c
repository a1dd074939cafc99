/* Files: opening, reading and writing in every way, status, permissions, links, locks. */
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[256];

static void reading_and_writing(void)
{
    int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0640);
    SHOW(open("a", O_RDWR | O_CREAT | O_EXCL, 0640));
    SHOW(write(fd, "0123456789", 10));
    SHOW(pwrite(fd, "AB", 2, 4));
    SHOW(lseek(fd, -3, SEEK_END));
    SHOW(read(fd, buf, 100));
    printf("%.3s\n", buf);
    SHOW(pread(fd, buf, 100, 2));
    printf("%.8s\n", buf);
    struct iovec out[] = {{"one ", 4}, {"two ", 4}, {"", 0}, {"three", 5}};
    SHOW(writev(fd, out, 4));
    SHOW(pwritev(fd, out, 2, 1));
    char x[3], y[30];
    struct iovec in[] = {{x, 3}, {y, 30}};
    SHOW(lseek(fd, 0, SEEK_SET));
    memset(y, '.', sizeof y);
    SHOW(readv(fd, in, 2));
    printf("%.3s|%.30s\n", x, y);
    SHOW(preadv(fd, in, 2, 5));
    printf("%.3s|%.10s\n", x, y);
    SHOW(preadv2(fd, in, 2, 1, 0));
    printf("%.3s|%.10s\n", x, y);
    SHOW(syscall(SYS_readv, fd, in, -1));
    SHOW(syscall(SYS_readv, fd, in, 1025));
    SHOW(lseek(fd, -1, SEEK_SET));
    SHOW(lseek(fd, 0, 77));
    SHOW(ftruncate(fd, 5));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(fallocate(fd, 0, 0, 100));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    SHOW(close(fd));
    SHOW(close(fd));
    SHOW(read(fd, buf, 1));
    fd = open("a", O_WRONLY | O_APPEND);
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "end", 3));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(read(fd, buf, 1));
    close(fd);
    SHOW(truncate("a", 7));
    SHOW(open("no such file", O_RDONLY));
    SHOW(open("a/b", O_RDONLY));
    SHOW(open("a", O_RDONLY | O_DIRECTORY));
    SHOW(open(".", O_WRONLY));
}

static void status(void)
{
    struct stat s, t;
    umask(022);
    int fd = open("s", O_RDWR | O_CREAT, 0666);
    SHOW(write(fd, "xyz", 3));
    SHOW(fstat(fd, &s));
    printf("mode %o size %ld links %d own %d\n", s.st_mode, (long)s.st_size, (int)s.st_nlink,
           s.st_uid == getuid() && s.st_gid == getgid());
    SHOW(fchmod(fd, 04711));
    SHOW(link("s", "hard"));
    SHOW(stat("hard", &t));
    printf("mode %o links %d same %d blksize %d\n", t.st_mode, (int)t.st_nlink,
           s.st_ino == t.st_ino && s.st_dev == t.st_dev, (int)t.st_blksize);
    SHOW(symlink("s", "soft"));
    SHOW(lstat("soft", &t));
    printf("mode %o size %ld\n", t.st_mode, (long)t.st_size);
    SHOW(readlink("soft", buf, sizeof buf));
    SHOW(readlink("soft", buf, 0));
    SHOW(readlink("s", buf, sizeof buf));
    struct timespec times[2] = {{1000000000, 123456789}, {2000000000, 987654321}};
    SHOW(utimensat(AT_FDCWD, "soft", times, 0));
    SHOW(fstat(fd, &t));
    printf("%ld.%09ld %ld.%09ld\n", (long)t.st_atim.tv_sec, t.st_atim.tv_nsec,
           (long)t.st_mtim.tv_sec, t.st_mtim.tv_nsec);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = 5;
    times[1].tv_nsec = 6;
    SHOW(futimens(fd, times));
    struct statx x;
    SHOW(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
    printf("%o %ld %ld.%d %ld.%d\n", x.stx_mode, (long)x.stx_size, (long)x.stx_atime.tv_sec,
           x.stx_atime.tv_nsec, (long)x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec);
    SHOW(stat("/dev/null", &t));
    printf("mode %o device %lx\n", t.st_mode & S_IFMT, (long)t.st_rdev);
    struct statfs f;
    SHOW(statfs(".", &f));
    printf("%d %d\n", f.f_bsize > 0, f.f_namelen >= 255);
    SHOW(faccessat(AT_FDCWD, "s", R_OK | W_OK, 0));
    SHOW(faccessat(AT_FDCWD, "nothing", F_OK, AT_EACCESS));
    SHOW(mkfifo("fifo", 0600));
    SHOW(stat("fifo", &t));
    printf("mode %o\n", t.st_mode);
    SHOW(renameat2(AT_FDCWD, "s", AT_FDCWD, "hard", RENAME_NOREPLACE));
    SHOW(rename("soft", "softer"));
    SHOW(unlink("softer"));
    SHOW(unlink("softer"));
    close(fd);
}

static void descriptors(void)
{
    int fd = open("a", O_RDWR);
    int low = dup(fd), high = fcntl(fd, F_DUPFD, 100);
    printf("%d %d\n", low > fd, high >= 100);
    SHOW(fcntl(high, F_GETFD));
    SHOW(fcntl(high, F_SETFD, FD_CLOEXEC));
    SHOW(fcntl(high, F_GETFD));
    SHOW(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    SHOW(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    SHOW(fcntl(low, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    SHOW(dup2(fd, 50));
    SHOW(dup3(fd, 50, O_CLOEXEC));
    SHOW(fcntl(50, F_GETFD));
    SHOW(dup3(fd, fd, 0));
    SHOW(dup2(77, 50));
    SHOW(fcntl(fd, 9999));

    /* A lock of this process, as another one sees it. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
    SHOW(fcntl(fd, F_SETLK, &lock));
    pid_t parent = getpid();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct flock other = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
        SHOW(fcntl(fd, F_GETLK, &other));
        printf("%d %ld %ld %d\n", other.l_type == F_WRLCK, (long)other.l_start, (long)other.l_len,
               other.l_pid == parent);
        other.l_type = F_WRLCK;
        other.l_start = 3;
        other.l_len = 1;
        SHOW(fcntl(fd, F_SETLK, &other));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    int second = open("a", O_RDWR);
    SHOW(flock(second, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, LOCK_UN));
    SHOW(flock(second, LOCK_SH | LOCK_NB));
    SHOW(close_range(40, 200, 0));
    SHOW(fcntl(50, F_GETFD));
    close(fd), close(low), close(second);
}

static void moving_data(void)
{
    int in = open("data", O_RDWR | O_CREAT, 0600), out = open("copy", O_RDWR | O_CREAT, 0600);
    SHOW(write(in, "abcdefghijklmnopqrstuvwxyz", 26));
    off_t at = 3;
    SHOW(sendfile(out, in, &at, 5));
    SHOW(at);
    lseek(in, 20, SEEK_SET);
    SHOW(sendfile(out, in, NULL, 100));
    loff_t from = 10, to = 30;
    SHOW(copy_file_range(in, &from, out, &to, 4, 0));
    printf("%ld %ld\n", (long)from, (long)to);
    SHOW(pread(out, buf, 100, 0));
    for (int i = 0; i < 34; i++)
        putchar(buf[i] ? buf[i] : '_');
    putchar('\n');
    int p[2], q[2];
    SHOW(pipe2(p, O_CLOEXEC));
    SHOW(pipe(q));
    from = 1;
    SHOW(splice(in, &from, p[1], NULL, 6, 0));
    SHOW(from);
    SHOW(tee(p[0], q[1], 4, 0));
    SHOW(read(p[0], buf, 100));
    printf("%.6s\n", buf);
    SHOW(read(q[0], buf, 100));
    printf("%.4s\n", buf);
    struct iovec gift = {"splice me", 9};
    SHOW(vmsplice(p[1], &gift, 1, 0));
    SHOW(read(p[0], buf, 100));
    printf("%.9s\n", buf);
    int m = memfd_create("name", MFD_ALLOW_SEALING);
    SHOW(write(m, "sealed", 6));
    SHOW(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(write(m, "x", 1));
    SHOW(fcntl(m, F_GET_SEALS) == F_SEAL_WRITE);
    close(in), close(out), close(m);
}

int main(void)
{
    char directory[] = "/tmp/hartscope-files-XXXXXX";
    if (!mkdtemp(directory) || chdir(directory) != 0)
        return 1;
    reading_and_writing();
    status();
    descriptors();
    moving_data();
    static const char *const left[] = {"a", "s", "hard", "fifo", "data", "copy"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        SHOW(unlink(left[i]));
    SHOW(rmdir(directory));
    return 0;
}
