//! `ModelProto`: what a `SentencePiece` model file says.
//!
//! Field numbers of `sentencepiece_model.proto`. Kudo, Richardson, "`SentencePiece`",
//! arXiv:1808.06226.

use std::collections::HashMap;

use super::wire::Fields;

/// More pieces than any vocabulary has.
const PIECES_MAX: usize = 1 << 24;

/// How a model was trained, and so how it cuts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Unigram,
    Bpe,
}

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Role {
    /// `SentencePiece.Type`, which GGUF's `token_type` repeats.
    pub(crate) fn of(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) score: f32,
    pub(crate) role: Role,
}

/// A model file, checked: pieces are distinct, scores finite, one piece is the unknown one.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) kind: Kind,
    pub(crate) byte_fallback: bool,
    pub(crate) charsmap: Vec<u8>,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
}

impl Model {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut model = Self {
            pieces: Vec::new(),
            kind: Kind::Unigram,
            byte_fallback: false,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        };
        for field in Fields::new(bytes) {
            match field? {
                (1, wire) => model.pieces.push(piece(wire.bytes()?, model.pieces.len())?),
                (2, wire) => model.read_trainer(wire.bytes()?)?,
                (3, wire) => model.read_normalizer(wire.bytes()?)?,
                _ => {}
            }
            if model.pieces.len() > PIECES_MAX {
                return Err(format!("more than {PIECES_MAX} pieces"));
            }
        }
        model.check()?;
        Ok(model)
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Result<(), String> {
        for field in Fields::new(bytes) {
            match field? {
                (3, wire) => {
                    self.kind = match wire.int()? {
                        1 => Kind::Unigram,
                        2 => Kind::Bpe,
                        kind => return Err(format!("a model of type {kind}, 1 and 2 are read")),
                    }
                }
                (24, wire) if wire.int()? != 0 => {
                    return Err("spaces are suffixes of words, which is not read".to_owned());
                }
                (35, wire) => self.byte_fallback = wire.int()? != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        for field in Fields::new(bytes) {
            match field? {
                (2, wire) => self.charsmap = wire.bytes()?.to_vec(),
                (3, wire) => self.add_dummy_prefix = wire.int()? != 0,
                (4, wire) => self.remove_extra_whitespaces = wire.int()? != 0,
                (5, wire) if wire.int()? == 0 => {
                    return Err("spaces are not escaped, which is not read".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Holds what [`Model`] promises.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut seen = HashMap::with_capacity(self.pieces.len());
        for (id, piece) in self.pieces.iter().enumerate() {
            let text = piece.text.escape_debug();
            if piece.text.is_empty() {
                return Err(format!("the piece {id} is empty"));
            }
            if !piece.score.is_finite() {
                return Err(format!("the score of piece {id}, `{text}`, is {}", piece.score));
            }
            if let Some(first) = seen.insert(piece.text.as_str(), id) {
                return Err(format!("the pieces {first} and {id} are both `{text}`"));
            }
        }
        let n_unknown = self.pieces.iter().filter(|piece| piece.role == Role::Unknown).count();
        if n_unknown != 1 {
            return Err(format!("{n_unknown} pieces are the unknown token, one has to be"));
        }
        if !self.charsmap.is_empty() {
            super::charsmap::check(&self.charsmap)?;
        }
        Ok(())
    }

    /// The id of the unknown token.
    pub(crate) fn unknown(&self) -> usize {
        let found = self.pieces.iter().position(|piece| piece.role == Role::Unknown);
        found.expect("checked: one piece is the unknown one")
    }
}

fn piece(bytes: &[u8], id: usize) -> Result<Piece, String> {
    let mut piece = Piece { text: String::new(), score: 0.0, role: Role::Normal };
    let at = |reason| format!("piece {id}: {reason}");
    for field in Fields::new(bytes) {
        match field.map_err(at)? {
            (1, wire) => wire.text().map_err(at)?.clone_into(&mut piece.text),
            (2, wire) => piece.score = wire.float().map_err(at)?,
            (3, wire) => {
                let number = wire.int().map_err(at)?;
                piece.role = Role::of(number).ok_or_else(|| at(format!("the type {number}")))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}
