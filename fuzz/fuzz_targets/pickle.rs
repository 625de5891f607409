//! What `torch.save` may have written: a zip, else a pickle.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let is_zip = bytes.starts_with(b"PK");
    lyceum_fuzz::weights(if is_zip { b"" } else { b"\x80\x02" }, bytes);
});
