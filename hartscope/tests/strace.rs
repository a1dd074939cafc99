//! `--strace` prints what strace prints, line by line.

mod common;

use std::process::Command;
use std::time::Duration;

use common::HARTSCOPE;
use common::process::{self, End, Outcome};

fn traced(options: &[&str], arguments: &[&str]) -> Outcome {
    let mut command = Command::new(HARTSCOPE);
    command
        .arg("run")
        .args(options)
        .arg(common::guest("strace"))
        .args(arguments);
    process::run(&mut command, b"", Duration::from_secs(20))
}

/// Whether `line` is `pattern`, in which each `…` stands for anything. How far the `=` stands to the
/// right is not looked at.
fn matches(line: &str, pattern: &str) -> bool {
    let (call, result) = line.rsplit_once(" = ").unwrap_or((line, ""));
    let line = &match result {
        "" => line.to_owned(),
        _ => format!("{} = {result}", call.trim_end()),
    };
    let mut parts = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = "";
    for part in parts {
        last = part;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (pattern.contains('…') && last.is_empty())
}

/// Asserts that lines like these are there, in this order.
fn assert_lines(output: &str, patterns: &[&str]) {
    let mut lines = output.lines();
    for pattern in patterns {
        let found = lines.any(|line| matches(line, pattern));
        assert!(found, "no line like: {pattern}\n{output}");
    }
}

#[test]
fn calls_are_printed_as_by_strace() {
    let outcome = traced(&["--strace"], &[]);
    assert_eq!(outcome.end, End::Exited(3));
    assert_eq!(outcome.stdout_text(), "done\n");
    assert_lines(
        &outcome.stderr_text(),
        &[
            r#"execve("…/strace", ["…/strace"], 0x… /* … vars */) = 0"#,
            r#"openat(AT_FDCWD, "/dev/null", O_RDWR|O_CLOEXEC) = …"#,
            "dup3(…, 20, O_CLOEXEC) = 20",
            r#"openat(AT_FDCWD, "/no/such/file", O_RDONLY) = -1 ENOENT (No such file or directory)"#,
            r#"openat(AT_FDCWD, "/dev/null", O_WRONLY|O_CREAT, 0644) = …"#,
            r#"write(20, "tab\t, quote\", end\n", 18) = 18"#,
            r#"write(20, "forty letters are more than what"..., 40) = 40"#,
            r#"write(20, "\0001\177\377", 4) = 4"#,
            "write(20, 0x10, 4) = …",
            r#"write(99, "x", 1) = -1 EBADF (Bad file descriptor)"#,
            "newfstatat(AT_FDCWD, \"/dev/null\", {st_mode=S_IFCHR|0666, \
             st_rdev=makedev(0x1, 0x3), ...}, 0) = 0",
            "lseek(20, 5, SEEK_CUR) = …",
            "pipe2([…, …], O_NONBLOCK) = 0",
            "ppoll([{fd=20, events=POLLIN|POLLOUT}], 1, {tv_sec=0, tv_nsec=0}, NULL, …) \
             = 1 ([{fd=20, revents=POLLIN|POLLOUT}], left {tv_sec=0, tv_nsec=0})",
            "ppoll([{fd=-1, events=0}], 1, {tv_sec=0, tv_nsec=5000}, NULL, …) = 0 (Timeout)",
            r#"writev(20, [{iov_base="one", iov_len=3}, {iov_base="two!", iov_len=4}], 2) = 7"#,
            "clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=5000}, NULL) = 0",
            "fcntl(20, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)",
            "fcntl(20, F_SETFD, 0) = 0",
            "ioctl(20, TIOCGWINSZ, 0x…) = -1 ENOTTY (Inappropriate ioctl for device)",
            "ioctl(20, _IOC(_IOC_WRITE, 0x7a, 0xaa, 0x8), 0x…) = -1 ENOTTY (…)",
            "socket(AF_UNIX, SOCK_STREAM, 0) = …",
            "connect(…, {sa_family=AF_UNIX, sun_path=\"/no/such/socket\"}, 110) = -1 ENOENT (…)",
            "setsockopt(…, SOL_SOCKET, SO_PASSCRED, [1], 4) = 0",
            r#"uname({sysname="Linux", nodename="…", ...}) = 0"#,
            r#"prctl(PR_SET_NAME, "traced") = 0"#,
            "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x…",
            "mprotect(0x…, 4096, PROT_NONE) = 0",
            "munmap(0x…, 8192) = 0",
            "rt_sigaction(SIGUSR1, {sa_handler=0x…, sa_mask=[], sa_flags=SA_RESTART}, NULL, 8) = 0",
            "rt_sigprocmask(SIG_BLOCK, [USR2 RT_2], NULL, 8) = 0",
            "kill(…, SIGUSR1) = 0",
            "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=…, si_uid=…} ---",
            "rt_sigreturn({mask=[USR2 RT_2]}) = 0",
            "syscall_0x1e0(0x1, 0x2, …) = -1 ENOSYS (Function not implemented)",
            "sendfile(20, …, [0] => [3], 3) = 3",
            "clone(child_stack=NULL, \
             flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x…) = …",
            "[pid …] exit_group(3) = ?",
            "[pid …] +++ exited with 3 +++",
        ],
    );
    assert_lines(
        &outcome.stderr_text(),
        &[
            "[pid …] close_range(2, 100000, 0) = 0",
            "[pid …] exit_group(7) = ?",
            "[pid …] +++ exited with 7 +++",
            "[pid …] wait4(-1, NULL, 0, NULL) = …",
        ],
    );
}

#[test]
fn lines_of_threads_do_not_mix() {
    let outcome = traced(&["--strace"], &["4"]);
    assert_eq!(outcome.end, End::Exited(0));
    let text = outcome.stderr_text();
    let calls: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("getppid"))
        .collect();
    assert_eq!(calls.len(), 800);
    for line in calls {
        assert!(matches(line, "[pid …] getppid() = …"), "{line}");
    }
    let whole = |line: &str| line.contains(" = ") || line.ends_with(" +++");
    assert!(text.lines().all(whole), "{text}");
}

#[test]
fn unknown_calls_are_logged_once_and_only_on_demand() {
    let outcome = traced(&["-d", "unimp"], &[]);
    assert_eq!(outcome.end, End::Exited(3));
    assert_eq!(
        outcome.stderr_text(),
        "hartscope: unknown system call 480\n"
    );
    assert_eq!(traced(&[], &[]).stderr_text(), "");
}
