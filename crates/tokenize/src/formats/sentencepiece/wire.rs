//! Protocol Buffers' wire format, as much as a model file has of it.
//!
//! Google, "Protocol Buffers: Encoding". Every length is held against what is there.

/// A field's value; groups, which nobody writes any more, are refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

impl<'a> Wire<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(format!("a field is {other:?}, not bytes")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|error| error.to_string())
    }

    /// An `int32` or an enum: a negative one is written as 64 bits.
    pub(crate) fn int(self) -> Result<i64, String> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            other => Err(format!("a field is {other:?}, not a number")),
        }
    }

    pub(crate) fn float(self) -> Result<f32, String> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            other => Err(format!("a field is {other:?}, not a float")),
        }
    }
}

/// The fields of a message, in the order of the file.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, n_bytes: u64) -> Result<&'a [u8], String> {
        let there = self.rest.len();
        let taken = usize::try_from(n_bytes).ok().and_then(|n| self.rest.split_at_checked(n));
        let (taken, rest) =
            taken.ok_or_else(|| format!("a field of {n_bytes} bytes, where {there} are left"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1).map_err(|_| "it ends inside a number")?[0];
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits".to_owned())
    }

    fn field(&mut self) -> Result<(u64, Wire<'a>), String> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Wire::Fixed64
            }
            2 => {
                let n_bytes = self.varint()?;
                Wire::Bytes(self.take(n_bytes)?)
            }
            5 => Wire::Fixed32(self.take(4)?.try_into().map_err(|_| "4 bytes")?),
            kind => return Err(format!("a field of the wire type {kind}")),
        };
        Ok((key >> 3, wire))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), String>;

    /// The number of the next field, and its value; nothing after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, String> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_are_read() {
        let fields = read(b"\x08\x96\x01\x12\x02hi\x1d\x00\x00\x80\x3f").unwrap();
        assert_eq!(fields[0], (1, Wire::Varint(150)));
        assert_eq!(fields[1].1.text().unwrap(), "hi");
        assert_eq!(fields[2].1.float().unwrap(), 1.0);
        let minus = read(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").unwrap();
        assert_eq!(minus[0].1.int().unwrap(), -1);
    }

    #[test]
    fn hostile_bytes_are_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"\x08", "inside a number"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "more than 64 bits"),
            (b"\x12\x05hi", "5 bytes, where 2 are left"),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "are left"),
            (b"\x0b", "wire type 3"),
            (b"\x1d\x00", "4 bytes, where 1"),
        ];
        for (bytes, expected) in cases {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(expected), "{expected} in {error}");
        }
    }
}
