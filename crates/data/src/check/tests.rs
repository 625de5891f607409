use std::fs;

use tar::{Builder, EntryType, Header};

use super::*;

const JPEG: &[u8] = b"\xFF\xD8\xFF and so on";

fn append(tar: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    // As it is, not as `set_path` would allow.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(bytes.len() as u64);
    header.set_entry_type(kind);
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in files {
        append(&mut tar, name, EntryType::Regular, bytes);
    }
    tar.into_inner().unwrap()
}

fn checked(name: &str, bytes: &[u8]) -> Checked {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    check(&dir.path().join(name)).unwrap()
}

fn told(checked: &Checked) -> Vec<String> {
    checked.problems.iter().map(|p| format!("{} {}", p.entry, p.what)).collect()
}

#[test]
fn samples_are_counted() {
    let files = [
        ("a/0.jpg", JPEG),
        ("a/0.cls", b"7"),
        ("a/1.jpg", JPEG),
        ("a/1.cls", b"8"),
        ("a/2.jpg", JPEG),
        ("a/2.CLS", b"9"),
    ];
    let found = checked("a.tar", &tar(&files));
    assert_eq!(told(&found), Vec::<String>::new());
    assert_eq!((found.n_files, found.n_samples, found.n_archives), (6, 3, 1));
    assert_eq!(found.kinds, [("cls".to_owned(), 3), ("jpg".to_owned(), 3)].into());
    let packed = ::zstd::encode_all(&*tar(&files), 1).unwrap();
    assert_eq!(checked("a.tar.zst", &packed), found);
}

#[test]
fn what_is_wrong_is_told_by_name() {
    let mut tar = Builder::new(Vec::new());
    let file = EntryType::Regular;
    for (name, kind, bytes) in [
        ("0.jpg", file, JPEG),
        ("0.cls", file, &b"1"[..]),
        ("1.jpg", file, JPEG),
        ("2.jpg", file, b"<html>"),
        ("2.cls", file, b"1"),
        ("1.cls", file, b"late"),
        ("0.jpg", file, JPEG),
        ("../3.jpg", file, JPEG),
        ("/etc/4.cls", file, b"1"),
        ("5.jpg", EntryType::Symlink, b""),
        ("6.jpg", EntryType::Block, b""),
        ("README", file, b"text"),
        ("7.jpg", file, b""),
        ("7.cls", file, b"1"),
        ("8.jpg", file, JPEG),
        ("8.cls", file, b"1"),
    ] {
        append(&mut tar, name, kind, bytes);
    }
    let found = told(&checked("a.tar", &tar.into_inner().unwrap())).join("\n");
    for expected in [
        "2.jpg does not begin as an image does",
        "1.cls lies apart from the other files of its sample",
        "0.jpg is there twice",
        "../3.jpg has a name that leads out of the folder",
        "/etc/4.cls has a name that leads out of the folder",
        "5.jpg is a link to ``",
        "6.jpg is no file",
        "README has no ending, and belongs to no sample",
        "7.jpg is empty",
        "1 lacks `.cls`",
        "/etc/4 lacks `.jpg`",
    ] {
        assert!(found.contains(expected), "{expected} in\n{found}");
    }
}

#[test]
fn an_archive_that_is_cut_is_told_at_every_length() {
    let whole = tar(&[("0.jpg", JPEG), ("0.cls", b"1"), ("1.jpg", &[0; 700]), ("1.cls", b"2")]);
    for len in (1..whole.len() - 1024).step_by(37) {
        let found = checked("a.tar", &whole[..len]);
        assert!(found.n_problems > 0, "{len}: {found:?}");
    }
    let gzip_of_nothing = check_error("a.tar.gz", b"nothing");
    assert!(gzip_of_nothing.contains("gzip"), "{gzip_of_nothing}");
    let garbage = checked("a.tar", &[b'x'; 2000]);
    assert!(garbage.n_problems > 0 && garbage.n_files == 0);
}

fn check_error(name: &str, bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    check(&dir.path().join(name)).unwrap_err().to_string()
}

#[test]
fn a_tar_of_tars_is_a_class_each() {
    let inner = tar(&[("n1_1.JPEG", JPEG), ("n1_2.JPEG", JPEG)]);
    let cut = &inner[..700];
    let found = checked("a.tar", &tar(&[("n1.tar", &inner), ("n2.tar", cut)]));
    assert_eq!((found.layout, found.n_samples, found.n_archives), (Layout::Classes, 3, 3));
    assert_eq!(found.kinds["n1"], 2);
    let whole = checked("a.tar", &tar(&[("n1.tar", &inner)]));
    assert_eq!(told(&whole), Vec::<String>::new());
}

#[test]
fn long_names_are_read() {
    let name = "x/".repeat(120) + "0.jpg";
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(JPEG.len() as u64);
    header.set_entry_type(EntryType::Regular);
    builder.append_data(&mut header, &name, JPEG).unwrap();
    let found = checked("a.tar", &builder.into_inner().unwrap());
    assert_eq!((found.n_files, told(&found)), (1, vec![]));
    let record = |path: &str| {
        let text = format!(" path={path}\n");
        let len = text.len() + 3;
        format!("{len}{text}").into_bytes()
    };
    let pax = record(&("../".repeat(40) + "0.jpg"));
    let mut builder = Builder::new(Vec::new());
    append(&mut builder, "pax", EntryType::XHeader, &pax);
    append(&mut builder, "0.jpg", EntryType::Regular, JPEG);
    let found = told(&checked("a.tar", &builder.into_inner().unwrap()));
    assert!(found[0].contains("leads out"), "{found:?}");
}

#[test]
fn a_folder_a_class() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("train/cat/0.jpg", JPEG),
        ("train/cat/1.png", b"text"),
        ("train/dog/0.jpg", JPEG),
        ("train/dog/notes.txt", b"text"),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::create_dir(dir.path().join("train/empty")).unwrap();
    std::os::unix::fs::symlink("/", dir.path().join("train/up")).unwrap();
    let found = check(dir.path()).unwrap();
    assert_eq!((found.layout, found.n_samples, found.n_files), (Layout::Classes, 3, 4));
    assert_eq!(found.kinds, [("train/cat".to_owned(), 2), ("train/dog".to_owned(), 1)].into());
    let expected = [
        "train/cat/1.png does not begin as an image does",
        "train/empty is an empty folder",
        "train/up is a link",
    ];
    assert_eq!(told(&found), expected);
    fs::write(dir.path().join("a.tar"), tar(&[("0.txt", b"x")])).unwrap();
    assert_eq!(check(dir.path()).unwrap().layout, Layout::Samples);
    let nothing = tempfile::tempdir().unwrap();
    assert!(check(nothing.path()).is_err() && check(Path::new("/nowhere")).is_err());
}
