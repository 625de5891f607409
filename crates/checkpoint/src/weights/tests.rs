use std::fs;
use std::path::PathBuf;

use half::{bf16, f16};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::faults::{Fault, FaultyDisk};
use crate::{Manifest, Origin, OsDisk, StagedDir};

/// A file another program wrote.
pub(super) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Every tensor, bit for bit; as floats where the types differ.
pub(super) fn assert_same(found: &Weights, expected: &Weights) {
    assert_eq!(found.names().collect::<Vec<_>>(), expected.names().collect::<Vec<_>>());
    for name in expected.names() {
        let views = [found.get(name).unwrap(), expected.get(name).unwrap()];
        assert_eq!(views[0].shape, views[1].shape, "`{name}`");
        if views[0].dtype == views[1].dtype {
            assert!(views[0].bytes() == views[1].bytes(), "`{name}` has other elements");
        } else {
            let floats = |weights: &Weights| weights.to_f32(name).unwrap();
            let bits = |weights| floats(weights).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(found) == bits(expected), "`{name}` has other elements");
        }
    }
}

/// Indexes bytes as a file, and reads all that it claims to hold.
pub(super) fn read_all(bytes: &[u8]) -> Result<(), Problem> {
    for (name, Info { dtype, shape, place }) in
        Weights::default().index(Format::of(bytes), bytes)?
    {
        let view = TensorView { dtype, shape: &shape, file: bytes, place: &place };
        let _ = view.copy_f32(&name, &mut vec![0.0; shape.iter().product()]);
        let _ = view.to_i64(&name);
    }
    Ok(())
}

/// Whatever is done to a file: an error, or other tensors, but no panic. Nothing that is needed
/// comes last in one, so a cut may be no error.
pub(super) fn assert_survives(file: &[u8]) {
    read_all(file).unwrap();
    for len in 0..file.len() {
        let _ = read_all(&file[..len]);
    }
    for bit in 0..file.len() * 8 {
        let mut flipped = file.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = read_all(&flipped);
    }
}

fn file_of(json: &str, data: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), data].concat()
}

/// Opens `bytes` as a file; what is wrong with it, without its path.
fn refusal(bytes: &[u8]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    let message = Weights::open(&path).unwrap_err().to_string();
    let place = format!("`{}` is no valid safetensors file: ", path.display());
    message.strip_prefix(&place).expect("the file is named").to_owned()
}

#[test]
fn a_file_that_is_no_safetensors_is_refused() {
    assert_eq!(refusal(b""), "0 bytes are too few for a header");
    assert_eq!(refusal(b"1234567"), "7 bytes are too few for a header");
    assert_eq!(refusal(&file_of("", b"")), "its header does not begin with `{`");
    assert_eq!(refusal(&file_of(" {}", b"")), "its header does not begin with `{`");
    let not_utf8 = [&2_u64.to_le_bytes()[..], b"{\xff"].concat();
    assert!(refusal(&not_utf8).starts_with("its header is not what it should be"));
    let nested = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(refusal(&file_of(&nested, b"")).contains("tensor `a`: "));
}

#[test]
fn a_huge_header_is_refused_before_it_is_read() {
    let of_length = |length: u64| refusal(&[&length.to_le_bytes()[..], b"{}"].concat());
    assert_eq!(of_length(3), "a header of 3 bytes in a file of 10");
    assert_eq!(of_length(100_000_000), "a header of 100000000 bytes in a file of 10");
    for length in [100_000_001, u64::MAX - 7, u64::MAX] {
        let expected = format!("a header of {length} bytes, at most 100000000 allowed");
        assert_eq!(of_length(length), expected);
    }
}

#[test]
fn a_false_claim_is_refused_with_its_tensor() {
    let claim = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offsets}]}}"#)
    };
    let a = claim("a", "F32", "2", "0,8");
    let cases = [
        ("overlap", claim("b", "F32", "2", "4,12"), "offsets [4, 12] overlap"),
        ("same place", claim("b", "F32", "2", "0,8"), "offsets [0, 8] overlap"),
        ("hole", claim("b", "F32", "1", "12,16"), "offsets [12, 16] leave a hole after byte 8"),
        ("out of range", claim("b", "F32", "4", "8,24"), "are out of the 16 bytes of data"),
        ("far out", claim("b", "F32", "4", "8,18446744073709551615"), "are out of the 16 bytes"),
        ("backwards", claim("b", "F32", "2", "16,8"), "offsets [16, 8] run backwards"),
        ("wrong shape", claim("b", "F32", "3", "8,16"), "has 8 bytes, which is not [3] of F32"),
        ("wrong dtype", claim("b", "F64", "2", "8,16"), "has 8 bytes, which is not [2] of F64"),
        ("unknown dtype", claim("b", "F33", "2", "8,16"), "has unknown dtype `F33`"),
        ("overflow", claim("b", "F32", "4294967296,4294967296", "8,16"), "which overflows"),
        ("bits overflow", claim("b", "F32", "4611686018427387906", "8,16"), "which overflows"),
        ("half a byte", claim("b", "F4", "15", "8,16"), "has 8 bytes, which is not [15] of F4"),
    ];
    for (attack, b, expected) in cases {
        let found = refusal(&file_of(&format!("{{{a},{b}}}"), &[0; 16]));
        assert!(found.starts_with("tensor `b` ") && found.contains(expected), "{attack}: {found}");
    }
}

#[test]
fn a_header_that_says_other_things_is_refused() {
    let a = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let cases = [
        (format!("{{{a},{a}}}"), "tensor `a` is there twice"),
        (format!("{{{a}}}"), "8 bytes after the last tensor"),
        (r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#.into(), "tensor `a`: "),
        (r#"{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}"#.into(), "tensor `a`: "),
        (r#"{"a":{"dtype":"F32","shape":[2]}}"#.into(), "missing field `data_offsets`"),
        (r#"{"a":7}"#.into(), "tensor `a`: "),
        (format!(r#"{{"__metadata__":{{"format":7}},{a}}}"#), "`__metadata__`: "),
        (format!(r#"{{"__metadata__":{{}},"__metadata__":{{}},{a}}}"#), "is there twice"),
        (format!("{{{a}}} {{}}"), "trailing characters"),
    ];
    for (json, expected) in cases {
        let found = refusal(&file_of(&json, &[0; 16]));
        assert!(found.contains(expected), "{json}: {found}");
    }
}

/// Whatever bytes come: an error, or what the format's own crate accepts too.
fn assert_no_laxer(bytes: &[u8]) {
    if header::parse(bytes).is_ok() {
        safetensors::SafeTensors::deserialize(bytes).expect("accepted here");
    }
}

#[test]
fn a_flip_or_cut_of_a_header_is_judged_no_laxer_than_by_others() {
    let a = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let b = r#""b":{"dtype":"BF16","shape":[2,1],"data_offsets":[8,12]}"#;
    let whole = file_of(&format!("{{{a},{b}}}  "), &[0; 12]);
    assert!(header::parse(&whole).is_ok());
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_no_laxer(&flipped);
    }
    for len in 0..whole.len() {
        assert!(header::parse(&whole[..len]).is_err(), "cut to {len}");
    }
}

proptest! {
    #[test]
    fn random_headers_are_survived(
        claims in prop::collection::vec(("[ab]", "F32|U8|F4", 0..10, 0..40, 0..40), 0..3),
    ) {
        let claims = claims.iter().map(|(name, dtype, dim, begin, end)| format!(
            r#""{name}":{{"dtype":"{dtype}","shape":[{dim}],"data_offsets":[{begin},{end}]}}"#
        ));
        let json = format!("{{{}}}", claims.collect::<Vec<_>>().join(","));
        assert_no_laxer(&file_of(&json, &[0; 8]));
    }

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        assert_no_laxer(&bytes);
        assert_no_laxer(&file_of(&String::from_utf8_lossy(&bytes), &[]));
    }

    #[test]
    fn f32_round_trips_bit_for_bit(bits in prop::collection::vec(any::<u32>(), 0..40)) {
        let values: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let (_temp, weights) = written(&[Entry::new("x", &[bits.len()], Values::F32(&values))]);
        let found = weights.to_f32("x").unwrap();
        prop_assert_eq!(found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), bits);
    }
}

fn written(entries: &[Entry]) -> (TempDir, Weights) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.safetensors");
    save_file(&OsDisk, &path, entries).unwrap();
    let bytes = fs::read(&path).unwrap();
    safetensors::SafeTensors::deserialize(&bytes).expect("others read it");
    let weights = Weights::open(&path).unwrap();
    (temp, weights)
}

#[test]
fn every_type_round_trips_in_its_place() {
    let (f32s, i64s) = ([1.0, -0.5, 3e38], [i64::MIN, 7]);
    let (bf16s, f16s) = ([bf16::from_f32(1.5)], [f16::from_f32(-2.5), f16::INFINITY]);
    let (_temp, weights) = written(&[
        Entry::new("b", &[1, 1], Values::Bf16(&bf16s)),
        Entry::new("h", &[2], Values::F16(&f16s)),
        Entry::new("f", &[3, 1], Values::F32(&f32s)),
        Entry::new("i", &[2], Values::I64(&i64s)),
        Entry::new("scalar", &[], Values::F32(&[9.0])),
        Entry::new("none", &[0, 4], Values::F32(&[])),
        Entry::made("made", &[2], || vec![1.0, 1e-9]),
    ]);
    assert_eq!(weights.to_f32("f").unwrap(), f32s);
    assert_eq!(weights.to_f32("b").unwrap(), [1.5]);
    assert_eq!(weights.to_f32("h").unwrap(), [-2.5, f32::INFINITY]);
    assert_eq!(weights.to_i64("i").unwrap(), i64s);
    assert_eq!(weights.to_f32("scalar").unwrap(), [9.0]);
    assert!(weights.to_f32("none").unwrap().is_empty());
    assert_eq!(weights.to_f32("made").unwrap(), [1.0, 1e-9]);
    for name in weights.names() {
        let view = weights.get(name).unwrap();
        let size = view.dtype.n_bytes(&[1]).unwrap();
        let aligned = view.bytes().as_ptr().addr().is_multiple_of(size);
        assert!(aligned, "`{name}` lies misaligned");
    }
}

#[test]
fn what_others_wrote_is_read_even_misaligned() {
    let header = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "d":{"dtype":"F64","shape":[1],"data_offsets":[1,9]},
        "i":{"dtype":"I32","shape":[2],"data_offsets":[9,17]}}"#;
    let data = [&[5][..], &0.1_f64.to_le_bytes(), &(-3_i32).to_le_bytes(), &[1, 0, 0, 0]].concat();
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join(FILE_NAME), file_of(header, &data)).unwrap();
    let weights = Weights::open(temp.path()).unwrap();
    assert_eq!(weights.to_f32("d").unwrap(), [0.1]);
    assert_eq!(weights.to_i64("i").unwrap(), [-3, 1]);
    assert_eq!(weights.to_i64("a").unwrap(), [5]);
}

#[test]
fn a_tensor_of_another_name_type_or_shape_is_said() {
    let (temp, weights) = written(&[Entry::new("x", &[2, 1], Values::F32(&[1.0, 2.0]))]);
    let path = temp.path().join("x.safetensors");
    let message = weights.to_f32("y").unwrap_err().to_string();
    assert_eq!(message, format!("missing tensor `y` in `{}`", path.display()));
    let message = weights.to_i64("x").unwrap_err().to_string();
    assert_eq!(message, "tensor `x` is stored as F32, expected an integer type");
    let message = weights.read_f32("x", &[1, 2], &mut [0.0; 2]).unwrap_err().to_string();
    assert_eq!(message, "tensor `x` has shape [2, 1], expected [1, 2]");
    let mut into = [0.0; 2];
    weights.read_f32("x", &[2, 1], &mut into).unwrap();
    assert_eq!(into, [1.0, 2.0]);
}

/// Three tensors of 8 bytes, at most two a shard.
fn sharded() -> (TempDir, PathBuf, Manifest) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("model");
    let mut staged = StagedDir::begin(&OsDisk, &dir).unwrap();
    let entry = |name| Entry::new(name, &[2], Values::F32(&[1.0, 2.0]));
    save(&mut staged, "model", &[entry("a"), entry("b"), entry("c")], 16).unwrap();
    let manifest = staged.commit(Origin::default()).unwrap();
    (temp, dir, manifest)
}

const SHARD_2: &str = "model-00002-of-00002.safetensors";

#[test]
fn shards_are_named_as_transformers_names_them() {
    let (_temp, dir, manifest) = sharded();
    let index = "model.safetensors.index.json";
    let names: Vec<_> = manifest.files.keys().collect();
    assert_eq!(names, ["model-00001-of-00002.safetensors", SHARD_2, index]);
    let weights = Weights::open(&dir).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(weights.to_f32("c").unwrap(), [1.0, 2.0]);
    let json = fs::read_to_string(dir.join(index)).unwrap();
    assert!(json.contains("\"total_size\": 24") && json.contains("\"a\": \"model-00001"), "{json}");
}

#[test]
fn a_missing_shard_is_named_with_a_tensor_of_it() {
    let (_temp, dir, _) = sharded();
    fs::remove_file(dir.join(SHARD_2)).unwrap();
    let message = Weights::open(&dir).unwrap_err().to_string();
    assert!(message.starts_with(&format!("missing shard `{SHARD_2}` in ")), "{message}");
    assert!(message.ends_with("which should hold tensor `c`"), "{message}");
}

#[test]
fn an_index_that_names_files_elsewhere_is_refused() {
    let (_temp, dir, _) = sharded();
    let attacks =
        ["../x.safetensors", "/etc/passwd", "a/b", "..", "", r"..\\x", "C:x", r"a\u0000b"];
    for name in attacks {
        let json = format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#);
        fs::write(dir.join("model.safetensors.index.json"), json).unwrap();
        let message = Weights::open(&dir).unwrap_err().to_string();
        assert!(message.ends_with("outside the directory"), "{name}: {message}");
    }
    for json in ["", "[]", "{}", r#"{"weight_map": {"a": 7}}"#] {
        fs::write(dir.join("model.safetensors.index.json"), json).unwrap();
        let error = Weights::open(&dir).unwrap_err();
        assert!(matches!(error, CheckpointError::Index { .. }), "{json}: {error}");
    }
}

#[test]
fn an_index_that_claims_what_a_shard_lacks_is_refused() {
    let (_temp, dir, _) = sharded();
    let json = format!(r#"{{"weight_map": {{"a": "{SHARD_2}"}}}}"#);
    fs::write(dir.join("model.safetensors.index.json"), json).unwrap();
    let message = Weights::open(&dir).unwrap_err().to_string();
    assert!(
        message.starts_with("missing tensor `a` in ") && message.contains(SHARD_2),
        "{message}"
    );
}

#[test]
fn a_directory_without_weights_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let hint = || Weights::open(temp.path()).unwrap_err().hint().unwrap();
    assert!(hint().starts_with("expected `model.safetensors`"));
    for name in ["a.gguf", "b.gguf"] {
        fs::write(temp.path().join(name), "").unwrap();
    }
    assert_eq!(hint(), "there are several `*.gguf`: give the path of one");
    fs::write(temp.path().join("tf_model.h5"), b"\x89HDF\r\n\x1a\n").unwrap();
    let convert = format!(
        "M.from_pretrained('{0}', from_tf=True).save_pretrained('{0}')\"",
        temp.path().display()
    );
    assert!(hint().ends_with(&convert), "{}", hint());
    let error = Weights::open(&temp.path().join("tf_model.h5")).unwrap_err();
    assert!(error.hint().unwrap().ends_with(&convert), "{error:?}");
}

#[test]
fn a_directory_is_searched_in_order() {
    let temp = tempfile::tempdir().unwrap();
    let all = [
        "model.safetensors",
        "model.safetensors.index.json",
        "a.gguf",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "flax_model.msgpack",
        "tf_model.h5",
    ];
    for name in all {
        fs::write(temp.path().join(name), "").unwrap();
    }
    for name in &all[..6] {
        assert_eq!(find::in_dir(temp.path()).unwrap(), temp.path().join(name));
        fs::remove_file(temp.path().join(name)).unwrap();
    }
    assert!(find::in_dir(temp.path()).is_err());
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.safetensors");
    let entries = |values| [Entry::new("x", &[1], Values::F32(values))];
    for fault in [Fault::Kill, Fault::PowerLoss, Fault::Full] {
        for at in 1..10 {
            save_file(&OsDisk, &path, &entries(&[1.0])).unwrap();
            drop(save_file(&FaultyDisk::new(fault, at), &path, &entries(&[2.0])));
            let found = Weights::open(&path).unwrap().to_f32("x").unwrap();
            assert!(found == [1.0] || found == [2.0], "{fault:?} at {at}: {found:?}");
        }
    }
}

#[test]
#[should_panic(expected = "save: tensor `x` is there twice")]
fn a_name_twice_is_a_bug() {
    written(&[Entry::new("x", &[0], Values::F32(&[])), Entry::new("x", &[0], Values::F32(&[]))]);
}
