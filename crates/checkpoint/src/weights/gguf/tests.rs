use std::fs;

use proptest::prelude::*;

use super::super::tests::{assert_same, golden, read_all};
use super::super::{Entry, Values, Weights};
use super::*;
use crate::OsDisk;
use crate::error::Problem;

fn all() -> Weights {
    Weights::open(&golden("gguf/all.gguf")).unwrap()
}

/// A file of `n_tensors` and `n_values` that are in `rest`.
fn file_of(n_tensors: u64, n_values: u64, rest: &[u8]) -> Vec<u8> {
    let counts = [n_tensors.to_le_bytes(), n_values.to_le_bytes()].concat();
    [MAGIC, &VERSION.to_le_bytes()[..], &counts, rest].concat()
}

fn value_of(key: &str, kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    metadata::write_string(key, &mut out);
    [&out, &kind.to_le_bytes()[..], bytes].concat()
}

fn tensor_of(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut out = vec![];
    metadata::write_string(name, &mut out);
    out.extend((dims.len() as u32).to_le_bytes());
    out.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
    [&out, &kind.to_le_bytes()[..], &offset.to_le_bytes()].concat()
}

fn problem(file: &[u8]) -> String {
    match read_all(file).unwrap_err() {
        Problem::Malformed(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_type_is_what_ggml_says_bit_for_bit() {
    assert_same(&all(), &Weights::open(&golden("gguf/all.safetensors")).unwrap());
}

#[test]
fn every_kind_of_metadata_is_read() {
    let weights = all();
    let metadata = weights.metadata().unwrap();
    let get = |key: &str| metadata.get(key).unwrap();
    assert_eq!(get("general.architecture").as_str(), Some("llama"));
    let cases = [
        ("uint8", Value::U8(200)),
        ("int8", Value::I8(-100)),
        ("uint16", Value::U16(60_000)),
        ("int16", Value::I16(-30_000)),
        ("uint32", Value::U32(4_000_000_000)),
        ("int32", Value::I32(-2_000_000_000)),
        ("uint64", Value::U64(1 << 63)),
        ("int64", Value::I64(-(1 << 62))),
        ("float32", Value::F32(0.5)),
        ("float64", Value::F64(0.1)),
        ("bool", Value::Bool(true)),
    ];
    for (key, expected) in cases {
        assert_eq!(get(&format!("test.{key}")), expected);
    }
    let tokens = get("tokenizer.ggml.tokens");
    let tokens = tokens.as_array().unwrap();
    assert!(tokens.iter().eq(["It", "was", "\u{6c34}", ""].map(Value::Str)));
    let nested = get("test.nested");
    let lens: Vec<_> =
        nested.as_array().unwrap().iter().map(|inner| inner.as_array().unwrap().len()).collect();
    assert_eq!(lens, [2, 1]);
    assert!(metadata.get("none").is_none());
    assert_eq!(metadata.keys().count(), 15);
    let plain = Weights::open(&golden("gguf/all.safetensors")).unwrap();
    assert!(plain.metadata().is_none());
}

#[test]
fn numbers_are_read_in_any_width() {
    assert_eq!(Value::U8(7).to_u64(), Some(7));
    assert_eq!(Value::I32(7).to_u64(), Some(7));
    assert_eq!(Value::I32(-7).to_u64(), None);
    assert_eq!(Value::U64(u64::MAX).to_i64(), None);
    assert_eq!(Value::U16(7).to_i64(), Some(7));
    assert_eq!(Value::F32(0.5).to_f64(), Some(0.5));
    assert_eq!(Value::F64(7.0).to_u64(), None);
    assert_eq!(Value::U8(1).to_bool(), None);
}

#[test]
fn cut_and_flipped_files_are_survived() {
    let file = fs::read(golden("gguf/all.gguf")).unwrap();
    // What comes after these is data.
    let header = 2_200;
    for len in 0..header {
        assert!(read_all(&file[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..header * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = read_all(&flipped);
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let array = |kind: u32, len: u64| [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat();
    let value = |kind: u32, bytes: &[u8]| file_of(0, 1, &value_of("a", kind, bytes));
    let nested = [array(9, 1), array(9, 1), array(9, 1), array(9, 1), array(0, 0)].concat();
    let twice = value_of("a", 0, &[1]).repeat(2);
    let alignment = |n: u32| file_of(0, 1, &value_of(ALIGNMENT, 4, &n.to_le_bytes()));
    let cases = [
        (b"GGUF".to_vec(), "cut short"),
        (b"GGUF\x01\0\0\0".to_vec(), "its version is 1; 2 and 3 are read"),
        (b"GGUF\0\0\0\x03".to_vec(), "its version is 50331648"),
        (file_of(u64::MAX, 0, b""), "cut short"),
        (file_of(0, u64::MAX, b""), "cut short"),
        (value(13, b""), "value `a` is of unknown type 13"),
        (value(8, &u64::MAX.to_le_bytes()), "value `a` is cut short"),
        (value(9, &array(13, 0)), "an array of unknown type 13"),
        (value(9, &array(10, u64::MAX)), "an array that overflows"),
        (value(9, &array(0, u64::MAX)), "cut short"),
        (value(9, &array(8, u64::MAX)), "cut short"),
        (value(9, &nested), "an array in more than 4 others"),
        (file_of(0, 2, &twice), "value `a` is there twice"),
        (alignment(0), "`general.alignment` is no power of two"),
        (alignment(24), "`general.alignment` is no power of two"),
    ];
    for (file, expected) in cases {
        let found = problem(&file);
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn a_tensor_that_lies_is_refused() {
    let file = |tensors: &[Vec<u8>], data: usize| {
        let mut file = file_of(tensors.len() as u64, 0, &tensors.concat());
        file.resize(file.len().next_multiple_of(32) + data, 0);
        file
    };
    let one = |dims: &[u64], kind, offset| file(&[tensor_of("a", dims, kind, offset)], 64);
    read_all(&one(&[16], 0, 0)).unwrap();
    read_all(&one(&[32], 2, 32)).unwrap();
    read_all(&one(&[0, 1 << 40], 0, 0)).unwrap();
    read_all(&one(&[], 0, 0)).unwrap();
    let max = u64::MAX;
    let cases = [
        (one(&[17], 0, 0), "tensor `a` at offset 0 is cut short"),
        (one(&[16], 0, 32), "tensor `a` at offset 32 is cut short"),
        (one(&[16], 0, max - 31), "cut short"),
        (one(&[8], 0, 4), "tensor `a` at offset 4 is not aligned"),
        (one(&[max, max], 0, 0), "which F32 cannot be"),
        (one(&[max], 0, 0), "which F32 cannot be"),
        (one(&[33], 2, 0), "has shape [33], which Q4_0 cannot be"),
        (one(&[], 2, 0), "has shape [], which Q4_0 cannot be"),
        (one(&[1; 5], 0, 0), "has 5 dimensions"),
        (one(&[16], 4, 0), "is of type 4 of GGML"),
        (file(&[tensor_of("a", &[1], 0, 0), tensor_of("a", &[1], 0, 32)], 64), "is there twice"),
        (file(&[tensor_of("a", &[9], 0, 0), tensor_of("b", &[1], 0, 32)], 64), "overlaps"),
        (file(&[tensor_of("a", &[1], 0, 0), tensor_of("b", &[1], 0, 0)], 64), "overlaps"),
    ];
    for (file, expected) in cases {
        let found = problem(&file);
        assert!(found.starts_with("tensor `") && found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.gguf");
    let source = all();
    let metadata = source.metadata().unwrap();
    let values: Vec<_> = metadata.keys().map(|key| (key, metadata.get(key).unwrap())).collect();
    let f32s = source.to_f32("Q8_0.in").unwrap();
    let made = |name, dtype| Entry::made_as(dtype, name, &[2, 256], || f32s.clone());
    let scalar = Entry::new("scalar", &[], Values::F32(&[1.5]));
    let entries = [
        made("F32", Dtype::F32.into()),
        made("F16", Dtype::F16.into()),
        scalar,
        made("BF16", Dtype::BF16.into()),
        made("Q8_0", Stored::Blocks(Block::Q8_0)),
    ];
    save_file(&OsDisk, &path, &values, &entries).unwrap();
    let written = Weights::open(&path).unwrap();
    for name in ["F32", "F16", "BF16", "Q8_0"] {
        let (found, expected) = (written.get(name).unwrap(), source.get(name).unwrap());
        assert_eq!((found.dtype, found.shape), (expected.dtype, expected.shape));
        assert!(found.bytes() == expected.bytes(), "`{name}` is not what GGML writes");
    }
    assert_eq!(written.to_f32("scalar").unwrap(), [1.5]);
    let again = written.metadata().unwrap();
    assert!(again.keys().eq(metadata.keys()));
    assert!(again.keys().all(|key| again.get(key) == metadata.get(key)));
}

#[test]
fn an_alignment_that_is_given_is_kept_to() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.gguf");
    let entries = ["a", "b"].map(|name| Entry::new(name, &[1], Values::F32(&[2.0])));
    save_file(&OsDisk, &path, &[(ALIGNMENT, Value::U32(128))], &entries).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len() % 128, 0);
    assert_eq!(Weights::open(&path).unwrap().to_f32("b").unwrap(), [2.0]);
}

#[test]
#[should_panic(expected = "save: `x` is Q8_0, which is GGUF's")]
fn blocks_in_safetensors_are_a_bug() {
    let temp = tempfile::tempdir().unwrap();
    let entry = Entry::made_as(Stored::Blocks(Block::Q8_0), "x", &[32], || vec![0.0; 32]);
    super::super::save_file(&OsDisk, &temp.path().join("x"), &[entry]).unwrap();
}

proptest! {
    #[test]
    fn random_bytes_are_survived(n in 0..3_u64, rest in prop::collection::vec(0..14_u8, 0..80)) {
        let _ = read_all(&file_of(n, 1, &rest));
        let _ = read_all(&file_of(n, 0, &rest));
    }
}
