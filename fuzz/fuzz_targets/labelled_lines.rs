//! Articles of SQuAD, where the first byte is even, and CoNLL's columns.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        let list = [b"{\"data\": [{\"paragraphs\": ".as_slice(), bytes, b"}]}"].concat();
        return lyceum_fuzz::records("a.json", &list);
    }
    lyceum_fuzz::records("a.conll", bytes);
});
