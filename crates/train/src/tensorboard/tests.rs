use std::collections::BTreeMap;

use std::fs;

use super::wire::{crc32c, masked_crc};
use super::*;
use crate::metrics::Scores;

/// A field of a message: its number and its value, numbers as raw bits.
#[derive(Debug, PartialEq)]
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let n = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (head, tail) = bytes.split_at(n);
    *bytes = tail;
    head.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

fn fixed(bytes: &mut &[u8], n: usize) -> u64 {
    let (head, tail) = bytes.split_at(n);
    *bytes = tail;
    head.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A message decoded by the letter of the protobuf encoding, apart from the writer.
fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        fields.push(match key & 7 {
            0 => Field::Number(key >> 3, varint(&mut bytes)),
            1 => Field::Number(key >> 3, fixed(&mut bytes, 8)),
            5 => Field::Number(key >> 3, fixed(&mut bytes, 4)),
            2 => {
                let n = varint(&mut bytes) as usize;
                let (head, tail) = bytes.split_at(n);
                bytes = tail;
                Field::Bytes(key >> 3, head)
            }
            other => panic!("wire type {other}"),
        });
    }
    fields
}

/// The messages of a file, its checksums checked.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_at(8);
        assert_eq!(rest[..4], masked_crc(len));
        let n = u64::from_le_bytes(len.try_into().unwrap()) as usize;
        let (data, rest) = rest[4..].split_at(n);
        assert_eq!(rest[..4], masked_crc(data));
        records.push(data);
        bytes = &rest[4..];
    }
    records
}

fn event_files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn crc32c_is_castagnoli() {
    // The check value of the catalogue of CRCs, then RFC 3720 B.4.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
}

#[test]
fn a_file_decodes_to_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(dir.path()).unwrap();
    writer.scalars(300, &[("train/loss", 2.5), ("eval/loss", f64::INFINITY)]).unwrap();
    let bytes = fs::read(&event_files(dir.path())[0]).unwrap();
    let records = records(&bytes);
    assert_eq!(records.len(), 2);
    assert_eq!(fields(records[0])[1..], [Field::Number(2, 0), Field::Bytes(3, b"brain.Event:2")]);
    let [Field::Number(1, time), Field::Number(2, 300), Field::Bytes(5, summary)] =
        fields(records[1])[..]
    else {
        panic!("{:?}", fields(records[1]));
    };
    assert!((f64::from_bits(time) - now_s()).abs() < 60.0);
    let values: Vec<_> = fields(summary)
        .into_iter()
        .map(|value| match value {
            Field::Bytes(1, value) => fields(value),
            other => panic!("{other:?}"),
        })
        .collect();
    let scalar = |tag, x: f32| vec![Field::Bytes(1, tag), Field::Number(2, x.to_bits().into())];
    assert_eq!(values, [scalar(b"train/loss", 2.5), scalar(b"eval/loss", f32::INFINITY)]);
}

#[test]
fn resume_opens_a_later_file_that_purges_what_was_after_the_step() {
    let dir = tempfile::tempdir().unwrap();
    EventWriter::create(dir.path()).unwrap();
    EventWriter::resume(dir.path(), 200).unwrap();
    EventWriter::resume(dir.path(), 100).unwrap();
    let files = event_files(dir.path());
    assert_eq!(files.len(), 3);
    for (file, first_step) in [(&files[1], 201), (&files[2], 101)] {
        let bytes = fs::read(file).unwrap();
        let start = fields(records(&bytes)[1]);
        assert_eq!(start[1..], [Field::Number(2, first_step), Field::Bytes(7, &[0x08, 0x01])]);
    }
}

#[test]
fn names_sort_after_those_beside_them_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.out.tfevents.2000000000.host.1.0"), "").unwrap();
    fs::write(dir.path().join("events.out.tfevents.odd"), "").unwrap();
    let name = |now| next_path(dir.path(), now).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name(5), "events.out.tfevents.2000000001.lyceum");
    assert_eq!(name(2_500_000_000), "events.out.tfevents.2500000000.lyceum");
}

#[test]
fn rows_of_the_log_are_scalars() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(dir.path()).unwrap();
    let (loss, share) = (3.0, Some(0.8));
    let (grad_norm, lr, tokens, tokens_per_s) = (1.0, 1e-3, 10, 5.0);
    let memory_bytes = None;
    let row = StepRow {
        step: 1,
        loss,
        accuracy: 0.25,
        targets: 8,
        grad_norm,
        lr,
        tokens,
        tokens_per_s,
        share_of_peak: share,
        memory_bytes,
        told: BTreeMap::from([("margin".to_owned(), 0.5)]),
    };
    writer.step(&row).unwrap();
    let parts = BTreeMap::new();
    let eval = Scores {
        loss: 2.0,
        bits_per_byte: Some(1.5),
        accuracy: 0.25,
        targets: 8,
        parts: parts.clone(),
        sources: parts,
        metrics: vec![],
        is_better_small: false,
    };
    writer.eval(&EvalRow { step: 1, eval }).unwrap();
    let bytes = fs::read(&event_files(dir.path())[0]).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for tag in ["loss", "grad_norm", "lr", "tokens", "tokens_per_s", "share_of_peak", "margin"] {
        assert!(text.contains(&format!("train/{tag}")), "{tag}");
    }
    assert!(text.contains("eval/loss") && text.contains("eval/bits_per_byte"));
}
