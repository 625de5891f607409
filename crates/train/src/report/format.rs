//! Numbers and texts as people read them; also what the progress line is made of.

/// `x` with three significant digits and a factor: `45.2k`, `1.20M`, `3.00e-4`; small whole
/// numbers as they are.
pub fn compact(x: f64) -> String {
    const FACTORS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    if !x.is_finite() || (x.fract() == 0.0 && x.abs() < 999.5) {
        return x.to_string();
    }
    // From where three digits would round up to the next factor.
    if let Some((factor, name)) = FACTORS.iter().find(|(factor, _)| x.abs() >= factor * 0.9995) {
        return format!("{}{name}", three_digits(x / factor));
    }
    if x != 0.0 && x.abs() < 1e-3 { format!("{x:.2e}") } else { three_digits(x) }
}

fn three_digits(x: f64) -> String {
    let decimals = match x.abs() {
        a if a >= 99.95 => 0,
        a if a >= 9.995 => 1,
        a if a >= 0.9995 || a == 0.0 => 2,
        _ => 3,
    };
    format!("{x:.decimals$}")
}

/// A whole number with its thousands apart: `1 234 567` (with spaces that do not break).
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in binary units: `612 MiB`, `1.37 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut x, mut unit) = (n as f64, 0);
    while x >= 999.5 && unit + 1 < UNITS.len() {
        x /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{} {}", three_digits(x), UNITS[unit]) }
}

/// A time in its two largest units: `0.4s`, `42s`, `1m 40s`, `2h 05m`, `3d 04h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    if seconds < 0.95 {
        return format!("{seconds:.1}s");
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// A share of one as a percentage: `81.3 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `text` as it may stand in HTML, in an element or in a quoted attribute. Control characters but
/// newline and tab are shown as U+FFFD: HTML cannot hold them.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let compacted: Vec<String> =
            [0.0, 0.000_3, 0.042, 0.5, 1.0, 9.999, 99.96, 999.4, 999.6, 45_231.0, 1.2e6, -3e9]
                .map(compact)
                .into();
        assert_eq!(
            compacted.join(" "),
            "0 3.00e-4 0.042 0.500 1 10.0 100 999 1.00k 45.2k 1.20M -3.00G"
        );
        assert_eq!(compact(f64::NAN), "NaN");
        assert_eq!([7, 1000, 1_234_567].map(grouped).join(","), "7,1\u{a0}000,1\u{a0}234\u{a0}567");
        assert_eq!(percent(0.8129), "81.3 %");
    }

    #[test]
    fn bytes_and_times_read_well() {
        let sizes = [0, 999, 1024, 641_728_512, 1_471_026_299, 1_073_700_000, u64::MAX];
        let written = "0 B|999 B|1.00 KiB|612 MiB|1.37 GiB|1.00 GiB|16384 PiB";
        assert_eq!(sizes.map(bytes).join("|"), written);
        let times = [0.04, 0.96, 42.2, 100.0, 3599.6, 7500.0, 273_600.0, f64::NAN];
        let written = "0.0s|1s|42s|1m 40s|1h 00m|2h 05m|3d 04h|unknown";
        assert_eq!(times.map(duration).join("|"), written);
    }

    #[test]
    fn what_is_markup_stays_text() {
        assert_eq!(
            escape("<a href=\"x\" b='&'>\n\u{0}\u{1b}[31m\u{5e8a}"),
            "&lt;a href=&quot;x&quot; b=&#39;&amp;&#39;&gt;\n\u{fffd}\u{fffd}[31m\u{5e8a}"
        );
    }
}
