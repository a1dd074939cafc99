/* Sockets: streams and datagrams, over Unix and Internet addresses, with names, options, messages in
 * pieces, descriptors and credentials in messages, several messages at once. */
#define _GNU_SOURCE
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static char buf[256];

static void *echo(void *listener)
{
    int fd = accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC);
    char data[64];
    long len;
    while ((len = recv(fd, data, sizeof data, 0)) > 0)
        for (long done = 0; done < len;)
            done += send(fd, data + done, len - done, MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void stream(int family, struct sockaddr *address, socklen_t len)
{
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    SHOW(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    SHOW(bind(listener, address, len));
    SHOW(listen(listener, 4));
    socklen_t room = len;
    SHOW(getsockname(listener, address, &room));
    printf("%d %d\n", address->sa_family == family, room <= len);
    pthread_t server;
    pthread_create(&server, NULL, echo, &listener);
    int fd = socket(family, SOCK_STREAM, 0);
    SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
    SHOW(connect(fd, address, room));
    SHOW(connect(fd, address, room));
    struct sockaddr_storage peer;
    room = sizeof peer;
    SHOW(getpeername(fd, (void *)&peer, &room));
    printf("%d\n", peer.ss_family == family);
    SHOW(send(fd, "hello, world", 12, 0));
    SHOW(recv(fd, buf, 12, MSG_WAITALL | MSG_PEEK));
    struct iovec pieces[] = {{buf + 100, 5}, {buf, 90}};
    SHOW(readv(fd, pieces, 2));
    printf("%.5s|%.7s\n", buf + 100, buf);
    SHOW(recv(fd, buf, 10, MSG_DONTWAIT));
    SHOW(shutdown(fd, SHUT_WR));
    SHOW(recv(fd, buf, 10, 0));
    pthread_join(server, NULL);
    close(fd), close(listener);
}

static void options(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), value = 1;
    socklen_t len = sizeof value;
    SHOW(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
    printf("%d %d\n", value == SOCK_STREAM, len);
    value = 1;
    SHOW(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value));
    value = 0;
    SHOW(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len));
    SHOW(value);
    struct timeval time = {1, 500000}, back = {0, 0};
    SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    len = sizeof back;
    SHOW(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &back, &len));
    printf("%ld %ld %d\n", (long)back.tv_sec, (long)back.tv_usec, len);
    struct linger linger = {1, 7};
    SHOW(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    memset(&linger, 0, sizeof linger);
    len = sizeof linger;
    SHOW(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
    printf("%d %d\n", linger.l_onoff, linger.l_linger);
    SHOW(setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof value));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, 1));
    value = 1;
    SHOW(ioctl(fd, FIONBIO, &value));
    SHOW(fcntl(fd, F_GETFL) & O_NONBLOCK);
    SHOW(socket(AF_INET, 9, 0));
    SHOW(socket(999, SOCK_STREAM, 0));
    SHOW(listen(1000, 1));
    close(fd);

    /* A filter has a pointer in it: this one lets nothing through but packets that begin with 'y'. */
    int pair[2];
    SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {4, code};
    SHOW(setsockopt(pair[0], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    send(pair[1], "no", 2, 0);
    SHOW(send(pair[1], "yes", 3, 0));
    SHOW(recv(pair[0], buf, sizeof buf, MSG_DONTWAIT));
    printf("%.3s\n", buf);
    close(pair[0]), close(pair[1]);
}

static void datagrams(void)
{
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}}, b = a, from;
    socklen_t len = sizeof a;
    int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(bind(one, (void *)&a, sizeof a));
    SHOW(getsockname(one, (void *)&a, &len));
    SHOW(bind(two, (void *)&b, sizeof b));
    SHOW(getsockname(two, (void *)&b, &len));
    SHOW(sendto(one, "datagram", 8, 0, (void *)&b, sizeof b));
    len = sizeof from;
    SHOW(recvfrom(two, buf, 4, MSG_TRUNC, (void *)&from, &len));
    printf("%.4s %d %d\n", buf, len, !memcmp(&from, &a, 8));
    SHOW(sendto(one, "", 0, 0, (void *)&b, sizeof b));
    len = 4;
    SHOW(recvfrom(two, buf, 4, 0, (void *)&from, &len));
    SHOW(len);

    /* Several at once. */
    struct iovec parts[4] = {{"first", 5}, {"sec", 3}, {"ond", 3}, {"third!", 6}};
    struct mmsghdr out[3] = {
        {.msg_hdr = {&b, sizeof b, parts, 1, NULL, 0, 0}},
        {.msg_hdr = {&b, sizeof b, parts + 1, 2, NULL, 0, 0}},
        {.msg_hdr = {&b, sizeof b, parts + 3, 1, NULL, 0, 0}},
    };
    SHOW(sendmmsg(one, out, 3, 0));
    printf("%u %u %u\n", out[0].msg_len, out[1].msg_len, out[2].msg_len);
    char data[4][5];
    struct iovec rooms[4];
    struct mmsghdr in[4];
    memset(in, 0, sizeof in);
    struct sockaddr_in names[4];
    for (int i = 0; i < 4; i++) {
        rooms[i] = (struct iovec){data[i], 5};
        in[i].msg_hdr.msg_iov = &rooms[i];
        in[i].msg_hdr.msg_iovlen = 1;
        in[i].msg_hdr.msg_name = &names[i];
        in[i].msg_hdr.msg_namelen = sizeof names[i];
    }
    SHOW(recvmmsg(two, in, 4, MSG_DONTWAIT, NULL));
    for (int i = 0; i < 3; i++)
        printf("%u %.5s %d %d %d\n", in[i].msg_len, data[i],
               !!(in[i].msg_hdr.msg_flags & MSG_TRUNC), in[i].msg_hdr.msg_namelen,
               names[i].sin_port == a.sin_port);
    SHOW(recvmmsg(two, in, 4, MSG_DONTWAIT, NULL));
    close(one), close(two);
}

static void messages(void)
{
    int pair[2], p[2];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SHOW(pipe(p));
    int on = 1;
    SHOW(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    struct iovec text[] = {{"with ", 5}, {"rights", 6}};
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } rights = {{0}};
    struct msghdr out = {.msg_iov = text, .msg_iovlen = 2};
    out.msg_control = rights.bytes;
    out.msg_controllen = sizeof rights.bytes;
    struct cmsghdr *head = CMSG_FIRSTHDR(&out);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(head), p, sizeof p);
    SHOW(sendmsg(pair[0], &out, 0));

    struct iovec room = {buf, sizeof buf};
    union {
        char bytes[200];
        struct cmsghdr align;
    } control;
    struct msghdr in = {.msg_iov = &room, .msg_iovlen = 1};
    in.msg_control = control.bytes;
    in.msg_controllen = sizeof control.bytes;
    SHOW(recvmsg(pair[1], &in, MSG_CMSG_CLOEXEC));
    printf("%.11s %d\n", buf, in.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    int passed[2] = {-1, -1};
    for (head = CMSG_FIRSTHDR(&in); head; head = CMSG_NXTHDR(&in, head)) {
        printf("%d %d\n", head->cmsg_level == SOL_SOCKET, (int)(head->cmsg_len - CMSG_LEN(0)));
        if (head->cmsg_type == SCM_RIGHTS)
            memcpy(passed, CMSG_DATA(head), sizeof passed);
        if (head->cmsg_type == SCM_CREDENTIALS) {
            struct ucred *who = (void *)CMSG_DATA(head);
            printf("%d %d\n", who->pid == getpid(), who->uid == getuid());
        }
    }
    SHOW(fcntl(passed[0], F_GETFD));
    SHOW(write(passed[1], "through", 7));
    SHOW(read(p[0], buf, sizeof buf));
    printf("%.7s\n", buf);

    /* Too little room for what comes with it. */
    SHOW(sendmsg(pair[0], &out, 0));
    in.msg_controllen = CMSG_LEN(4);
    SHOW(recvmsg(pair[1], &in, 0));
    printf("%d\n", !!(in.msg_flags & MSG_CTRUNC));
    out.msg_iovlen = 2000;
    SHOW(sendmsg(pair[0], &out, 0));
    out.msg_iovlen = 0;
    out.msg_controllen = 0;
    SHOW(sendmsg(pair[0], &out, 0));
    SHOW(sendmsg(p[0], &out, 0));
    close(pair[0]);
    SHOW(recvmsg(pair[1], &in, 0));
    SHOW(send(pair[1], "x", 1, MSG_NOSIGNAL));
    close(pair[1]);
}

int main(void)
{
    struct sockaddr_in four = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    stream(AF_INET, (void *)&four, sizeof four);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int len = snprintf(un.sun_path + 1, 100, "hartscope-test-%d", getpid());
    stream(AF_UNIX, (void *)&un, offsetof(struct sockaddr_un, sun_path) + 1 + len);
    options();
    datagrams();
    messages();
    return 0;
}
