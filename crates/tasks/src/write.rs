//! What a model writes of what it is given, greedily.

use std::ops::ControlFlow;

use generate::{
    Choice, Draw, Event, GenerateError, ROWS_AT_ONCE, Request, Sampling, Search, Source, encode,
    find, generate_all,
};
use models::Model;
use tensor::{Device, Precision};

/// What is written, and how far.
#[derive(Clone, Debug, PartialEq)]
pub struct Writing {
    /// What a decoder begins with, where an encoder reads what is given; else that is gone on with.
    pub start: Option<u32>,
    /// Each ends a text.
    pub ends: Vec<u32>,
    /// New tokens, at most.
    pub max_tokens: usize,
    /// About so many tokens are in work at once, where an encoder reads.
    pub n_tokens: usize,
}

impl Writing {
    /// What a model writes of each of `given`, without what ends it. Texts of about the same length
    /// are read together.
    ///
    /// # Errors
    /// When the model's scores are not finite.
    ///
    /// # Panics
    /// When one of them is empty, or longer than what the model reads.
    pub fn all(
        &self,
        at: (&Model, &Device, Precision),
        given: &[Vec<u32>],
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        let Some(start) = self.start else {
            return self.behind(at, given);
        };
        let mut order: Vec<usize> = (0..given.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(given[i].len()));
        let (max_tokens, ends) = (self.max_tokens, self.ends.clone());
        let search = Search { max_tokens, ends, ..Search::default() };
        let how = Draw { sampling: Sampling::GREEDY, seed: 0, n_samples: 1, first_row: 0 };
        let (mut written, mut rest) = (vec![vec![]; given.len()], &order[..]);
        while let Some(&longest) = rest.first() {
            let n = self.n_tokens / (given[longest].len() + max_tokens).max(1);
            let (some, others) = rest.split_at(n.clamp(1, rest.len()));
            let rows: Vec<Vec<u32>> = some.iter().map(|&i| given[i].clone()).collect();
            let memory = encode(at, &Source::Tokens(&rows));
            let found = find(at, Some(memory), &[start], (&search, &Choice::Draw(how)))?;
            for (&i, found) in some.iter().zip(found) {
                written[i] = found.tokens;
            }
            rest = others;
        }
        Ok(written)
    }

    fn behind(
        &self,
        at: (&Model, &Device, Precision),
        given: &[Vec<u32>],
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        let request = |prompt: &Vec<u32>| Request {
            prompt: prompt.clone(),
            max_tokens: self.max_tokens,
            sampling: Sampling::GREEDY,
            seed: 0,
            ends: self.ends.clone(),
            n_samples: 1,
        };
        let requests: Vec<Request> = given.iter().map(request).collect();
        let mut written = vec![vec![]; given.len()];
        generate_all(at, &requests, ROWS_AT_ONCE, |[i, _], event| {
            if let Event::Token(token) = event {
                written[i].push(token);
            }
            ControlFlow::Continue(())
        })?;
        Ok(written)
    }
}
