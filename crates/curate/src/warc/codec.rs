//! Decompression of a member (gzip) or frame (Zstandard), step by step.

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::Crc;
use zstd::stream::raw::{Decoder, Operation};

/// The first bytes of a gzip member: magic and the one method there is.
pub(super) const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// The first bytes of a Zstandard frame.
pub(super) const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The checksum and the size at the end of a member, in bytes.
pub(super) const GZIP_FOOTER: usize = 8;
/// A longer header is none, in bytes.
pub(super) const GZIP_HEADER_MAX: usize = 4096;

/// The bytes are not what the format has.
#[derive(Debug)]
pub(super) struct Corrupt;

/// What a step did.
pub(super) struct Step {
    pub n_read: usize,
    pub n_written: usize,
    /// Whether the compressed data ended; a gzip member's footer comes after that.
    pub is_end: bool,
}

/// A decompressor that is used again for every member.
pub(super) enum Codec {
    Deflate { state: Decompress, crc: Crc, n_bytes: u32 },
    Zstd(Decoder<'static>),
}

impl Codec {
    pub fn deflate() -> Self {
        Self::Deflate { state: Decompress::new(false), crc: Crc::new(), n_bytes: 0 }
    }

    /// `None` where this is no dictionary.
    pub fn zstd(dictionary: &[u8]) -> Option<Self> {
        Decoder::with_dictionary(dictionary).ok().map(Self::Zstd)
    }

    /// Makes it ready for a member, or says that it cannot be.
    pub fn restart(&mut self) -> Result<(), Corrupt> {
        match self {
            Self::Deflate { state, crc, n_bytes } => {
                state.reset(false);
                (*crc, *n_bytes) = (Crc::new(), 0);
                Ok(())
            }
            Self::Zstd(decoder) => decoder.reinit().map_err(|_| Corrupt),
        }
    }

    /// Goes on as far as input and room reach.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Corrupt> {
        match self {
            Self::Deflate { state, crc, n_bytes } => {
                let before = (state.total_in(), state.total_out());
                let status = state.decompress(input, output, FlushDecompress::None);
                let n_read = (state.total_in() - before.0) as usize;
                let n_written = (state.total_out() - before.1) as usize;
                crc.update(&output[..n_written]);
                *n_bytes = n_bytes.wrapping_add(n_written as u32);
                let is_end = status.map_err(|_| Corrupt)? == Status::StreamEnd;
                Ok(Step { n_read, n_written, is_end })
            }
            Self::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output).map_err(|_| Corrupt)?;
                let (n_read, n_written) = (status.bytes_read, status.bytes_written);
                Ok(Step { n_read, n_written, is_end: status.remaining == 0 })
            }
        }
    }

    /// The bytes that follow the compressed data.
    pub fn footer_len(&self) -> usize {
        if matches!(self, Self::Deflate { .. }) { GZIP_FOOTER } else { 0 }
    }

    /// Whether the footer is that of what came out.
    pub fn is_footer(&self, footer: &[u8]) -> bool {
        match self {
            Self::Deflate { crc, n_bytes, .. } => {
                footer[..4] == crc.sum().to_le_bytes() && footer[4..] == n_bytes.to_le_bytes()
            }
            Self::Zstd(_) => true,
        }
    }
}

/// The length of a gzip member's header in bytes (RFC 1952, section 2.3); `None` where it is none.
pub(super) fn gzip_header(bytes: &[u8]) -> Option<usize> {
    const HCRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let flags = *bytes.get(3).filter(|flags| **flags & 0xe0 == 0)?;
    if !bytes.starts_with(&GZIP) {
        return None;
    }
    let mut at = 10;
    if flags & EXTRA != 0 {
        let len = bytes.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            at += memchr::memchr(0, bytes.get(at..)?)? + 1;
        }
    }
    if flags & HCRC != 0 {
        at += 2;
    }
    (at < bytes.len()).then_some(at)
}

/// Whether a Zstandard frame begins here, or one that is to be skipped.
pub(super) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&ZSTD)
        || bytes.first_chunk().is_some_and(|[low, rest @ ..]: &[u8; 4]| {
            low & 0xf0 == 0x50 && *rest == [0x2a, 0x4d, 0x18]
        })
}
