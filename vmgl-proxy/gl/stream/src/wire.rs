//! Fields: taken off the front of a slice, and put at the end of a vector.

use thiserror::Error;

use crate::{Data, limits};

/// An array of this length is the one that parts have gathered.
pub(crate) const GATHERED: u32 = u32::MAX;

/// Why bytes are no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DecodeError {
    #[error("the command ends too early")]
    Short,
    #[error("the command has {0} bytes too many")]
    Long(usize),
    #[error("there is no command {0}")]
    Opcode(u16),
    #[error("an array of {command} has {is} bytes, its arguments ask for {wanted:?}")]
    Length { command: &'static str, is: usize, wanted: Option<usize> },
    #[error("{0} is above its limit")]
    Limit(&'static str),
    #[error("{0} has a value that it cannot have")]
    Value(&'static str),
    #[error("a text is no UTF-8")]
    Text,
}

/// Takes fields off the front.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    gathered: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over the body of one command.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, gathered: &[] }
    }

    pub(crate) fn with_gathered(bytes: &'a [u8], gathered: &'a [u8]) -> Self {
        Self { rest: bytes, gathered }
    }

    /// What has not been taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next bytes as they are.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.fixed()?))
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn f32(&mut self) -> Result<f32, DecodeError> {
        Ok(f32::from_le_bytes(self.fixed()?))
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_le_bytes(self.fixed()?))
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.fixed()?))
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.fixed()?))
    }

    /// An array of bytes with its length before it and padding behind it, or what parts have gathered.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn array(&mut self) -> Result<&'a [u8], DecodeError> {
        self.array_up_to(usize::MAX)
    }

    /// As [`Self::array`]; of what parts have gathered at most so much, as the rest is the next array's.
    fn array_up_to(&mut self, most: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()?;
        if length == GATHERED {
            let (taken, rest) = self.gathered.split_at(most.min(self.gathered.len()));
            self.gathered = rest;
            return Ok(taken);
        }
        let length = usize::try_from(length).map_err(|_| DecodeError::Short)?;
        let bytes = self.take(length)?;
        self.take(padding(length))?;
        Ok(bytes)
    }

    /// An array that must be of that many bytes.
    ///
    /// # Errors
    /// [`DecodeError::Length`] if it is not, or its arguments make no sense.
    pub fn array_of(
        &mut self,
        command: &'static str,
        wanted: Option<usize>,
    ) -> Result<&'a [u8], DecodeError> {
        let bytes = self.array_up_to(wanted.unwrap_or(usize::MAX))?;
        if wanted == Some(bytes.len()) {
            Ok(bytes)
        } else {
            Err(DecodeError::Length { command, is: bytes.len(), wanted })
        }
    }

    /// Null, memory of so many bytes (any number, if none is given), or an offset.
    ///
    /// # Errors
    /// As [`Self::array_of`].
    pub fn data(
        &mut self,
        command: &'static str,
        wanted: Option<Option<usize>>,
    ) -> Result<Data<'a>, DecodeError> {
        Ok(match self.u32()? {
            0 => Data::Null,
            1 => Data::Memory(match wanted {
                Some(wanted) => self.array_of(command, wanted)?,
                None => self.array()?,
            }),
            2 => Data::Offset(self.u64()?),
            _ => return Err(DecodeError::Value("the kind of a pointer")),
        })
    }

    /// The capacity of an array that is written; where it is known what is written, exactly that.
    ///
    /// # Errors
    /// [`DecodeError::Length`] or [`DecodeError::Limit`].
    pub fn capacity(
        &mut self,
        command: &'static str,
        wanted: Option<Option<usize>>,
    ) -> Result<u32, DecodeError> {
        let capacity = self.u32()?;
        let is = usize::try_from(capacity).map_err(|_| DecodeError::Limit("an answer"))?;
        if is > limits::ANSWER {
            return Err(DecodeError::Limit("an answer"));
        }
        match wanted {
            Some(wanted) if wanted != Some(is) => Err(DecodeError::Length { command, is, wanted }),
            _ => Ok(capacity),
        }
    }

    /// A text, with its length before it.
    ///
    /// # Errors
    /// [`DecodeError::Text`] if it is no UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.array()?).map_err(|_| DecodeError::Text)
    }

    /// So many things follow, each of at least `least` bytes: a count that the bytes cannot hold is refused.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.u32()?).map_err(|_| DecodeError::Short)?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(DecodeError::Short),
        }
    }

    /// Nothing may be left, nor of what parts have gathered.
    ///
    /// # Errors
    /// [`DecodeError::Long`].
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.rest.len() + self.gathered.len() {
            0 => Ok(()),
            left => Err(DecodeError::Long(left)),
        }
    }
}

fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

/// Puts a field.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts a field.
pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts a field.
pub fn put_f32(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts a field.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts a field.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts a field.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts an array as it is, however long: for messages that are not bounded by a command's length.
pub fn put_array(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(GATHERED - 1));
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0; 3][..padding(bytes.len())]);
}

/// Puts an array of a command, which [`put_parts`] was shown before.
pub(crate) fn put_command_array(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > limits::ARRAY {
        put_u32(out, GATHERED);
    } else {
        put_array(out, bytes);
    }
}

pub(crate) fn put_data(out: &mut Vec<u8>, data: &Data<'_>) {
    match *data {
        Data::Null => put_u32(out, 0),
        Data::Memory(bytes) => {
            put_u32(out, 1);
            put_command_array(out, bytes);
        }
        Data::Offset(offset) => {
            put_u32(out, 2);
            put_u64(out, offset);
        }
    }
}

/// An array that is too long for its command goes ahead of it.
pub(crate) fn put_parts(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > limits::ARRAY {
        for part in bytes.chunks(limits::PART) {
            let start = begin(out, crate::control::PART);
            put_array(out, part);
            end(out, start);
        }
    }
}

/// Opens a command; [`end`] writes its length.
pub(crate) fn begin(out: &mut Vec<u8>, opcode: u16) -> usize {
    let start = out.len();
    put_u32(out, u32::from(opcode));
    start
}

pub(crate) fn end(out: &mut [u8], start: usize) {
    let words = (out.len() - start) / 4 - 1;
    if let (Some(field), Ok(words)) = (out.get_mut(start + 2..start + 4), u16::try_from(words)) {
        field.copy_from_slice(&words.to_le_bytes());
    }
}

/// A command of scalars only: its header and fields at once.
pub(crate) fn put_words<const N: usize>(out: &mut Vec<u8>, words: [u32; N]) {
    let mut bytes = [[0; 4]; N];
    for (bytes, word) in bytes.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    out.extend_from_slice(bytes.as_flattened());
}

/// The two words of an eight-byte field.
pub(crate) fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}
