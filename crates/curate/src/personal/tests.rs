use proptest::prelude::*;

use super::*;

fn found(text: &str) -> Vec<(Kind, &str)> {
    let spans = Personal::default().find(text);
    spans.into_iter().map(|span| (span.kind, &text[span.start..span.end])).collect()
}

/// Numbers that are made up, or given as examples by those who issue them.
const NUMBERS: &[(Kind, &str, &str)] = &[
    (Kind::Card, "", "4111111111111111"),
    (Kind::Card, "", "4111 1111 1111 1111"),
    (Kind::Card, "card ", "5500-0000-0000-0004"),
    (Kind::Card, "", "3782 822463 10005"),
    (Kind::Card, "", "6011000990139424"),
    (Kind::Card, "", "3056 930902 5904"),
    (Kind::Iban, "IBAN: ", "GB82 WEST 1234 5698 7654 32"),
    (Kind::Iban, "", "DE89370400440532013000"),
    (Kind::Iban, "", "NO93 8601 1117 947"),
    (Kind::Identity, "", "11010519491231002X"),
    (Kind::Identity, "\u{8eab}\u{4efd}\u{8bc1}", "440524188001010014"),
    (Kind::Identity, "DNI ", "12345678Z"),
    (Kind::Identity, "DNI ", "12345678-z"),
    (Kind::Identity, "NIE ", "X1234567L"),
    (Kind::Identity, "", "2 55 08 14 168 025 38"),
    (Kind::Identity, "BSN ", "111222333"),
    (Kind::Identity, "Steuer-ID ", "86095742719"),
    (Kind::Identity, "", "86 095 742 719"),
    (Kind::Identity, "", "2341 2341 2346"),
    (Kind::Identity, "Aadhaar no. ", "234123412346"),
    (Kind::Identity, "", "529.982.247-25"),
    (Kind::Identity, "CPF ", "52998224725"),
];

#[test]
fn a_number_with_its_checksum_is_found_and_with_another_digit_is_not() {
    for &(kind, before, number) in NUMBERS {
        let text = format!("{before}{number}, and so on");
        assert_eq!(found(&text), [(kind, number)], "{text}");
        for (at, old) in number.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            // A key of two digits may hold for another number too, where the first are no checksum.
            let new = if old == '9' { '0' } else { (old as u8 + 1) as char };
            let wrong = format!("{before}{}{new}{}", &number[..at], &number[at + 1..]);
            assert!(!found(&wrong).iter().any(|(found, _)| *found == kind), "{wrong}");
        }
    }
}

#[test]
fn social_security_numbers_are_those_that_can_be() {
    assert_eq!(found("078-05-1120"), [(Kind::Identity, "078-05-1120")]);
    assert_eq!(found("SSN 078051120"), [(Kind::Identity, "078051120")]);
    for text in ["078051120", "000-05-1120", "666-05-1120", "900-05-1120", "078-00-1120"] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn telephones() {
    for text in [
        "+49 30 1234567",
        "+1 (202) 555-0100",
        "+442079460958",
        "+86 138 1234 5678",
        "(202) 555-0100",
        "202-555-0100",
        "202.555.0100",
        "1-202-555-0100",
        "020 7946 0958",
        "(020) 7946 0958",
        "0171/1234567",
        "01 23 45 67 89",
        "01.23.45.67.89",
        "00 44 20 7946 0958",
        "010-65529988",
        "138 1234 5678",
    ] {
        assert_eq!(found(text), [(Kind::Phone, text)], "{text}");
        let inside = format!("Ask ({text}) or not.");
        assert_eq!(found(&inside).len(), 1, "{inside}");
    }
    assert_eq!(found("\u{7535}\u{8bdd}\u{ff1a}13812345678"), [(Kind::Phone, "13812345678")]);
    assert_eq!(found("Tel: 555 1234"), [(Kind::Phone, "555 1234")]);
}

#[test]
fn what_is_not_personal_stays() {
    for text in [
        "2023-01-05 12:30:45",
        "05/01/2023, 5.1.2023, 01.02.03",
        "2001 2002 2003 2004",
        "1,234,567.89 and 1 234 567",
        "$5500000000000004",
        "hotel 1234567",
        "13812345678",
        "pi is 3.14159265358979",
        "ISBN 978-3-16-148410-0",
        "https://a.example/4111111111111111?id=4111111111111111",
        "v1.2.3.4 and 1.2.3.4.5 and 999.1.1.1",
        "10.0.0.1 192.168.1.1 127.0.0.1 192.0.2.7 224.0.0.1",
        "12:30:45 a::b ::1 fe80::1 2001:db8::1 std::vec",
        "icon@2x.png, @you, a@b, a@b.c, a@-b.com",
        "order 123456789012345678901234567890",
        "111222333 86095742719 52998224725",
        "ABCD1234 DE12 X12",
        "0123456789",
        "123456789",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn mail_and_hosts() {
    let cases = [
        ("<first.last+tag@mail.example.co.uk>.", Kind::Email, "first.last+tag@mail.example.co.uk"),
        ("\u{90ae}\u{7bb1}abc_1@x.cn\u{3002}", Kind::Email, "abc_1@x.cn"),
        ("'o'neil@x.org'", Kind::Email, "o'neil@x.org"),
        ("5551234567@x.com", Kind::Email, "5551234567@x.com"),
        ("http://8.8.8.8:80/", Kind::Ip, "8.8.8.8"),
        ("from 203.0.112.9.", Kind::Ip, "203.0.112.9"),
        ("at 2606:4700:4700::1111.", Kind::Ip, "2606:4700:4700::1111"),
        ("[2a00:1450:4001:81b::200e]:443", Kind::Ip, "2a00:1450:4001:81b::200e"),
    ];
    for (text, kind, expected) in cases {
        assert_eq!(found(text), [(kind, expected)], "{text}");
    }
    let all = Personal { public_ip_only: false, ..Personal::default() };
    assert_eq!(all.find("10.0.0.1 fe80::1").len(), 2);
}

#[test]
fn placeholders_and_counts() {
    let mut notes = Notes::default();
    let text = "a@b.org, c@d.org and 8.8.8.8";
    let clean = Personal::default().scrub(text, &mut notes);
    assert_eq!(clean, "<EMAIL>, <EMAIL> and <IP>");
    assert_eq!((notes.n("personal.email"), notes.n("personal.ip")), (2, 1));
    let placeholder = Placeholder::Example;
    let kinds = [Kind::Email].into();
    let personal = Personal { kinds, placeholder, ..Personal::default() };
    let clean = personal.scrub(text, &mut notes);
    assert_eq!(clean, "email@example.com, email@example.com and 8.8.8.8");
    for kind in Kind::ALL {
        let found = Personal::default().find(kind.tag());
        assert_eq!(found, [], "a tag is nothing personal");
    }
}

type Holds<'a> = &'a dyn Fn(&[u8]) -> bool;

/// All that differ in one digit.
fn changed(digits: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let one = |(at, new): (usize, u8)| {
        let mut changed = digits.to_vec();
        changed[at] = (changed[at] + new) % 10;
        changed
    };
    (0..digits.len()).flat_map(|at| (1..10).map(move |new| (at, new))).map(one)
}

proptest! {
    #[test]
    fn one_digit_in_ten_closes_a_sum(body in proptest::collection::vec(0_u8..10, 11)) {
        let closing = |head: &[u8], holds: Holds| -> Vec<Vec<u8>> {
            let with = |last| head.iter().copied().chain([last]).collect::<Vec<u8>>();
            (0..10).map(with).filter(|digits| holds(digits)).collect()
        };
        let card = [&[4, 1, 1, 1][..], &body].concat();
        let aadhaar = [&[5][..], &body[..10]].concat();
        let sums: [(&[u8], Holds); 2] =
            [(&card, &checks::card), (&aadhaar, &checks::india)];
        for (head, holds) in sums {
            let closed = closing(head, holds);
            prop_assert_eq!(closed.len(), 1);
            prop_assert!(changed(&closed[0]).skip(9).all(|digits| !holds(&digits)));
        }
    }

    #[test]
    fn a_wrong_digit_is_seen(digits in proptest::collection::vec(0_u8..10, 15)) {
        for (n, holds) in [
            (15, &checks::france as Holds),
            (11, &checks::germany),
            (9, &checks::netherlands),
        ] {
            let digits = &digits[..n];
            prop_assert!(!holds(digits) || changed(digits).all(|digits| !holds(&digits)));
        }
    }

    #[test]
    fn spans_are_in_order_and_scrubbing_is_done_once(
        text in "([0-9 .:@/+()-]|[a-fA-F]|\u{e9}|DE89|4111|tel|\\.com){0,60}",
    ) {
        let personal = Personal { public_ip_only: false, ..Personal::default() };
        let spans = personal.find(&text);
        let whole = |span: &Span| text.get(span.start..span.end).is_some_and(|it| !it.is_empty());
        prop_assert!(spans.iter().all(whole));
        prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
        let mut notes = Notes::default();
        personal.scrub(&text, &mut notes);
        prop_assert_eq!(notes.iter().map(|(_, n)| n).sum::<u64>(), spans.len() as u64);
    }
}

#[test]
fn hostile_texts_take_linear_time() {
    let mebi = 1 << 20;
    for piece in
        ["\0", "@", "a@", "1", "1 ", "+", "(", "((1", ":", "a:", "::1", "DE89", "AB1", "9-", "."]
    {
        let text = piece.repeat(mebi / piece.len());
        let spans = Personal::default().find(&text);
        assert!(spans.len() <= text.len() / 4, "{piece}: {}", spans.len());
    }
    assert_eq!(Personal::default().find(""), []);
    assert_eq!(Personal::default().find(&"x".repeat(100 * mebi)), []);
}
