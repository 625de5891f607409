use std::fs;

use proptest::prelude::*;

use super::super::Weights;
use super::super::tests::{assert_same, assert_survives, golden, read_all};
use super::*;

#[test]
fn what_flax_wrote_is_read_bit_for_bit() {
    let expected = Weights::open(&golden("flax/all.safetensors")).unwrap();
    assert_same(&Weights::open(&golden("flax/all.msgpack")).unwrap(), &expected);
}

#[test]
fn cut_and_flipped_files_are_survived() {
    let file = fs::read(golden("flax/all.msgpack")).unwrap();
    assert_survives(&file);
    for len in 1..file.len() {
        assert!(index(&file[..len]).is_err(), "cut to {len}");
    }
}

/// A map of `a` to what follows.
fn of(value: &[u8]) -> Vec<u8> {
    [b"\x81\xa1a", value].concat()
}

/// An array's extension, its length in a byte.
fn ext(payload: &[u8]) -> Vec<u8> {
    [&[0xc7, payload.len() as u8, ARRAY], payload].concat()
}

#[test]
fn a_file_that_lies_is_refused() {
    let u8s = |shape: &[u8], n: u8| {
        let dims = [&[0x90 | shape.len() as u8], shape].concat();
        ext(&[b"\x93", &dims[..], b"\xa5uint8\xc4", &[n], &vec![0; n.into()]].concat())
    };
    let chunked = |shape: &[u8], chunks: &[u8]| {
        of(&[b"\x83\xb9__msgpack_chunked_array__\xc3\xa5shape", shape, b"\xa6chunks", chunks]
            .concat())
    };
    index(&of(&u8s(&[2], 2))).unwrap();
    index(&chunked(b"\x81\xa10\x02", &[b"\x81\xa10", &u8s(&[2], 2)[..]].concat())).unwrap();
    let deep = [b"\x81\xa1a".repeat(70), vec![0x80]].concat();
    let long = [b"\x81\xda\x02\x00", &[b'a'; 512][..], b"\x80"].concat();
    let cases = [
        (vec![0x90], "no map of arrays"),
        (vec![0x81], "cut short"),
        (vec![0xdf, 0xff, 0xff, 0xff, 0xff], "cut short"),
        (b"\x81\x01\x01".to_vec(), "no name at byte 1"),
        (of(b"\xc1"), "no item at byte 3"),
        (of(b"\x90"), "a list at byte 3"),
        (of(b"\x01\x01"), "bytes after the last array"),
        (of(b"\xdb\xff\xff\xff\xff"), "cut short"),
        (deep, "maps in more than 64 others"),
        (long, "a name of more than 512 bytes"),
        ([b"\x82", &of(&u8s(&[2], 2))[1..], &of(&u8s(&[2], 2))[1..]].concat(), "is there twice"),
        (of(&u8s(&[3], 2)), "an array of 2 bytes, which is not [3] of U8"),
        (of(&u8s(&[1; 9], 1)), "an array of 9 dimensions"),
        (of(&ext(b"\x93\x91\x02\xa2ab\xc4\x00")), "an array of unknown type \"ab\""),
        (of(&ext(b"\x92\x91\x02")), "no array at byte 6"),
        (of(&ext(b"\x93\x91\xff")), "no array at byte 6"),
        (of(&ext(b"\x93\x91\x02\xa5uint8\xc4\x00\x00")), "no array at byte 6"),
        (chunked(b"\x81\xa10\x03", &[b"\x81\xa10", &u8s(&[2], 2)[..]].concat()), "in pieces"),
        (chunked(b"\x81\xa10\x03", b"\x80"), "in pieces"),
        (chunked(b"\x01", b"\x80"), "in pieces"),
    ];
    for (file, expected) in cases {
        let found = index(&file).unwrap_err();
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

const MARKERS: &[u8] = b"\x80\x81\x82\x90\x91\x93\xa1a\xc4\xc7\xcc\xcf\xd4\xd9\xde\x01\x02\xc1";

proptest! {
    #[test]
    fn random_items_are_survived(
        items in prop::collection::vec(
            prop::sample::select(MARKERS),
            0..60,
        ),
    ) {
        let _ = read_all(&[b"\x8f", &items[..]].concat());
    }
}
