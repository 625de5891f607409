//! What a pass gives out.

use std::collections::BTreeMap;
use std::sync::Arc;

use models::{CHOICES, SPANS, Stack};
use nn::{Context, Head};
use tensor::{Capture, Tape, Tensor, Var};

/// A tensor to be written: name, shape, values.
pub type Output = (String, Vec<usize>, Vec<f32>);

/// What is kept of a pass: scores of routers; and, if they are wanted, hidden states, attentions.
pub fn capture((hidden_states, attentions): (bool, bool)) -> Capture {
    let wanted = [("router_logits", true), ("hidden", hidden_states), ("attentions", attentions)];
    Capture::new(wanted.iter().filter(|(_, is)| *is).map(|(name, _)| *name))
}

/// What every head gives, and the last hidden state where none scores anything; `rows` are what
/// heads over a whole text read, and that many texts are choices for one.
pub fn heads<'a>(
    stack: &'a Stack,
    tape: &Tape<'a>,
    hidden: &Var,
    (rows, n_choices): (&Arc<[u32]>, usize),
) -> Vec<Output> {
    let call = &Context::plain(0, 0).call;
    let head = |(name, head): &'a (&'static str, Head)| {
        let out = match head {
            Head::Token(head) => head.logits(tape, hidden),
            Head::Tag(head) if *name == SPANS => {
                return spans(head.forward(tape, hidden, call).value());
            }
            Head::Tag(head) => one_or_more(head.forward(tape, hidden, call)),
            Head::Pooled(head) if *name == CHOICES => {
                let scores = head.forward(tape, hidden, rows, call);
                let scores = scores.reshape(&[rows.len() / n_choices, n_choices]);
                return vec![as_is("logits".into(), scores.value())];
            }
            Head::Pooled(head) => head.forward(tape, hidden, rows, call),
            Head::Embedding(_) => unreachable!("a head of a dual encoder"),
        };
        vec![as_is((*name).into(), out.value())]
    };
    let is_base = stack.heads.iter().all(|(name, _)| *name == "pooler_output");
    let last = is_base.then(|| as_is("last_hidden_state".into(), hidden.value()));
    last.into_iter().chain(stack.heads.iter().flat_map(head)).collect()
}

/// `[B, T, 2]` as two of `[B, T]`.
fn spans(scores: &Tensor) -> Vec<Output> {
    let (shape, values) = (&scores.shape()[..2], scores.to_vec());
    let part = |at| values.iter().skip(at).step_by(2).copied().collect();
    let named = |(at, name): (usize, &str)| (name.to_owned(), shape.to_vec(), part(at));
    ["start_logits", "end_logits"].into_iter().enumerate().map(named).collect()
}

/// Scores `[B, T, classes]`; `[B, T]` of one class.
fn one_or_more(scores: Var) -> Var {
    match *scores.value().shape() {
        [batch, len, 1] => scores.reshape(&[batch, len]),
        _ => scores,
    }
}

/// What was found in the layers of one stack.
pub struct Layers<'a> {
    /// Tensors by path.
    pub found: &'a BTreeMap<String, Tensor>,
    /// What paths of the stack begin with.
    pub path: &'a str,
    /// How many there are.
    pub n: usize,
}

impl Layers<'_> {
    /// Each layer's input as `name.0` and so on, and what the last gave, `last`: the last block's
    /// own output is not among them, what follows is after the final norm.
    pub fn hidden_states(
        &self,
        name: &str,
        last: &Tensor,
        write: fn(String, &Tensor) -> Output,
    ) -> Vec<Output> {
        let inner = (0..self.n).map(|i| self.at(i, "hidden"));
        let all = inner.chain([last]).enumerate();
        all.map(|(i, x)| write(format!("{name}.{i}"), x)).collect()
    }

    /// The probabilities of each layer's attention at `place`, as `name.0` and so on.
    pub fn attentions(&self, name: &str, place: &str) -> Vec<Output> {
        let of_layer = |i| self.at(i, &format!("{place}.attentions"));
        (0..self.n).map(|i| as_is(format!("{name}.{i}"), of_layer(i))).collect()
    }

    /// The scores of every router, numbered as `transformers` does: without layers that have none.
    pub fn router_logits(&self) -> Vec<Output> {
        let path = |i| format!("{}blocks.{i}.ffn.router_logits", self.path);
        let routers = (0..self.n).filter_map(|i| self.found.get(&path(i)));
        let router = |(i, logits)| as_is(format!("router_logits.{i}"), logits);
        routers.enumerate().map(router).collect()
    }

    fn at(&self, layer: usize, what: &str) -> &Tensor {
        &self.found[&format!("{}blocks.{layer}.{what}", self.path)]
    }
}

/// A tensor under its name.
pub fn as_is(name: String, x: &Tensor) -> Output {
    (name, x.shape().to_vec(), x.to_vec())
}
