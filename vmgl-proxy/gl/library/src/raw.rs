//! The program's memory, as OpenGL's arguments tell where and how long it is.

use std::ffi::{CStr, c_char};

/// Bytes of the program's. None if the arguments give no length, or bytes are wanted of nowhere.
///
/// # Safety
/// `pointer` is null or leads to that many bytes, which nobody writes while they are used.
pub(crate) unsafe fn bytes<'a>(pointer: *const u8, length: Option<usize>) -> Option<&'a [u8]> {
    match length? {
        0 => Some(&[]),
        _ if pointer.is_null() => None,
        // SAFETY: the caller's.
        length => Some(unsafe { std::slice::from_raw_parts(pointer, length) }),
    }
}

/// A text of the program's, without its NUL.
///
/// # Safety
/// `pointer` is null or leads to a text with a NUL at its end.
pub(crate) unsafe fn text<'a>(pointer: *const c_char) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(pointer) }.to_bytes()
}

/// Writes an array of an answer into the program's, at most as much as was asked for.
///
/// # Safety
/// `pointer` is null or leads to `capacity` bytes that may be written.
pub(crate) unsafe fn put(pointer: *mut u8, bytes: Option<&[u8]>, capacity: u32) {
    let Some(bytes) = bytes else { return };
    let length = bytes.len().min(usize::try_from(capacity).unwrap_or(0));
    if !pointer.is_null() {
        // SAFETY: the caller's; an answer lies in memory of ours.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, length) };
    }
}

/// Writes one value.
///
/// # Safety
/// `pointer` is null or leads to a `T` that may be written.
pub(crate) unsafe fn set<T>(pointer: *mut T, value: T) {
    if !pointer.is_null() {
        // SAFETY: the caller's; the program may have put it anywhere.
        unsafe { pointer.write_unaligned(value) };
    }
}

/// Writes values one after the other.
///
/// # Safety
/// `pointer` is null or leads to that many of `T`.
pub(crate) unsafe fn set_all<T: Copy>(pointer: *mut T, values: impl IntoIterator<Item = T>) {
    for (index, value) in values.into_iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { set(pointer.wrapping_add(index), value) };
    }
}

/// Writes a text with a NUL behind it, cut to what there is room for, and how long it is.
///
/// # Safety
/// `text` is null or leads to `room` bytes, `length` is null or leads to a number.
pub(crate) unsafe fn put_text(text: *mut u8, room: i32, length: *mut i32, value: &str) {
    let room = usize::try_from(room).unwrap_or(0);
    let put = value.len().min(room.saturating_sub(1));
    if room > 0 && !text.is_null() {
        // SAFETY: the caller's.
        unsafe {
            std::ptr::copy_nonoverlapping(value.as_ptr(), text, put);
            text.add(put).write(0);
        }
    }
    // SAFETY: the caller's.
    unsafe { set(length, i32::try_from(put).unwrap_or(0)) };
}
