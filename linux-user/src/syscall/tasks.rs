//! The threads of the process as `/proc` shows them: hartscope's own are not the guest's.
//!
//! What is shown here: the entries of `/proc/self/task`, and how many threads `status` and `stat` name.

use super::path;
use crate::{Args, Process, SysResult, Thread};
use std::path::Path;

/// Where the name of an entry begins, and where its length is.
const NAME: usize = 19;
const LENGTH: usize = 16;
/// The field of `stat` that says how many threads there are, counted from the one behind the name.
const STAT_THREADS: usize = 17;

/// `getdents64`
pub(super) fn getdents64(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, out, size, ..] = args;
    let process = thread.process.clone();
    let to = process.mm.output(out, size & 0xffff_ffff);
    loop {
        let args = [fd, to, size, 0, 0, 0];
        let len = thread.blocking_syscall(libc::SYS_getdents64, args)?;
        if len == 0 || !has_others(&process) || !is_task_directory(fd as i32) {
            return Ok(len);
        }
        let mut entries = vec![0; len as usize];
        process.mm.read(out, &mut entries)?;
        keep(&mut entries, |name| is_guests(&process, name));
        process.mm.write(out, &entries)?;
        // Nothing would mean that there are no more.
        if !entries.is_empty() {
            return Ok(entries.len() as u64);
        }
    }
}

/// Whether there may be threads that are not the guest's.
fn has_others(process: &Process) -> bool {
    process.engine.plugins().is_some() || process.engine.latencies().is_some()
}

fn is_task_directory(fd: i32) -> bool {
    let own = format!("/proc/{}/task", std::process::id());
    std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|name| name == Path::new(&own))
}

/// Whether an entry is to be seen: all but threads that are not the guest's. (The first thread stays
/// until the process is gone.)
fn is_guests(process: &Process, name: &[u8]) -> bool {
    let tid = str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    tid.is_none_or(|tid: i32| tid as u32 == std::process::id() || process.has_thread(tid))
}

/// Leaves only entries of names that `is_kept` likes.
fn keep(entries: &mut Vec<u8>, is_kept: impl Fn(&[u8]) -> bool) {
    let mut kept = Vec::with_capacity(entries.len());
    let mut rest = entries.as_slice();
    while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
        let length = usize::from(u16::from_le_bytes([low, high]));
        let Some((entry, behind)) = rest.split_at_checked(length).filter(|_| length > NAME) else {
            break;
        };
        let name = entry[NAME..].split(|&byte| byte == 0).next();
        if is_kept(name.unwrap_or_default()) {
            kept.extend_from_slice(entry);
        }
        rest = behind;
    }
    *entries = kept;
}

/// What the guest is to read from a file of its directory under `/proc`, if the host's would name too many
/// threads.
pub(super) fn content(process: &Process, name: &Path) -> Option<Vec<u8>> {
    let file = path::own_proc_file(name)?;
    let file = match file.strip_prefix("task/") {
        Some(task) => task.split_once('/')?.1,
        None => file,
    };
    let correct = match file {
        "status" => correct_status,
        "stat" => correct_stat,
        _ => return None,
    };
    if !has_others(process) {
        return None;
    }
    let text = std::fs::read(name).ok()?;
    correct(&text, process.list_threads().len().max(1))
}

/// With another number in the line `Threads:`.
fn correct_status(text: &[u8], threads: usize) -> Option<Vec<u8>> {
    const LINE: &[u8] = b"\nThreads:\t";
    let at = text.windows(LINE.len()).position(|part| part == LINE)?;
    let (head, tail) = text.split_at(at + LINE.len());
    let end = tail.iter().position(|&byte| byte == b'\n')?;
    Some([head, threads.to_string().as_bytes(), &tail[end..]].concat())
}

/// With another number in the field of threads.
fn correct_stat(text: &[u8], threads: usize) -> Option<Vec<u8>> {
    // The name may have anything in it.
    let name = text.iter().rposition(|&byte| byte == b')')? + 2;
    let (head, tail) = text.split_at_checked(name)?;
    let mut fields: Vec<&[u8]> = tail.split(|&byte| byte == b' ').collect();
    let threads = threads.to_string();
    *fields.get_mut(STAT_THREADS)? = threads.as_bytes();
    Some([head, &fields.join(&b' ')].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_of_threads_is_another() {
        let status = b"Name:\ta\nThreads:\t12\nSigQ:\t0/1\n";
        let corrected = correct_status(status, 3).expect("there is one");
        assert_eq!(corrected, b"Name:\ta\nThreads:\t3\nSigQ:\t0/1\n");
        assert_eq!(correct_status(b"Name:\tThreads:\n", 3), None);

        let text = std::fs::read("/proc/self/stat").expect("it is there");
        let corrected = correct_stat(&text, 4321).expect("there is one");
        let field = |text: &[u8], number: usize| {
            let text = String::from_utf8_lossy(text);
            let behind = text.rsplit_once(") ").expect("a name").1.to_owned();
            behind.split(' ').nth(number - 3).map(str::to_owned)
        };
        assert_eq!(field(&corrected, 20).as_deref(), Some("4321"));
        for number in (3..52).filter(|&number| number != 20) {
            assert_eq!(field(&corrected, number), field(&text, number), "{number}");
        }
        assert_eq!(correct_stat(b"1 (a b) S 1 2", 3), None);
    }

    #[test]
    fn entries_are_kept_whole_or_not_at_all() {
        let entry = |name: &str, length: u16| {
            let mut entry = vec![0; usize::from(length)];
            entry[LENGTH..LENGTH + 2].copy_from_slice(&length.to_le_bytes());
            entry[NAME..NAME + name.len()].copy_from_slice(name.as_bytes());
            entry
        };
        let (one, two) = (entry("1", 24), entry("22", 32));
        let mut all = [one.clone(), two.clone(), one.clone()].concat();
        keep(&mut all, |name| name == b"22");
        assert_eq!(all, two);
        // One that is cut off, or has no length, ends it.
        for wrong in [&two[..20], &[0; 24]] {
            let mut all = [&one, wrong].concat();
            keep(&mut all, |_| true);
            assert_eq!(all, one);
        }
    }
}
