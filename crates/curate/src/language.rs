//! Which language a text is in.

/// How much of a text is looked at, in bytes; see EXPERIMENTS.
const SAMPLE: usize = 2048;

/// ISO 639-1 for each ISO 639-3 of the languages that are known; those without are left as they
/// are.
const CODES: &str = "afr af aka ak amh am ara ar aze az bel be ben bn bul bg cat ca ces cs cmn zh \
    cym cy dan da deu de ell el eng en epo eo est et fin fi fra fr guj gu heb he hin hi hrv hr \
    hun hu hye hy ind id ita it jav jv jpn ja kan kn kat ka khm km kor ko lat la lav lv lit lt \
    mal ml mar mr mkd mk mya my nep ne nld nl nob nb ori or pan pa pes fa pol pl por pt ron ro \
    rus ru sin si slk sk slv sl sna sn spa es srp sr swe sv tam ta tel te tgl tl tha th tuk tk \
    tur tr ukr uk urd ur uzb uz vie vi yid yi zul zu";

/// The language of a text (ISO 639-1, as `en`), and how sure that is, from 0 to 1.
///
/// Told by its script, its letters and its trigrams, among 70 languages; of a long text, by two
/// kilobytes from its middle. `None` where there are no letters. A short text, or one in none of
/// these languages, gets a low score, not `None`.
pub fn identify(text: &str) -> Option<(&'static str, f32)> {
    let from = text.floor_char_boundary(text.len().saturating_sub(SAMPLE) / 2);
    let to = text.floor_char_boundary(text.len().min(from + SAMPLE));
    let info = whatlang::detect(&text[from..to])?;
    let code = info.lang().code();
    let short = CODES.split(' ').skip_while(|word| *word != code).nth(1);
    Some((short.unwrap_or(code), info.confidence() as f32))
}

/// Whether [`identify`] can find a language of this code.
pub fn is_known(code: &str) -> bool {
    CODES.split(' ').skip(1).step_by(2).any(|known| known == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first article of the Universal Declaration of Human Rights.
    const ARTICLE: &str = include_str!("../tests/golden/languages.tsv");

    #[test]
    fn a_sentence_is_enough() {
        for line in ARTICLE.lines() {
            let (code, text) = line.split_once('\t').unwrap();
            let (found, score) = identify(text).unwrap();
            assert_eq!(found, code);
            assert!((0.0..=1.0).contains(&score));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "\u{5e8a}\u{524d}\u{660e}\u{6708}\u{5149}".repeat(1000);
        assert_eq!(identify(&text), Some(("zh", 1.0)));
        assert_eq!(identify(&("x".to_owned() + &text)).map(|found| found.0), Some("zh"));
    }

    #[test]
    fn no_letters_no_language() {
        assert_eq!(identify(""), None);
        assert_eq!(identify("12.50 + 3 = 15.5 \u{1f600}"), None);
    }

    #[test]
    fn every_language_has_its_short_code() {
        for lang in whatlang::Lang::all() {
            assert!(CODES.split(' ').step_by(2).any(|code| code == lang.code()), "{lang:?}");
        }
    }
}
