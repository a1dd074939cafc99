//! `hartscope profile`: a client that lets a guest count for a while, fetches what has been counted, and
//! writes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::{Duration, Instant};
use std::{mem, ptr};

use serde_json::{Value, json};

use super::address;
use super::client::{Client, Error};
use crate::cli::ProfileOptions;
use crate::profile::Row;
use crate::{fail, print};

/// A guest's vCPUs have numbers below this.
const MOST_VCPUS: usize = 1 << 22;

/// Does it; returns the exit status.
pub fn run(options: &ProfileOptions) -> i32 {
    match act(options) {
        Ok(text) => print(&text),
        Err(error) => fail(&error, 1),
    }
}

fn act(options: &ProfileOptions) -> Result<String, Error> {
    let path = address::of_target(&options.target).map_err(Error::Target)?;
    let mut client = Client::connect(&path)?;
    let file = options.output.create(client.guest())?;
    // Before it begins, so that who interrupts us gets what there is.
    let interruption = Interruption::new().map_err(Error::Wait)?;
    client.execute("profile-start", &json!({}))?;
    let begin = Instant::now();
    wait(&mut client, interruption, options.duration)?;
    let length = begin.elapsed();
    let summary = client.execute("profile-stop", &json!({}))?;
    let rows = fetch(&mut client)?;
    let title = summary["program"].as_str().unwrap_or("guest");
    file.write(&rows, title)?;
    let instructions: u64 = rows.iter().map(Row::total).sum();
    Ok(format!(
        "{instructions} instructions of {title} in {:.3} s: {}\n",
        length.as_secs_f64(),
        file.path().display()
    ))
}

/// Waits until the time is over, somebody interrupts, or the guest has ended.
fn wait(
    client: &mut Client,
    interruption: Interruption,
    duration: Option<Duration>,
) -> Result<(), Error> {
    let deadline = duration.map(|duration| Instant::now() + duration);
    loop {
        while let Some(event) = client.next_event()? {
            if event["event"] == "SHUTDOWN" {
                return Ok(());
            }
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
        let [heard, interrupted] = readable([client.as_raw_fd(), interruption.fd()], left);
        if interrupted {
            return Ok(());
        }
        if heard {
            client.hear()?;
        }
    }
}

/// Waits until one of two descriptors can be read, or the time is over.
fn readable(fds: [RawFd; 2], most: Option<Duration>) -> [bool; 2] {
    let mut fds = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let most = most.map(|most| libc::timespec {
        tv_sec: libc::time_t::try_from(most.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: most.subsec_nanos().into(),
    });
    let most = most.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: all pointers are to values that live here. The caller looks at the clock again.
    unsafe { libc::ppoll(fds.as_mut_ptr(), 2, most, ptr::null()) };
    fds.map(|fd| fd.revents != 0)
}

/// The signals by which users end a command, as something to be read, while this lives.
struct Interruption {
    file: File,
    before: libc::sigset_t,
}

impl Interruption {
    fn new() -> io::Result<Interruption> {
        // SAFETY: the sets are there to be filled in; the descriptor is checked, and given away once.
        unsafe {
            let (mut set, mut before): (libc::sigset_t, _) = (mem::zeroed(), mem::zeroed());
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&mut set, signal);
            }
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before);
            Ok(Interruption {
                file: File::from_raw_fd(fd),
                before,
            })
        }
    }

    fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        // What has come is dealt with; the next one ends this process.
        let mut taken = [0; size_of::<libc::signalfd_siginfo>()];
        while matches!(self.file.read(&mut taken), Ok(1..)) {}
        // SAFETY: reads the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

/// All that has been counted, in pieces.
fn fetch(client: &mut Client) -> Result<Vec<Row>, Error> {
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    let mut from = 0;
    loop {
        let mut piece = client.execute("query-profile", &json!({ "from": from }))?;
        let Value::Array(parts) = piece["parts"].take() else {
            return Err(Error::Refused("the guest sends no profile".into()));
        };
        if parts.is_empty() {
            return Ok(rows.into_values().collect());
        }
        from += parts.len();
        for part in &parts {
            let is_right = add(&mut rows, part).is_some();
            if !is_right {
                return Err(Error::Refused("the guest sends a broken profile".into()));
            }
        }
    }
}

/// Adds a part of a row.
fn add(rows: &mut BTreeMap<u64, Row>, part: &Value) -> Option<()> {
    let row = rows.entry(part["row"].as_u64()?).or_default();
    let frames = part["frames"].as_array()?.iter();
    row.frames = frames
        .map(|frame| frame.as_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    for count in part["counts"].as_array()? {
        let vcpu = usize::try_from(count[0].as_u64()?).ok()?;
        if vcpu >= MOST_VCPUS {
            return None;
        }
        row.counts.resize(row.counts.len().max(vcpu + 1), 0);
        row.counts[vcpu] = count[1].as_u64()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_together_from_their_parts() {
        let mut rows = BTreeMap::new();
        for part in [
            json!({ "row": 3, "frames": ["a", "b"], "counts": [[0, 5], [2, 7]] }),
            json!({ "row": 4, "frames": ["b"], "counts": [[1, 1]] }),
            json!({ "row": 3, "frames": ["a", "b"], "counts": [[3, 1]] }),
        ] {
            assert_eq!(add(&mut rows, &part), Some(()));
        }
        assert_eq!(rows[&3].frames, ["a", "b"]);
        assert_eq!(rows[&3].counts, [5, 0, 7, 1]);
        assert_eq!(rows[&4].counts, [0, 1]);
        for wrong in [
            json!({}),
            json!({ "row": 1, "frames": [1], "counts": [] }),
            json!({ "row": 1, "frames": [], "counts": [[1_u64 << 40, 1]] }),
        ] {
            assert_eq!(add(&mut rows, &wrong), None, "{wrong}");
        }
    }
}
