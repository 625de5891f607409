use std::fs;

use proptest::prelude::*;

use super::super::Weights;
use super::super::tests::{assert_same, assert_survives, golden, read_all};
use crate::CheckpointError;
use crate::error::Problem;

const NAMES: [&str; 4] = ["plain", "strided", "module", "parameters"];

/// A zip of stored members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (vec![], vec![]);
    for (name, bytes) in members {
        let (at, len) = (file.len() as u32, (bytes.len() as u32).to_le_bytes());
        let sizes = [&[0; 4], &len[..], &len, &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        file.extend([b"PK\x03\x04", &[0; 10][..], &sizes, name.as_bytes(), bytes].concat());
        directory.extend([b"PK\x01\x02", &[0; 12][..], &sizes, &[0; 10]].concat());
        directory.extend([&at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (n, at) = (members.len() as u16, file.len() as u32);
    let end = [&n.to_le_bytes()[..], &[0; 4], &at.to_le_bytes(), &[0; 2]].concat();
    [file, directory, b"PK\x05\x06".to_vec(), vec![0; 6], end].concat()
}

/// As `torch.save` would wrap a pickle, with a storage `0` of eight bytes.
fn zip_of(pickle: &[u8]) -> Vec<u8> {
    archive(&[("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &[0; 8])])
}

/// What is wrong with a pickle.
fn problem(pickle: &[u8]) -> String {
    match read_all(&zip_of(pickle)).unwrap_err() {
        Problem::Malformed(problem) => problem,
        other => panic!("{other:?}"),
    }
}

/// A pickle of `{"w": tensor}` with a storage of two f32, rebuilt from (offset, size, stride).
fn tensor(offset: i32, size: &[i32], stride: &[i32]) -> Vec<u8> {
    let int = |x: &i32| [b"J", &x.to_le_bytes()[..]].concat();
    let tuple =
        |xs: &[i32]| [b"(", &xs.iter().flat_map(int).collect::<Vec<_>>()[..], b"t"].concat();
    [
        &b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\n"
            [..],
        b"U\x010U\x03cpuK\x02tQ",
        &int(&offset),
        &tuple(size),
        &tuple(stride),
        b"\x89NtRs.",
    ]
    .concat()
}

#[test]
fn what_torch_saved_is_read_bit_for_bit() {
    for name in NAMES {
        let expected = Weights::open(&golden(&format!("torch/{name}.safetensors"))).unwrap();
        for format in ["zip", "legacy"] {
            let found = Weights::open(&golden(&format!("torch/{name}.{format}.pt"))).unwrap();
            assert_same(&found, &expected);
        }
    }
    let expected = Weights::open(&golden("torch/protocol4.safetensors")).unwrap();
    assert_same(&Weights::open(&golden("torch/protocol4.zip.pt")).unwrap(), &expected);
}

#[test]
fn shards_of_pickles_are_read_by_their_index() {
    let temp = tempfile::tempdir().unwrap();
    let place = |name: &str| temp.path().join(name);
    fs::copy(golden("torch/plain.zip.pt"), place("pytorch_model-1.bin")).unwrap();
    fs::copy(golden("torch/module.legacy.pt"), place("pytorch_model-2.bin")).unwrap();
    let json =
        r#"{"weight_map": {"float16": "pytorch_model-1.bin", "2.bias": "pytorch_model-2.bin"}}"#;
    fs::write(place("pytorch_model.bin.index.json"), json).unwrap();
    let weights = Weights::open(temp.path()).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["2.bias", "float16"]);
    assert_eq!(weights.to_f32("float16").unwrap()[..4], [-3.0, -2.0, -1.0, 0.0]);
}

#[test]
fn cut_and_flipped_files_are_survived() {
    for name in ["strided.zip", "module.legacy"] {
        let file = fs::read(golden(&format!("torch/{name}.pt"))).unwrap();
        assert_survives(&file);
        assert!(read_all(&file[..file.len() - 1]).is_err(), "{name}");
    }
}

#[test]
fn a_program_is_refused_by_name_and_never_run() {
    let cases: [(&[u8], &str, usize); 9] = [
        (b"cos\nsystem\n(U\x04exittR.", "`os.system`", 0),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93)R.", "`posix.system`", 17),
        (b"N0c__builtin__\neval\n.", "`__builtin__.eval`", 2),
        (b"ctorch\nload\n.", "`torch.load`", 0),
        (b"cos\x1b[2J\nsystem\n.", "`os\\u{1b}[2J.system`", 0),
        (b"(Nios\nsystem\n.", "opcode 0x69 (INST)", 2),
        (b"ctorch\nSize\n)\x81.", "opcode 0x81 (NEWOBJ)", 13),
        (b"}}R.", "a call of what is no function", 2),
        (b"ctorch\nSize\n}b.", "attributes of an object", 13),
    ];
    for (pickle, expected, expected_at) in cases {
        // The first member's bytes stand behind a header of 30 bytes and a name of 10.
        let alone = [b"\x80\x02", pickle].concat();
        for (file, start) in [(alone, 2), (zip_of(pickle), 40)] {
            match read_all(&file).unwrap_err() {
                Problem::Refused { what, at } => {
                    assert_eq!((what.as_str(), at), (expected, expected_at + start));
                }
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_refusal_names_the_file_and_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("pytorch_model.bin");
    fs::write(&path, b"\x80\x02cos\nsystem\nU\x08rm -rf ~\x85R.").unwrap();
    let error = Weights::open(temp.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::Refused { .. }));
    let expected =
        format!("`{}` asks for `os.system` at byte 2, which no tensor needs", path.display());
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().starts_with("a pickle may run any program"));
}

#[test]
fn a_tensor_reaches_no_further_than_its_storage() {
    read_all(&zip_of(&tensor(0, &[2], &[1]))).unwrap();
    read_all(&zip_of(&tensor(1, &[1, 7, 1], &[9, 0, 9]))).unwrap();
    read_all(&zip_of(&tensor(9, &[0, 5], &[5, 1]))).unwrap();
    let out = "of its storage";
    let cases: [(i32, &[i32], &[i32], &str); 9] = [
        (0, &[3], &[1], out),
        (2, &[1], &[1], out),
        (1, &[2], &[1], out),
        (0, &[2, 2], &[1, 1], out),
        (0, &[2], &[i32::MAX], out),
        (-1, &[1], &[1], "a negative size -1"),
        (0, &[2], &[-1], "a negative size -1"),
        (0, &[i32::MAX, i32::MAX, i32::MAX], &[0, 0, 0], "more than the file"),
        (0, &[1; 9], &[1; 9], "has 9 dimensions"),
    ];
    for (offset, size, stride, expected) in cases {
        let found = problem(&tensor(offset, size, stride));
        assert!(found.starts_with("tensor `w` ") && found.contains(expected), "{found}");
    }
    assert!(problem(&tensor(0, &[1], &[1, 1])).contains("has shape [1] and strides [1, 1]"));
}

#[test]
fn a_pickle_that_is_malformed_is_refused() {
    let cases: [(&[u8], &str); 14] = [
        (b"", "cut short"),
        (b".", "an empty stack"),
        (b"(.", "an empty stack"),
        (b"N\x85\x86.", "too few values"),
        (b"t.", "no mark"),
        (b"h\x00.", "nothing in that memo"),
        (b"NNa.", "items for what is no container"),
        (b"NQ.", "a persistent id that is no tuple"),
        (b"ctorch\nSize\nN\x85R.", "other arguments"),
        (b"U\x02\xff\xfe.", "not in UTF-8"),
        (b"X\xff\xff\xff\xff.", "cut short"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"),
        (b"N.", "holds no tensors by name"),
        (b"}U\x01a}s.", "holds no tensors by name"),
    ];
    for (pickle, expected) in cases {
        let found = problem(pickle);
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert_eq!(problem(&b"N0".repeat(1 << 22)), "a pickle of more than 4194304 opcodes");
}

#[test]
fn a_container_in_itself_is_no_loop() {
    assert!(problem(b"}q\x00U\x01ah\x00s.").contains("holds no tensors by name"));
    let deep = [b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat();
    assert!(problem(&deep).contains("holds no tensors by name"));
}

#[test]
fn one_dict_of_tensors_is_meant() {
    let dict = tensor(0, &[2], &[1]);
    let dict = &dict[2..dict.len() - 1];
    let nest = |keys: &[&[u8]]| {
        let items = keys.iter().flat_map(|key| [&b"U\x01"[..], key, dict, b"s"].concat());
        zip_of(&[&b"}"[..], &items.collect::<Vec<_>>(), b"."].concat())
    };
    read_all(&nest(&[b"a"])).unwrap();
    let found = format!("{:?}", read_all(&nest(&[b"a", b"b"])).unwrap_err());
    assert!(found.contains("several dicts of tensors"), "{found}");
}

#[test]
fn an_archive_that_lies_is_refused() {
    let pickle = tensor(0, &[2], &[1]);
    let whole = zip_of(&pickle);
    let changed = |from: &[u8], to: &[u8], nth: usize| {
        let mut places = whole.windows(from.len()).enumerate().filter(|(_, bytes)| *bytes == from);
        let at = places.nth(nth).unwrap().0;
        let file = [&whole[..at], to, &whole[at + from.len()..]].concat();
        format!("{:?}", read_all(&file).unwrap_err())
    };
    let of = |members: &[(&str, &[u8])]| format!("{:?}", read_all(&archive(members)).unwrap_err());
    assert!(changed(b"a/data/0", b"a/data/1", 1).contains("has no `0`"));
    assert!(changed(b"little", b"biggie", 0).contains("is big-endian"));
    let deflated = changed(b"PK\x01\x02\0\0\0\0\0\0\0\0", b"PK\x01\x02\0\0\0\0\0\0\x08\0", 0);
    assert!(deflated.contains("member `a/data.pkl` is compressed"), "{deflated}");
    assert!(changed(b"PK\x05\x06", b"PK\x05\x05", 0).contains("without its directory"));
    assert!(of(&[("a/data", b"")]).contains("without `data.pkl`"));
    assert!(of(&[("a/data.pkl", b"."), ("a/data.pkl", b".")]).contains("is there twice"));
    let short = of(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 7])]);
    assert!(short.contains("a storage of 2 F32 in 7 bytes"), "{short}");
    // Both members at the place of the first.
    let second = archive(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]);
    let local = (30 + 10 + pickle.len() as u32).to_le_bytes();
    let last = second.windows(4).rposition(|bytes| bytes == local).unwrap();
    let overlapping = [&second[..last], &[0; 4], &second[last + 4..]].concat();
    let found = format!("{:?}", read_all(&overlapping).unwrap_err());
    assert!(found.contains("`a/data.pkl` and `b/data.pkl` overlap"), "{found}");
}

#[test]
fn wide_archives_are_read() {
    let pickle = tensor(0, &[2], &[1]);
    let whole = zip_of(&pickle);
    let end = whole.len() - 22;
    let (n, at) = (u64::from(whole[end + 10]), &whole[end + 16..end + 20]);
    let mut wide = whole[..end].to_vec();
    let wide_end = [b"PK\x06\x06", &[0; 28][..], &n.to_le_bytes(), &[0; 8], at, &[0; 4]].concat();
    let place = (wide.len() as u64).to_le_bytes();
    wide.extend([&wide_end[..], b"PK\x06\x07", &[0; 4], &place, &[0; 4]].concat());
    wide.extend([b"PK\x05\x06", &[0xff; 16][..], &[0; 2]].concat());
    read_all(&wide).unwrap();
}

const OPCODES: &[u8] = b"N\x88KMJ\x8aXUCB)]}t\x85\x86\x87dhjqr\x94cR\x93Q(01asebu.\0\x01w";

proptest! {
    #[test]
    fn random_opcodes_are_survived(
        opcodes in prop::collection::vec(
            prop::sample::select(OPCODES),
            0..60,
        ),
    ) {
        let _ = read_all(&zip_of(&opcodes));
        let _ = read_all(&[b"\x80\x02", &opcodes[..]].concat());
    }
}
