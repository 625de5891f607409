//! Python's `strftime` for `strftime_now`, in UTC and in English.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Year, month and day (from 1) of a day since 1970-01-01.
///
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as usize, day)
}

pub(super) fn strftime(now: SystemTime, format: &str) -> Result<String, Error> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = DAYS[(days + 3).rem_euclid(7) as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let plain = |value: i64| value.to_string();
        let word = match letters.next() {
            Some('Y') => plain(year),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{month:02}"),
            Some('B') => MONTHS[month - 1].to_owned(),
            Some('b') => MONTHS[month - 1][..3].to_owned(),
            Some('d') => format!("{day:02}"),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('H') => format!("{hour:02}"),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('-') => match letters.next() {
                Some('d') => plain(day),
                Some('m') => plain(month as i64),
                Some('H') => plain(hour),
                other => return Err(unknown('-', other)),
            },
            Some('%') => "%".to_owned(),
            other => return Err(unknown('%', other)),
        };
        text.push_str(&word);
    }
    Ok(text)
}

fn unknown(before: char, letter: Option<char>) -> Error {
    let letter = letter.map(String::from).unwrap_or_default();
    let detail = format!("`strftime_now` does not know `{before}{letter}`");
    Error::new(ErrorKind::InvalidOperation, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let cases = [
            (0, "%Y-%m-%d %H:%M:%S %a", "1970-01-01 00:00:00 Thu"),
            (951_827_696, "%d %B %y, %A", "29 February 00, Tuesday"),
            (1_785_542_399, "%d %b %Y", "31 Jul 2026"),
            (1_785_542_400, "%-d.%-m. %%", "1.8. %"),
        ];
        for (seconds, format, expected) in cases {
            assert_eq!(strftime(at(seconds), format).unwrap(), expected);
        }
        for format in ["%q", "%", "%-"] {
            assert!(strftime(at(0), format).unwrap_err().to_string().contains("does not know"));
        }
    }
}
