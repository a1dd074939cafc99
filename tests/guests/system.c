/* What a program learns about the system and itself, its limits and identity, and the communication
 * of old: System V and POSIX queues, semaphores and shared memory. */
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void machine(void)
{
    struct utsname names;
    SHOW(uname(&names));
#ifdef __riscv
    const char *mine = "riscv64";
#else
    const char *mine = "x86_64";
#endif
    printf("%s %d %d\n", names.sysname, !strcmp(names.machine, mine), names.release[0] != 0);
    struct sysinfo info;
    SHOW(sysinfo(&info));
    printf("%d %d %d\n", info.uptime > 0, info.totalram >= info.freeram, info.procs > 0);
    printf("%d %d\n", sysconf(_SC_NPROCESSORS_ONLN) > 0, sysconf(_SC_PAGESIZE) == 4096);
    uint8_t random[256] = {0};
    SHOW(getrandom(random, sizeof random, 0));
    int different = 0;
    for (int i = 1; i < 256; i++)
        different += random[i] != random[0];
    printf("%d\n", different > 100);
    SHOW(getrandom(random, 1, 0x80));
    unsigned cpu = 99999, node = 99999;
    SHOW(syscall(SYS_getcpu, &cpu, &node, NULL));
    printf("%d %d\n", cpu < 4096, node < 4096);
    struct winsize size;
    SHOW(ioctl(open("/dev/null", O_RDWR), TIOCGWINSZ, &size));
    SHOW(ioctl(999, TIOCGWINSZ, &size));
    SHOW(ioctl(0, 0xdeadbeef, &size) == -1);
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    size = (struct winsize){30, 90, 1, 2};
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    memset(&size, 0, sizeof size);
    SHOW(ioctl(master, TIOCGWINSZ, &size));
    printf("%d %d %d\n", size.ws_row, size.ws_col, size.ws_ypixel);
    struct termios terminal;
    SHOW(tcgetattr(master, &terminal));
    printf("%d %d\n", !!(terminal.c_lflag & ICANON), terminal.c_cc[VINTR]);
    cfmakeraw(&terminal);
    SHOW(tcsetattr(master, TCSANOW, &terminal));
    SHOW(tcgetattr(master, &terminal));
    printf("%d\n", !!(terminal.c_lflag & ICANON));
    SHOW(grantpt(master));
    SHOW(unlockpt(master));
    SHOW(strncmp(ptsname(master), "/dev/pts/", 9));
    close(master);
}

static void limits(void)
{
    struct rlimit limit, old;
    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(getrlimit(RLIMIT_NOFILE, &old));
    SHOW(old.rlim_cur);
    SHOW(fcntl(0, F_DUPFD, 64));
    SHOW(prlimit(0, RLIMIT_CORE, &(struct rlimit){0, 0}, &old));
    SHOW(prlimit(getpid(), RLIMIT_CORE, NULL, &old));
    SHOW(old.rlim_cur);
    struct rusage usage;
    SHOW(getrusage(RUSAGE_SELF, &usage));
    printf("%d\n", usage.ru_maxrss > 0);
    SHOW(getrusage(RUSAGE_THREAD, &usage));
    SHOW(getrusage(77, &usage));
}

static void scheduling(void)
{
    cpu_set_t set, back;
    SHOW(sched_getaffinity(0, sizeof set, &set));
    printf("%d\n", CPU_COUNT(&set) > 0);
    int first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&back);
    CPU_SET(first, &back);
    SHOW(sched_setaffinity(0, sizeof back, &back));
    CPU_ZERO(&back);
    SHOW(syscall(SYS_sched_getaffinity, 0, sizeof back, &back) >= 8);
    printf("%d %d\n", CPU_COUNT(&back), !!CPU_ISSET(first, &back));
    SHOW(sched_setaffinity(0, sizeof set, &set));
    CPU_ZERO(&back);
    SHOW(sched_setaffinity(0, sizeof back, &back));
    SHOW(syscall(SYS_sched_getaffinity, 0, 3, &back));
    SHOW(sched_yield());
    SHOW(sched_getscheduler(0));
    SHOW(sched_get_priority_max(SCHED_FIFO));
    SHOW(sched_get_priority_min(SCHED_OTHER));
    struct sched_param param = {99};
    SHOW(sched_getparam(0, &param));
    SHOW(param.sched_priority);
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 3));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0);
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    SHOW(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    SHOW(syscall(SYS_membarrier, 1 << 30, 0, 0));
}

static void itself(void)
{
    char name[16] = "";
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    SHOW(prctl(PR_GET_NAME, name));
    printf("%s\n", name);
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    int signal = 0;
    SHOW(prctl(PR_GET_PDEATHSIG, &signal));
    SHOW(signal);
    SHOW(prctl(PR_SET_DUMPABLE, 0));
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(123456));
    SHOW(personality(0xffffffff));
    SHOW(getppid() > 0);
    SHOW(syscall(SYS_gettid) == getpid());
    SHOW(getpgid(0) == getpgrp());
    uid_t r, e, s;
    SHOW(getresuid(&r, &e, &s));
    printf("%d\n", r == getuid() && e == geteuid());
    SHOW(setresuid(-1, -1, -1));
    gid_t groups[64];
    SHOW(getgroups(64, groups) == getgroups(0, NULL));
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    SHOW(syscall(SYS_capget, &head, data));
    umask(027);
    SHOW(umask(022));
    SHOW(syscall(SYS_kill, 1 << 30, 0));
    SHOW(syscall(497));
    SHOW(syscall(100000, 1, 2, 3));
    SHOW(syscall(-1));
}

static void queues(void)
{
    struct {
        long type;
        char text[32];
    } message = {7, "seven"};
    int queue = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
    SHOW(msgsnd(queue, &message, 6, 0));
    message.type = 3;
    strcpy(message.text, "three");
    SHOW(msgsnd(queue, &message, 6, 0));
    struct msqid_ds state;
    SHOW(msgctl(queue, IPC_STAT, &state));
    SHOW(state.msg_qnum);
    SHOW(msgrcv(queue, &message, 32, 3, 0));
    printf("%ld %s\n", message.type, message.text);
    SHOW(msgrcv(queue, &message, 2, 0, IPC_NOWAIT));
    SHOW(msgrcv(queue, &message, 2, 0, MSG_NOERROR));
    SHOW(msgrcv(queue, &message, 32, 0, IPC_NOWAIT));
    SHOW(msgctl(queue, IPC_RMID, NULL));

    int set = semget(IPC_PRIVATE, 3, 0600 | IPC_CREAT);
    unsigned short values[3] = {1, 2, 3};
    SHOW(semctl(set, 0, SETALL, values));
    SHOW(semctl(set, 1, SETVAL, 5));
    struct sembuf ops[2] = {{1, -2, 0}, {2, 4, 0}};
    SHOW(semop(set, ops, 2));
    memset(values, 0, sizeof values);
    SHOW(semctl(set, 0, GETALL, values));
    printf("%d %d %d\n", values[0], values[1], values[2]);
    struct semid_ds semaphores = {0};
    SHOW(semctl(set, 0, IPC_STAT, &semaphores));
    printf("%ld %o %d %d\n", (long)semaphores.sem_nsems, semaphores.sem_perm.mode,
           semaphores.sem_ctime > 1000000000, semaphores.sem_otime > 1000000000);
    semaphores.sem_perm.mode = 0640;
    SHOW(semctl(set, 0, IPC_SET, &semaphores));
    SHOW(semctl(set, 0, IPC_STAT, &semaphores));
    printf("%o\n", semaphores.sem_perm.mode);
    ops[0] = (struct sembuf){0, -9, IPC_NOWAIT};
    SHOW(semop(set, ops, 1));
    struct timespec brief = {0, 1000000};
    ops[0].sem_flg = 0;
    SHOW(semtimedop(set, ops, 1, &brief));
    SHOW(semctl(set, 0, IPC_RMID));

    int segment = shmget(IPC_PRIVATE, 8192, 0600 | IPC_CREAT);
    char *memory = shmat(segment, NULL, 0);
    memory[5000] = 'x';
    fflush(stdout);
    if (fork() == 0) {
        memory[5001] = memory[5000] + 1;
        _exit(0);
    }
    wait(NULL);
    printf("%c\n", memory[5001]);
    struct shmid_ds shared;
    SHOW(shmctl(segment, IPC_STAT, &shared));
    printf("%ld %ld\n", (long)shared.shm_segsz, (long)shared.shm_nattch);
    SHOW(shmdt(memory));
    SHOW(shmdt(memory));
    SHOW(shmctl(segment, IPC_RMID, NULL));

    char name[64], text[64];
    snprintf(name, sizeof name, "/hartscope-test-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
    mqd_t mq = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attributes);
    unsigned priority;
    SHOW(mq_send(mq, "low", 4, 1));
    SHOW(mq_send(mq, "high", 5, 9));
    SHOW(mq_receive(mq, text, sizeof text, &priority));
    printf("%s %u\n", text, priority);
    SHOW(mq_getattr(mq, &attributes));
    printf("%ld %ld %ld\n", attributes.mq_maxmsg, attributes.mq_msgsize, attributes.mq_curmsgs);
    SHOW(mq_receive(mq, text, 8, &priority));
    SHOW(mq_receive(mq, text, sizeof text, NULL));
    SHOW(mq_receive(mq, text, sizeof text, NULL));
    SHOW(mq_unlink(name));
    mq_close(mq);
}

int main(void)
{
    machine();
    limits();
    scheduling();
    itself();
    queues();
    return 0;
}
