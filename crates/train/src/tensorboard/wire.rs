//! The two encodings of an event file: protobuf messages, and records around them.

/// A protobuf message under construction: fields in the order they are added.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// What goes on the wire.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// An integer or enum field.
    pub(super) fn varint(self, field: u32, value: u64) -> Self {
        self.key(field, 0).raw_varint(value)
    }

    /// A `double` field.
    pub(super) fn double(self, field: u32, value: f64) -> Self {
        self.key(field, 1).raw(&value.to_le_bytes())
    }

    /// A `float` field.
    pub(super) fn float(self, field: u32, value: f32) -> Self {
        self.key(field, 5).raw(&value.to_le_bytes())
    }

    /// A `string` field.
    pub(super) fn text(self, field: u32, value: &str) -> Self {
        self.key(field, 2).raw_varint(value.len() as u64).raw(value.as_bytes())
    }

    /// A field that is itself a message.
    pub(super) fn message(self, field: u32, value: &Message) -> Self {
        self.key(field, 2).raw_varint(value.0.len() as u64).raw(&value.0)
    }

    fn key(self, field: u32, wire_type: u32) -> Self {
        self.raw_varint(u64::from(field << 3 | wire_type))
    }

    fn raw_varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// `data` framed as a `TFRecord`.
pub(super) fn record(data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u64).to_le_bytes();
    [&len[..], &masked_crc(&len), data, &masked_crc(data)].concat()
}

pub(super) fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4, bit-reflected, a byte at a time.
pub(super) fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize];
    !data.iter().fold(!0, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};
