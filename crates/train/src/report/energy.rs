//! Energy from the processor's own counters (RAPL), or the reason why it is not known.
//!
//! What is read is the energy of whole CPU packages, so other programs on the machine are in it;
//! memory and the rest of the machine are not. Nothing is estimated: a counter that cannot be
//! read makes the energy unknown.
//!
//! Source: Linux, `Documentation/power/powercap/powercap.rst`. Each zone counts microjoules in
//! `energy_uj` and starts over past `max_energy_range_uj`.

use std::path::{Path, PathBuf};

/// Where Linux shows the counters.
pub const POWERCAP: &str = "/sys/class/powercap";

/// Energy of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Energy {
    /// Read from counters.
    Measured {
        /// Joules of all CPU packages together.
        joules: f64,
        /// The step the counting began after; not 0 when a part of the run was not counted.
        since_step: u64,
    },
    /// Could not be read.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Adds up what the counters say while a run goes on.
#[derive(Clone, Debug)]
pub struct EnergyMeter {
    zones: Result<Vec<Zone>, String>,
    since_step: u64,
}

#[derive(Clone, Debug)]
struct Zone {
    path: PathBuf,
    range_uj: u64,
    last_uj: u64,
    total_uj: u64,
}

impl EnergyMeter {
    /// Starts counting after `step`, with the package zones under `powercap` ([`POWERCAP`]).
    pub fn start(powercap: &Path, step: u64) -> Self {
        Self { zones: packages(powercap), since_step: step }
    }

    /// Adds what was used since the last call. To be called at least once a minute: a counter
    /// that starts over twice between two calls loses a round.
    pub fn sample(&mut self) {
        let Ok(zones) = &mut self.zones else { return };
        if let Err(why) = zones.iter_mut().try_for_each(Zone::sample) {
            self.zones = Err(why);
        }
    }

    /// The energy so far.
    pub fn energy(&mut self) -> Energy {
        self.sample();
        match &self.zones {
            Ok(zones) => {
                let microjoules: u64 = zones.iter().map(|zone| zone.total_uj).sum();
                let joules = microjoules as f64 / 1e6;
                Energy::Measured { joules, since_step: self.since_step }
            }
            Err(why) => Energy::Unknown { why: why.clone() },
        }
    }
}

impl Zone {
    fn open(path: PathBuf) -> Result<Self, String> {
        let range_uj = counter(&path.join("max_energy_range_uj"))?;
        let last_uj = counter(&path.join("energy_uj"))?;
        Ok(Self { path, range_uj, last_uj, total_uj: 0 })
    }

    fn sample(&mut self) -> Result<(), String> {
        let now_uj = counter(&self.path.join("energy_uj"))?;
        let around = if now_uj < self.last_uj { self.range_uj } else { 0 };
        self.total_uj += (now_uj + around).saturating_sub(self.last_uj);
        self.last_uj = now_uj;
        Ok(())
    }
}

/// The zones of CPU packages: not their parts, not `psys`, and not the same package again by
/// another driver.
fn packages(powercap: &Path) -> Result<Vec<Zone>, String> {
    let none = || "no RAPL counter on this machine".to_owned();
    let entries = std::fs::read_dir(powercap).map_err(|_| none())?;
    let mut named: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = std::fs::read_to_string(path.join("name")).ok()?;
            name.starts_with("package-").then(|| (name.trim().to_owned(), path))
        })
        .collect();
    named.sort();
    named.dedup_by(|a, b| a.0 == b.0);
    if named.is_empty() {
        return Err(none());
    }
    named.into_iter().map(|(_, path)| Zone::open(path)).collect()
}

fn counter(path: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    text.trim().parse().map_err(|_| format!("`{}` holds no number", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn zone(root: &Path, dir: &str, name: &str, energy_uj: u64) {
        let zone = root.join(dir);
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("name"), format!("{name}\n")).unwrap();
        fs::write(zone.join("max_energy_range_uj"), "1000000000\n").unwrap();
        fs::write(zone.join("energy_uj"), format!("{energy_uj}\n")).unwrap();
    }

    #[test]
    fn packages_are_added_up_once_and_over_a_wrap() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        zone(root, "intel-rapl:0", "package-0", 999_000_000);
        zone(root, "intel-rapl:1", "package-1", 5_000_000);
        zone(root, "intel-rapl:0:0", "core", 7);
        zone(root, "intel-rapl:2", "psys", 7);
        zone(root, "intel-rapl-mmio:0", "package-0", 999_000_000);
        let mut meter = EnergyMeter::start(root, 3);
        let mut advance = |first: u64, second: u64| {
            for dir in ["intel-rapl:0", "intel-rapl-mmio:0"] {
                zone(root, dir, "package-0", first);
            }
            zone(root, "intel-rapl:1", "package-1", second);
            zone(root, "intel-rapl:2", "psys", 900_000_000);
            meter.energy()
        };
        advance(999_500_000, 6_000_000);
        let energy = advance(1_500_000, 8_000_000);
        let Energy::Measured { joules, since_step: 3 } = energy else { panic!("{energy:?}") };
        // 2.5 J of the first package, around its range of 1000 J, and 3 J of the second.
        assert!((joules - 5.5).abs() < 1e-9, "{joules}");
    }

    #[test]
    fn no_counter_is_unknown_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        for root in [dir.path(), Path::new("/nowhere")] {
            let energy = EnergyMeter::start(root, 0).energy();
            assert_eq!(energy, Energy::Unknown { why: "no RAPL counter on this machine".into() });
        }
    }

    #[test]
    fn a_counter_that_cannot_be_read_makes_it_unknown() {
        let dir = tempfile::tempdir().unwrap();
        zone(dir.path(), "intel-rapl:0", "package-0", 5);
        let mut meter = EnergyMeter::start(dir.path(), 0);
        assert!(matches!(meter.energy(), Energy::Measured { .. }));
        fs::remove_file(dir.path().join("intel-rapl:0/energy_uj")).unwrap();
        let Energy::Unknown { why } = meter.energy() else { panic!("known") };
        assert!(why.contains("energy_uj` cannot be read"), "{why}");
    }
}
