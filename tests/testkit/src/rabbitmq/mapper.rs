//! Erlang's port mapper of one broker: found by the port that it listens on, which nobody else has, and ended by its id.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Ends whatever listens on this loopback port and is called `epmd`.
pub(super) fn end(port: u16) {
    if let Some(id) = find(port).and_then(Pid::from_raw) {
        // One that has just ended by itself cannot be signalled, and need not be.
        let _ = kill_process(id, Signal::KILL);
    }
}

/// The id of the port mapper on a loopback port.
pub(super) fn find(port: u16) -> Option<i32> {
    owner(&format!("socket:[{}]", listening(port)?))
}

/// The inode of the socket that listens on a port.
fn listening(port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let wanted = format!("0100007F:{port:04X}");
    table.lines().find_map(|line| {
        // The second field is the local address, the fourth the state (0A is LISTEN), the tenth the inode.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = fields.get(1) == Some(&wanted.as_str()) && fields.get(3) == Some(&"0A");
        fields.get(9).filter(|_| found).map(|inode| (*inode).to_owned())
    })
}

/// The process of that name that has a socket open.
fn owner(socket: &str) -> Option<i32> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let id: i32 = process.file_name().to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        (name.trim() == "epmd" && has_open(&process.path().join("fd"), socket)).then_some(id)
    })
}

fn has_open(files: &Path, socket: &str) -> bool {
    let Ok(files) = std::fs::read_dir(files) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket))
}
