use super::*;

const GIB: u64 = 1 << 30;

/// A machine of 8 GiB available, whose process is in the groups `cgroup` says.
fn roots(cgroup: &str) -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { proc: dir.path().join("proc"), cgroup: dir.path().join("cgroup") };
    fs::create_dir_all(roots.proc.join("self")).unwrap();
    fs::write(roots.proc.join("meminfo"), "MemTotal: 16 kB\nMemAvailable:    8388608 kB\n")
        .unwrap();
    fs::write(roots.proc.join("self/cgroup"), cgroup).unwrap();
    (dir, roots)
}

/// Names of limit and usage, and of what can be reclaimed.
type Names = [&'static str; 3];
const VERSION_1: Names =
    ["memory.limit_in_bytes", "memory.usage_in_bytes", "inactive_file 9\ntotal_inactive_file"];
const VERSION_2: Names = ["memory.max", "memory.current", "inactive_file"];

fn group(
    dir: &Path,
    [limit_name, usage_name, reclaimable_name]: &Names,
    limit: &str,
    usage: u64,
    reclaimable: u64,
) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(limit_name), format!("{limit}\n")).unwrap();
    fs::write(dir.join(usage_name), format!("{usage}\n")).unwrap();
    let stat = format!("inactive_file_x 7\n{reclaimable_name} {reclaimable}\n");
    fs::write(dir.join("memory.stat"), stat).unwrap();
}

#[test]
fn without_a_limit_the_machine_bounds() {
    let expected = Some(Memory { available_bytes: 8 * GIB, bound: MACHINE });
    let (_dir, roots_2) = roots("0::/a/b\n");
    group(&roots_2.cgroup.join("a/b"), &VERSION_2, "max", GIB, 0);
    assert_eq!(roots_2.memory(), expected);
    let (_dir, roots_1) = roots("4:memory:/a\n0::/\n");
    group(&roots_1.cgroup.join("memory/a"), &VERSION_1, "9223372036854771712", GIB, 0);
    assert_eq!(roots_1.memory(), expected);
}

#[test]
fn the_tightest_group_above_the_process_bounds_and_page_cache_is_free() {
    let (_dir, roots) = roots("0::/a/b\n");
    group(&roots.cgroup.join("a/b"), &VERSION_2, &(6 * GIB).to_string(), GIB, 0);
    group(&roots.cgroup.join("a"), &VERSION_2, &(4 * GIB).to_string(), 3 * GIB, GIB);
    let expected = Memory { available_bytes: 2 * GIB, bound: CONTROL_GROUP };
    assert_eq!(roots.memory(), Some(expected));
}

#[test]
fn a_limit_of_addresses_bounds() {
    let (_dir, roots) = roots("");
    let write = |name, text: String| fs::write(roots.proc.join("self").join(name), text).unwrap();
    write("status", "VmSize:  1048576 kB\n".to_owned());
    write("limits", "Max address space     unlimited   unlimited    bytes\n".to_owned());
    assert_eq!(roots.memory().map(|memory| memory.bound), Some(MACHINE));
    write(
        "limits",
        format!("Limit Soft\nMax address space     {}   unlimited    bytes\n", 3 * GIB),
    );
    let memory = roots.memory().expect("known");
    assert_eq!(memory, Memory { available_bytes: 2 * GIB, bound: ADDRESS_SPACE });
    assert_eq!(memory.to_string(), "2.00 GiB (limit of the address space)");
}

#[test]
fn version_1_bounds_too() {
    let (_dir, roots) = roots("9:name=systemd:/\n4:cpu,memory:/job\n0::/\n");
    let dir = roots.cgroup.join("memory");
    group(&dir, &VERSION_1, "9223372036854771712", 9 * GIB, 0);
    group(&dir.join("job"), &VERSION_1, &(2 * GIB).to_string(), GIB, GIB / 2);
    let expected = Memory { available_bytes: 3 * GIB / 2, bound: CONTROL_GROUP };
    assert_eq!(roots.memory(), Some(expected));
}

#[test]
fn a_group_that_is_not_shown_falls_back_on_the_root() {
    for path in ["0::/docker/0123\n", "0::/../..\n"] {
        let (_dir, roots) = roots(path);
        group(&roots.cgroup, &VERSION_2, &GIB.to_string(), 2 * GIB, 0);
        let expected = Memory { available_bytes: 0, bound: CONTROL_GROUP };
        assert_eq!(roots.memory(), Some(expected), "{path}");
    }
}

#[test]
fn a_machine_that_shows_nothing_is_unknown() {
    let nowhere = Roots { proc: "/nowhere".into(), cgroup: "/nowhere".into() };
    let machine = nowhere.machine();
    assert_eq!((machine.memory, nowhere.status("VmHWM")), (None, None));
    assert!(machine.n_threads >= 1);
    let facts = machine.facts();
    assert_eq!(facts.iter().filter(|(_, value)| value == "unknown").count(), 3);
}

#[test]
fn cores_are_counted_over_sockets_and_hyperthreads() {
    let (_dir, roots) = roots("");
    let threads = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0), (0, 1), (1, 0), (1, 1)];
    let cpuinfo = threads
        .map(|(socket, core)| {
            format!("model name\t: A: B\nphysical id\t: {socket}\ncore id\t\t: {core}\n\n")
        })
        .concat();
    fs::write(roots.proc.join("cpuinfo"), cpuinfo).unwrap();
    let machine = roots.machine();
    assert_eq!((machine.n_cores, machine.cpu_model.as_deref()), (Some(4), Some("A: B")));
}

#[test]
fn this_process_has_a_size() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let (now, peak) = (rss_bytes().unwrap(), peak_rss_bytes().unwrap());
    assert!(now > 100_000 && peak > 100_000 && peak < 1 << 50);
    assert!(memory().unwrap().available_bytes > 0);
    assert_eq!(Machine::detect().facts().len(), 4);
}
