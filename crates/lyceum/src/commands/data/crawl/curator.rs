//! What is done to a page and to its text.

use curate::contamination::Contamination;
use curate::crawl::{Page, Reason};
use curate::filter::Blocklist;
use curate::personal::Personal;
use curate::warc::Kind;
use curate::{Document, Notes, html, language};

use crate::failure::{Context, Failure};
use recipe::{CrawlRecipe, PersonalAction};

/// A recipe, its files read.
pub struct Curator<'r> {
    recipe: &'r CrawlRecipe,
    lists: Blocklist,
    personal: Option<Personal>,
    /// What is asked in tests.
    pub sets: Contamination,
}

impl<'r> Curator<'r> {
    /// Reads what the recipe names.
    ///
    /// # Errors
    /// Where a list or a set cannot be read.
    pub fn new(recipe: &'r CrawlRecipe) -> Result<Self, Failure> {
        let lists = Blocklist::load(&recipe.blocklist).context("`blocklist` is refused")?;
        let sets = Contamination::load(&recipe.contamination);
        let sets = sets.context("`contamination` is refused")?;
        Ok(Self { recipe, lists, personal: recipe.personal.finder(), sets })
    }

    /// The text of a page.
    pub fn extract(&self, page: &Page) -> Result<Document, Reason> {
        self.lists.check_url(page.url)?;
        let text = if page.kind == Kind::Conversion {
            String::from_utf8_lossy(page.body).into_owned()
        } else if is_html(page) {
            html::main_text(page.body, page.media_type, self.recipe.extract).text
        } else {
            return Err("not HTML");
        };
        Ok(Document { text, ..Document::default() })
    }

    /// Whether a text stays, and as what.
    pub fn judge(&self, document: &mut Document, notes: &mut Notes) -> Result<(), Reason> {
        let Some((code, score)) = language::identify(&document.text) else {
            return Err("language.none");
        };
        notes.add(&format!("language.{code}"), 1);
        let wanted = &self.recipe.language;
        if !wanted.keep.is_empty() && !wanted.keep.iter().any(|kept| kept == code) {
            return Err("language.other");
        }
        if score < wanted.min_score {
            return Err("language.unsure");
        }
        (document.language, document.language_score) = (code.to_owned(), score);
        self.recipe.filter.judge(document, notes)?;
        self.lists.check_text(&document.text)?;
        let Some(personal) = &self.personal else { return Ok(()) };
        if self.recipe.personal.action == PersonalAction::Scrub {
            document.text = personal.scrub(&document.text, notes).into_owned();
        } else {
            document.personal = personal.find(&document.text);
            document.personal.iter().for_each(|span| notes.add(span.kind.reason(), 1));
        }
        Ok(())
    }
}

/// Whether a page says that it is HTML; of one that says nothing, whether it begins like it.
fn is_html(page: &Page) -> bool {
    match page.media_type {
        Some(media_type) => media_type.to_ascii_lowercase().contains("html"),
        None => page.body.trim_ascii_start().starts_with(b"<"),
    }
}
