//! Checksums and formats of numbers, on their digits (0 to 9) alone.

/// Luhn's sum (ISO/IEC 7812-1) with the length and first digits of an issuer of cards.
pub fn card(digits: &[u8]) -> bool {
    let n = digits.len();
    if !(13..=19).contains(&n) {
        return false;
    }
    let first = digits[..4].iter().fold(0_u32, |first, &digit| first * 10 + u32::from(digit));
    let issued = match first {
        4000..=4999 => matches!(n, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => n == 16,
        3400..=3499 | 3700..=3799 => n == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => n == 14,
        3528..=3589 | 6011 | 6200..=6299 | 6440..=6599 => n >= 16,
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true,
        _ => false,
    };
    let sum = |(idx, &digit): (usize, &u8)| match (idx % 2, digit) {
        (0, digit) => digit,
        (_, digit @ 0..=4) => digit * 2,
        (_, digit) => digit * 2 - 9,
    };
    let total: u32 = digits.iter().rev().enumerate().map(sum).map(u32::from).sum();
    issued && total.is_multiple_of(10)
}

/// Lengths of accounts by country: the register of ISO 13616, release 99.
const IBAN_LENS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27\
    DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27\
    JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24\
    PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24\
    XK20YE30";

/// How many characters an account of a country (ISO 3166) has.
pub fn iban_len(country: &[u8]) -> Option<usize> {
    let (entries, _) = IBAN_LENS.as_bytes().as_chunks::<4>();
    let [.., tens, ones] = entries.iter().find(|entry| entry[..2] == *country)?;
    Some(usize::from((tens - b'0') * 10 + ones - b'0'))
}

/// Whether digits and capital letters, the first four moved behind, are 1 modulo 97 (ISO 7064).
pub fn iban(account: &[u8]) -> bool {
    let rest = account.iter().cycle().skip(4).take(account.len()).fold(0, |rest, &byte| {
        let next = match byte {
            b'0'..=b'9' => rest * 10 + u32::from(byte - b'0'),
            _ => rest * 100 + u32::from(byte - b'A') + 10,
        };
        next % 97
    });
    rest == 1
}

/// A resident of China: region, day of birth, ISO 7064 MOD 11-2 (GB 11643-1999); the last of 18 may
/// be 10, which is written `X`.
pub fn china(digits: &[u8]) -> bool {
    let Ok(digits) = <&[u8; 18]>::try_from(digits) else { return false };
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().fold(0_u32, |number, &digit| number * 10 + u32::from(digit))
    };
    let sum = digits.iter().fold(0, |sum, &digit| (sum * 2 + u32::from(digit)) % 11);
    let (year, month, day) = (number(6..10), number(10..12), number(12..14));
    (11..=91).contains(&number(0..2))
        && (1850..=2100).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && sum == 1
}

/// The letter of a Spaniard's number; of a foreigner's too, with X, Y, Z as 0, 1, 2 before it.
pub fn spain(digits: &[u8]) -> u8 {
    let number = digits.iter().fold(0_usize, |number, &digit| number * 10 + usize::from(digit));
    b"TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]
}

/// France's number of registration: sex, month, and a key of two digits: 97 less the rest of 97.
/// Corsica's departments with a letter are not known here.
pub fn france(digits: &[u8]) -> bool {
    let number = digits.iter().fold(0_u64, |number, &digit| number * 10 + u64::from(digit));
    let month = number / 10_000_000_000 % 100;
    digits.len() == 15
        && matches!(digits[0], 1..=4 | 7 | 8)
        && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && number / 100 % 97 + number % 100 == 97
}

/// The test of eleven: weights 9 to 2, and -1.
pub fn netherlands(digits: &[u8]) -> bool {
    let weights = [9, 8, 7, 6, 5, 4, 3, 2, -1];
    let sum: i32 = digits.iter().zip(weights).map(|(&digit, w)| i32::from(digit) * w).sum();
    digits.len() == 9 && sum % 11 == 0 && digits.iter().any(|&digit| digit > 0)
}

/// Germany's number for taxes: one digit of the first ten twice or three times, ISO 7064 MOD 11,10.
pub fn germany(digits: &[u8]) -> bool {
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let mut counts = [0; 10];
    digits[..10].iter().for_each(|&digit| counts[usize::from(digit)] += 1);
    let again: Vec<u8> = counts.into_iter().filter(|&count| count > 1).collect();
    let product = digits[..10].iter().fold(10, |product, &digit| {
        let sum = (u32::from(digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    matches!(again[..], [2 | 3]) && (11 - product) % 10 == u32::from(digits[10])
}

/// A number for social security in the United States: none was given that is refused here.
pub fn united_states(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| digits.iter().fold(0_u32, |n, &digit| n * 10 + u32::from(digit));
    digits.len() == 9
        && !matches!(number(&digits[..3]), 0 | 666 | 900..)
        && number(&digits[3..5]) > 0
        && number(&digits[5..]) > 0
}

/// Aadhaar: twelve digits from 2 on, Verhoeff's checksum over the dihedral group of order ten.
pub fn india(digits: &[u8]) -> bool {
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: u8, b: u8| match (a, b) {
        (0..5, 0..5) => (a + b) % 5,
        (0..5, _) => (a + b - 5) % 5 + 5,
        (_, 0..5) => (a - b) % 5 + 5,
        _ => (a + 5 - b) % 5,
    };
    let check = digits.iter().rev().enumerate().fold(0, |check, (idx, &digit)| {
        let turned = (0..idx % 8).fold(digit, |digit, _| PERMUTED[usize::from(digit)]);
        product(check, turned)
    });
    digits.len() == 12 && digits[0] > 1 && check == 0
}

/// CPF: two digits, each the sum with falling weights modulo 11; not all the same.
pub fn brazil(digits: &[u8]) -> bool {
    let check = |n: usize| {
        let sum: usize = (0..n).map(|idx| usize::from(digits[idx]) * (n + 1 - idx)).sum();
        (sum * 10 % 11 % 10) as u8 == digits[n]
    };
    digits.len() == 11 && digits.iter().any(|&d| d != digits[0]) && check(9) && check(10)
}
