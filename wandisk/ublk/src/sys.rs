//! The unsafe part: what hands memory to the kernel, and the calls that no safe wrapper exists for.
//!
//! Invariant: memory that the kernel may write to (a tag's buffer, a control command's) is not freed and not seen
//! through a Rust reference until the kernel is known to be done with it; where that cannot be known it is leaked.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, squeue, types};
use libublk::helpers::IoBuf;
use libublk::io::{BufDesc, BufDescList, UblkQueue, with_task_io_ring_mut};
use libublk::{UblkIORes, sys};
use wandisk_io::Op;

use crate::tags::Part;

/// Bit that marks what is ours among the ring's completions; libublk's own commands do not have it.
const OURS: u64 = libublk::UblkUringData::Target as u64;
/// Bit that marks the eventfd's poll among ours.
const WAKE: u64 = 1 << 16;
/// The data file's place in the ring's table of files; the driver's is 0.
const DATA_FILE: types::Fixed = types::Fixed(1);

/// What a completion of a queue's ring belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// A request has come from the driver (or its command was aborted).
    Driver(u16),
    /// Data of a tag was moved.
    Data(u16),
    /// The eventfd is readable.
    Wake,
}

impl Completion {
    /// Of the completion's user data.
    pub(crate) fn of(user_data: u64) -> Completion {
        let [low, high, ..] = user_data.to_le_bytes();
        let tag = u16::from_le_bytes([low, high]);
        match (user_data & OURS != 0, user_data & WAKE != 0) {
            (false, _) => Completion::Driver(tag),
            (true, false) => Completion::Data(tag),
            (true, true) => Completion::Wake,
        }
    }
}

/// Where the data of requests is while it is moved.
///
/// Memory of ours is leaked when this is dropped: only [`Buffers::free`] gives it back, and its caller knows that it
/// may.
#[derive(Debug)]
pub(crate) enum Buffers {
    /// In one buffer a tag, of `bytes` bytes, which the driver copies to and from.
    Own { bufs: Vec<IoBuf<u8>>, bytes: u32 },
    /// Where the block layer has it: the driver registers each request's pages with the ring, under its tag's number,
    /// and takes them back when the request is answered. No memory of ours, and no copy but that to the data file.
    Registered { depth: u16, bytes: u32 },
}

impl Buffers {
    /// For the tags of a queue of `dev`, as the device was made. Own buffers are page-aligned, and not touched here:
    /// memory is used as requests need it.
    pub(crate) fn new(dev: &sys::ublksrv_ctrl_dev_info) -> Buffers {
        let (depth, bytes) = (dev.queue_depth, dev.max_io_buf_bytes);
        if dev.flags & u64::from(sys::UBLK_F_AUTO_BUF_REG) != 0 {
            return Buffers::Registered { depth, bytes };
        }
        let size = usize::try_from(bytes).unwrap_or(usize::MAX);
        Buffers::Own { bufs: (0..depth).map(|_| IoBuf::new(size)).collect(), bytes }
    }

    /// Tells the driver of all of them, with a fetch command for each tag.
    pub(crate) fn fetch<'d>(&self, queue: UblkQueue<'d>) -> Result<UblkQueue<'d>, libublk::UblkError> {
        match self {
            Buffers::Own { bufs, .. } => queue.submit_fetch_commands_unified(BufDescList::Slices(Some(bufs))),
            Buffers::Registered { depth, .. } => {
                let places: Vec<_> = (0..*depth).map(registered).collect();
                queue.submit_fetch_commands_unified(BufDescList::AutoRegs(&places))
            }
        }
    }

    /// Answers a tag's request and asks for the next. Does nothing once the queue is going down.
    pub(crate) fn commit(&self, queue: &UblkQueue<'_>, tag: u16, result: i32) {
        let buf = match self {
            Buffers::Own { bufs, .. } => BufDesc::RawAddress(bufs[usize::from(tag)].as_ptr()),
            Buffers::Registered { .. } => BufDesc::AutoReg(registered(tag)),
        };
        // Fails only for buffer kinds that the device was not made for.
        queue.complete_io_cmd_unified(tag, buf, Ok(UblkIORes::Result(result))).ok();
    }

    /// Queues the move of `part` between the tag's buffer and the data file; submitted with the ring's next turn.
    pub(crate) fn start(&self, tag: u16, part: Part) -> bool {
        let (Buffers::Own { bytes, .. } | Buffers::Registered { bytes, .. }) = self;
        if part.at.checked_add(part.len).is_none_or(|end| end > *bytes) {
            return false;
        }
        let at = usize::try_from(part.at).unwrap_or(usize::MAX);
        let Part { op, len, offset, .. } = part;
        let entry = match self {
            Buffers::Own { bufs, .. } => {
                // SAFETY: `at` lies inside the buffer's allocation (checked above against its size).
                let start = unsafe { bufs[usize::from(tag)].as_mut_ptr().add(at) };
                match op {
                    Op::Read => opcode::Read::new(DATA_FILE, start, len).offset(offset).build(),
                    Op::Write => opcode::Write::new(DATA_FILE, start, len).offset(offset).build(),
                }
            }
            Buffers::Registered { .. } => {
                // Not an address: the kernel takes it for an offset into the registered pages, and refuses a range
                // that is not inside of them.
                let start = std::ptr::without_provenance_mut(at);
                match op {
                    Op::Read => opcode::ReadFixed::new(DATA_FILE, start, len, tag).offset(offset).build(),
                    Op::Write => opcode::WriteFixed::new(DATA_FILE, start, len, tag).offset(offset).build(),
                }
            }
        };
        push(&entry.user_data(OURS | u64::from(tag)))
    }

    /// Gives the memory back. Only once the queue is down: the driver has aborted every command that named a
    /// buffer, and no move of data is in flight.
    pub(crate) fn free(mut self) {
        if let Buffers::Own { bufs, .. } = &mut self {
            bufs.clear();
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if let Buffers::Own { bufs, .. } = self {
            bufs.drain(..).for_each(std::mem::forget);
        }
    }
}

/// Where the driver registers the pages of a tag's requests. Without a fall-back: a request whose pages cannot be
/// registered fails in the driver.
fn registered(tag: u16) -> sys::ublk_auto_buf_reg {
    sys::ublk_auto_buf_reg { index: tag, ..Default::default() }
}

/// A queue's view of the driver's descriptors, which libublk's own way of unmapping cannot be used on: it first waits
/// for the ring's files to be unused, and they are in use for as long as the driver has a command. Holds the char
/// device open, and with it the kernel's belief that there is a server.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut core::ffi::c_void,
    len: usize,
}

// SAFETY: an address range of the process, not of a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Takes the mapping from a queue that is not to be used any more, and leaves the rest of it as it is.
    pub(crate) fn take(queue: UblkQueue<'_>) -> Mapping {
        let descriptors = usize::try_from(queue.get_depth()).unwrap_or(0) * size_of::<sys::ublksrv_io_desc>();
        let start: *const sys::ublksrv_io_desc = queue.get_iod(0);
        std::mem::forget(queue);
        Mapping {
            start: start.cast_mut().cast(),
            len: descriptors.next_multiple_of(rustix::param::page_size()),
        }
    }

    /// Unmaps it. For after the queue's thread has ended, and its ring with it.
    pub(crate) fn unmap(self) {
        // SAFETY: the whole of a mapping that libublk made (of this length, from the first descriptor); its owner was
        // forgotten, and no reference to a descriptor outlives a turn of the queue's thread.
        let unmapped = unsafe { rustix::mm::munmap(self.start, self.len) };
        if let Err(e) = unmapped {
            tracing::error!(error = %e, "a ublk queue's descriptors could not be unmapped");
        }
    }
}

/// Queues a one-time poll of the queue's eventfd.
pub(crate) fn poll_eventfd(eventfd: BorrowedFd<'_>) -> bool {
    const POLLIN: u32 = 1;
    push(&opcode::PollAdd::new(types::Fd(eventfd.as_raw_fd()), POLLIN).build().user_data(OURS | WAKE))
}

fn push(entry: &squeue::Entry) -> bool {
    with_task_io_ring_mut(|ring| {
        // SAFETY: the entry names no memory of ours (pages that the driver registered are the kernel's to keep), or
        // memory of a tag's buffer. That is not freed while it is in flight: `Buffers` leaks unless freed, and
        // `Buffers::free` comes after the last completion.
        let pushed = unsafe { ring.submission().push(entry) };
        if pushed.is_ok() {
            return true;
        }
        // The ring has room for every tag at once, so this is a ring whose submission failed before.
        ring.submit().ok();
        // SAFETY: as above.
        unsafe { ring.submission().push(entry) }.is_ok()
    })
}

/// A command to the control device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    pub(crate) op: u32,
    pub(crate) id: u32,
    pub(crate) data: u64,
    /// How much of the buffer's start is the char device's path.
    pub(crate) path_len: u16,
}

/// Sends one command and waits for its end, which the kernel may never reach; the buffer is what it reads or
/// fills. Blocks the thread.
///
/// # Errors
/// The command's errno, or that of the ring.
pub(crate) fn control(control: &File, command: Command, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let header = sys::ublksrv_ctrl_cmd {
        dev_id: command.id,
        queue_id: u16::MAX,
        len: u16::try_from(buffer.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        addr: if buffer.is_empty() { 0 } else { buffer.as_mut_ptr().addr() as u64 },
        data: [command.data],
        dev_path_len: command.path_len,
        ..Default::default()
    };
    let mut payload = [0u8; 80];
    // SAFETY: the header is plain old data without padding (32 bytes, checked by its bindings), and shorter than the
    // payload.
    unsafe { payload.as_mut_ptr().cast::<sys::ublksrv_ctrl_cmd>().write_unaligned(header) };
    let mut ring: IoUring<squeue::Entry128> = IoUring::builder().build(2)?;
    let entry = opcode::UringCmd80::new(types::Fd(control.as_raw_fd()), command.op).cmd(payload).build();
    // SAFETY: the buffer that the entry names lives until the completion below, or is leaked.
    let pushed = unsafe { ring.submission().push(&entry) };
    pushed.map_err(|_| io::ErrorKind::ResourceBusy)?;
    let result = loop {
        let submitted = ring.submit_and_wait(1);
        if let Some(done) = ring.completion().next() {
            break done.result();
        }
        match submitted {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                // Whether the kernel has the command is not known.
                std::mem::forget(buffer);
                return Err(e);
            }
            _ => {}
        }
    };
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(buffer) }
}

/// Reads a device's description out of a control command's buffer; `None` if it is too short.
pub(crate) fn dev_info(bytes: &[u8]) -> Option<sys::ublksrv_ctrl_dev_info> {
    let bytes = bytes.get(..size_of::<sys::ublksrv_ctrl_dev_info>())?;
    // SAFETY: plain old data, any bytes are a valid value, and there are enough of them.
    Some(unsafe { bytes.as_ptr().cast::<sys::ublksrv_ctrl_dev_info>().read_unaligned() })
}

/// Reads a device's parameters out of a control command's buffer; `None` if it is too short.
pub(crate) fn params(bytes: &[u8]) -> Option<sys::ublk_params> {
    let bytes = bytes.get(..size_of::<sys::ublk_params>())?;
    // SAFETY: plain old data, any bytes are a valid value, and there are enough of them.
    Some(unsafe { bytes.as_ptr().cast::<sys::ublk_params>().read_unaligned() })
}

/// The parameters as the driver reads them.
pub(crate) fn params_bytes(params: &sys::ublk_params) -> Vec<u8> {
    let len = u32::try_from(size_of::<sys::ublk_params>()).unwrap_or(u32::MAX);
    bytes_of(sys::ublk_params { len, ..*params })
}

/// A device's description as the driver reads it.
pub(crate) fn dev_info_bytes(info: sys::ublksrv_ctrl_dev_info) -> Vec<u8> {
    bytes_of(info)
}

fn bytes_of<T: Copy>(value: T) -> Vec<u8> {
    let mut bytes = vec![0u8; size_of::<T>()];
    // SAFETY: the room is as large as the value. Padding between its fields, if any, is copied as whatever it is: the
    // value was built in this process, and goes to the kernel alone.
    unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(value) };
    bytes
}

/// Drops the block device's page cache (`BLKFLSBUF`).
pub(crate) fn flush_buffers(device: &File) -> rustix::io::Result<()> {
    const BLKFLSBUF: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0x12, 97);
    // SAFETY: the request takes no argument and returns nothing but its status.
    unsafe { rustix::ioctl::ioctl(device, rustix::ioctl::NoArg::<BLKFLSBUF>::new()) }
}

/// Has the kernel read the partition table again (`BLKRRPART`).
pub(crate) fn reread_partitions(device: &File) -> rustix::io::Result<()> {
    const BLKRRPART: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0x12, 95);
    // SAFETY: the request takes no argument and returns nothing but its status.
    unsafe { rustix::ioctl::ioctl(device, rustix::ioctl::NoArg::<BLKRRPART>::new()) }
}

/// A mount namespace of this thread's own.
pub(crate) fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: only the file system view is unshared, no file descriptors or memory; the caller has one thread.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
}
