use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

const FORMATS: [&str; 5] = ["wav", "aiff", "flac", "ogg", "mp3"];

fn tones(format: &str) -> Vec<u8> {
    fs::read(golden(&format!("audio/tones.{format}"))).expect("there")
}

fn record(bytes: Vec<u8>) -> Result<Recording, String> {
    read_sound_bytes("a", bytes, 16_000, 60.0).map_err(|error| error.to_string())
}

fn read(bytes: Vec<u8>) -> Result<Vec<f32>, String> {
    record(bytes).map(|recording| recording.samples)
}

/// A WAV file with a header of these fields, and so many bytes that it says it has.
fn wav([format, n_channels, rate, bits]: [u32; 4], n_said: u32, data: &[u8]) -> Vec<u8> {
    let block = n_channels * bits / 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend(n_said.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend((format as u16).to_le_bytes());
    bytes.extend((n_channels as u16).to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(block).to_le_bytes());
    bytes.extend((block as u16).to_le_bytes());
    bytes.extend((bits as u16).to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(n_said.to_le_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn every_format_gives_the_same_tones() {
    let at = |i: usize, hertz: f32| (std::f32::consts::TAU * hertz * i as f32 / 16_000.0).sin();
    for format in FORMATS {
        let found = read_sound(&golden(&format!("audio/tones.{format}")), 16_000, 60.0);
        let found = found.expect("decodes").samples;
        assert!(found.len().abs_diff(4_000) <= 2, "{format}: {}", found.len());
        // What encoders lose; the ends ring.
        let allowed = if ["ogg", "mp3"].contains(&format) { 0.03 } else { 3e-3 };
        for (i, x) in found.iter().enumerate().take(3_200).skip(800) {
            let expected = 0.25 * (at(i, 440.0) + at(i, 660.0));
            assert!((x - expected).abs() < allowed, "{format}, sample {i}: {x} for {expected}");
        }
        assert_eq!(read(tones(format)).expect("decodes"), found, "{format}: from memory");
    }
}

#[test]
fn spectra_are_those_of_transformers() {
    let bytes = fs::read(golden("mel/mel.safetensors")).expect("there");
    let file = SafeTensors::deserialize(&bytes).expect("whole");
    let floats = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).expect("there").data().chunks_exact(4);
        data.map(|x| f32::from_le_bytes(x.try_into().expect("four"))).collect()
    };
    let samples = floats("samples");
    for n_channels in [80, 128] {
        let expected = floats(&format!("features.{n_channels}"));
        let n_frames = expected.len() / n_channels;
        let found = LogMel::new(n_channels).spectrum(&samples, n_frames);
        assert_eq!(found.len(), expected.len());
        for (i, x) in found.iter().enumerate() {
            let (frame, channel) = (i / n_channels, i % n_channels);
            let y = expected[channel * n_frames + frame];
            assert!((x - y).abs() < 1e-4, "frame {frame}, channel {channel}: {x} for {y}");
        }
    }
}

#[test]
fn what_is_no_sound_is_refused_and_why_is_said() {
    let one_second = vec![0; 32_000];
    for (bytes, why) in [
        (vec![], "`a` is no audio of a known format"),
        (b"It was a bright day in April.".to_vec(), "is no audio of a known format"),
        (wav([1, 1, 16_000, 16], 0, &[]), "has no audio in it"),
        (wav([1, 1, 16_000, 16], 64_000, &one_second), "ends after 1.0 of 2.0 seconds"),
        (wav([1, 1, 0, 16], 32_000, &one_second), "`a` "),
        (wav([1, 1, 4_000_000, 16], 32_000, &one_second), "has 4000000 samples a second"),
        (wav([1, 1, 655_350, 16], 32_000, &one_second), "has 655350 samples a second"),
        (wav([1, 1, 16_000, 16], 3_200_000, &vec![0; 3_200_000]), "is longer than 60 seconds"),
        (wav([0x7777, 1, 16_000, 16], 32_000, &one_second), "`a` "),
        (tones("flac")[..2_000].to_vec(), "ends after"),
    ] {
        let said = read(bytes).expect_err("refused");
        assert!(said.contains(why), "{said} for {why}");
    }
    let missing = read_sound(Path::new("no/such.wav"), 16_000, 1.0).expect_err("not there");
    assert_eq!(missing.to_string(), "failed to open `no/such.wav`");
    assert!(read_sound(Path::new("."), 16_000, 1.0).is_err());
}

#[test]
fn a_stream_that_does_not_know_its_length_is_read() {
    let second: Vec<u8> = (0..16_000_i16).flat_map(|i| (i % 100).to_le_bytes()).collect();
    let found = read(wav([1, 1, 16_000, 16], u32::MAX, &second)).expect("decodes");
    assert!(found.len() > 14_000, "{}", found.len());
}

#[test]
fn any_number_of_channels_becomes_one() {
    let frame: Vec<u8> = (0..6_i16).flat_map(|c| (c * 1_000).to_le_bytes()).collect();
    let data = frame.repeat(1_600);
    let found = read(wav([1, 6, 16_000, 16], data.len() as u32, &data)).expect("decodes");
    assert_eq!(found.len(), 1_600);
    assert!(found.iter().all(|x| (x - 2_500.0 / 32_768.0).abs() < 1e-4));
}

/// The first byte of every frame of an MP3.
fn mp3_frames(bytes: &[u8]) -> Vec<usize> {
    let start = bytes.windows(2).position(|pair| pair[0] == 0xff && pair[1] >= 0xe0);
    let header = &bytes[start.expect("a frame")..][..2];
    (0..bytes.len() - 12).filter(|&i| bytes[i..].starts_with(header)).collect()
}

#[test]
fn what_cannot_be_decoded_is_silent_and_counted() {
    let whole = record(tones("mp3")).expect("decodes");
    assert_eq!((whole.n_packets, whole.n_lost), (12, 0));
    let mut bytes = tones("mp3");
    bytes[1_677..1_685].fill(0x55);
    let damaged = record(bytes.clone()).expect("decodes");
    assert_eq!((damaged.n_packets, damaged.n_lost), (12, 1));
    assert_eq!(damaged.samples.len(), whole.samples.len());
    // The sound before the damage is as it was, that long after it is in its place.
    assert_eq!(damaged.samples[..1_000], whole.samples[..1_000]);
    for at in mp3_frames(&bytes).into_iter().skip(1) {
        bytes[at + 4..at + 12].fill(0xff);
    }
    let said = record(bytes).expect_err("refused");
    assert!(said.contains("cannot be decoded"), "{said}");
}

/// FLAC of so many frames of 4096 samples, all of a frame being a thousand times its number, and
/// where each begins.
fn flac(n_frames: u8) -> (Vec<u8>, Vec<usize>) {
    let crc = |bytes: &[u8], n_bits: u32, polynomial: u32| {
        let step = |crc: u32, _| {
            let carry = crc >> (n_bits - 1) & 1;
            ((crc << 1) ^ (carry * polynomial)) & ((1 << n_bits) - 1)
        };
        bytes.iter().fold(0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte) << (n_bits - 8), step))
    };
    let format = 16_000_u64 << 44 | 15 << 36 | (u64::from(n_frames) * 4096);
    let head = [&b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0"[..], &format.to_be_bytes(), &[0; 16]];
    let (mut bytes, mut starts) = (head.concat(), vec![]);
    for i in 0..n_frames {
        let mut frame = vec![0xff, 0xf8, 0xc0, 0x08, i];
        frame.push(crc(&frame, 8, 0x07) as u8);
        frame.push(0);
        frame.extend((i16::from(i) * 1_000).to_be_bytes());
        frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
        starts.push(bytes.len());
        bytes.extend(frame);
    }
    (bytes, starts)
}

#[test]
fn what_a_container_passes_over_is_silent_too() {
    let (whole, starts) = flac(10);
    let mut damaged = whole.clone();
    damaged[starts[4] + 7] ^= 0x55;
    let [whole, damaged] = [whole, damaged].map(|bytes| record(bytes).expect("decodes"));
    assert_eq!((whole.samples.len(), whole.n_lost), (40_960, 0));
    assert_eq!((damaged.samples.len(), damaged.n_lost, damaged.n_packets), (40_960, 1, 10));
    for (i, (x, y)) in damaged.samples.iter().zip(&whole.samples).enumerate() {
        assert_eq!(*x, if i / 4096 == 4 { 0.0 } else { *y }, "sample {i}");
    }
    let (mut most, starts) = flac(10);
    starts[2..9].iter().for_each(|start| most[start + 7] ^= 0x55);
    assert!(record(most).expect_err("refused").contains("most of it is damaged"));
}

#[test]
fn files_one_behind_another_are_read_as_one() {
    for format in ["mp3", "ogg"] {
        let found = read([tones(format), tones(format)].concat()).expect("decodes");
        // The second MP3's silence before and after it stays.
        assert!((8_000..9_500).contains(&found.len()), "{format}: {}", found.len());
        let loudness = |from: usize| found[from..from + 1_000].iter().map(|x| x * x).sum::<f32>();
        let (first, second) = (loudness(1_500), loudness(6_000));
        assert!((first / second - 1.0).abs() < 0.1, "{format}: {first}, {second}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Damage is an error or another sound, and never more of it than there can be.
    #[test]
    fn damaged_files_end_nothing(
        format in 0..FORMATS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = tones(FORMATS[format]);
        for (at, value) in changes {
            let at = at.index(bytes.len().min(600));
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(found) = read(bytes) {
            prop_assert!(found.len() <= 60 * 16_000 + 16_000);
            prop_assert!(found.iter().all(|x| x.is_finite()));
        }
    }
}
