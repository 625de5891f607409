//! Two stacks that put texts and images into one space.

use std::sync::Arc;

use nn::{Checked, ConfigError, Context, Head, HeadConfig, Input};
use tensor::{Init, Param, Params, ParamsBuilder, Tape, Tensor, Var};

use crate::stack::{Stack, StackConfig};

/// What a dual encoder is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct DualEncoderConfig {
    /// What reads texts: one head, which gives a vector.
    pub text: StackConfig,
    /// What sees images: one head, which gives a vector of that width.
    pub vision: StackConfig,
    /// What the logarithm of the scale of scores starts at.
    pub logit_scale: f32,
    /// What is added to every score, at first; none is nothing.
    pub logit_bias: Option<f32>,
}

/// The width of the vector that a tower gives.
fn width(tower: &StackConfig) -> Option<usize> {
    match &tower.heads[..] {
        [(_, HeadConfig::Embedding(head))] => {
            Some(head.project.map_or(tower.trunk.d_model, |(width, _)| width))
        }
        _ => None,
    }
}

impl DualEncoderConfig {
    /// Everything that can be wrong with it.
    ///
    /// # Errors
    /// With the first field that is wrong.
    pub fn check(self) -> Result<Checked<Self>, ConfigError> {
        self.text.clone().check()?;
        self.vision.clone().check()?;
        if self.text.embed.tokens().is_none() || self.vision.embed.patches().is_none() {
            return Err(ConfigError::new("text_config", "one tower reads text, one sees images"));
        }
        match [&self.text, &self.vision].map(width) {
            [Some(text), Some(vision)] if text == vision => Ok(Checked::vouch(self)),
            [text, vision] => {
                let problem = format!("{text:?} of texts and {vision:?} of images");
                Err(ConfigError::new("projection_dim", problem))
            }
        }
    }
}

/// What a tower makes of its input.
pub struct Seen {
    /// `[B, T, D]`: the last hidden state.
    pub hidden: Var,
    /// `[B, E]`: its place in the space of both, not normalized.
    pub embeds: Var,
}

/// Scores of every text and every image.
pub struct Scores {
    /// `[texts, E]`, of length one.
    pub text: Vec<f32>,
    /// `[images, E]`, of length one.
    pub images: Vec<f32>,
    /// `[texts, images]`.
    pub per_text: Vec<f32>,
}

/// A tower for texts and one for images: CLIP, `SigLIP`.
pub struct DualEncoder {
    config: Checked<DualEncoderConfig>,
    /// What reads texts.
    pub text: Stack,
    /// What sees images.
    pub vision: Stack,
    /// `[1]`: the logarithm of what scores are multiplied with.
    logit_scale: Param,
    /// `[1]`: added to scores.
    logit_bias: Option<Param>,
}

impl DualEncoder {
    /// Registers every parameter, those of the towers as `text.` and `vision.`.
    pub fn new(builder: &mut ParamsBuilder, config: Checked<DualEncoderConfig>) -> Self {
        let checked = |c: &StackConfig| c.clone().check().expect("a part of a checked config");
        let c = config.get();
        let text = builder.scope("text", |b| Stack::new(b, checked(&c.text)));
        let vision = builder.scope("vision", |b| Stack::new(b, checked(&c.vision)));
        let at = |value| Init::Constant { value };
        let logit_scale = builder.param("logit_scale", &[1], at(c.logit_scale));
        let logit_bias = c.logit_bias.map(|bias| builder.param("logit_bias", &[1], at(bias)));
        Self { config, text, vision, logit_scale, logit_bias }
    }

    /// What it is made of.
    pub fn config(&self) -> &DualEncoderConfig {
        self.config.get()
    }

    /// `[B, T]` tokens.
    pub fn read<'a>(
        &'a self,
        tape: &Tape<'a>,
        ids: &Arc<[u32]>,
        shape: [usize; 2],
        ctx: &mut Context,
    ) -> Seen {
        tape.scope("text", None, || {
            let hidden = self.text.forward(tape, ids, shape, ctx);
            let embeds = embeds(&self.text, tape, &hidden, (Some(ids), ctx));
            Seen { hidden, embeds }
        })
    }

    /// `[B, C, H, W]` pixels.
    pub fn see<'a>(&'a self, tape: &Tape<'a>, pixels: &Tensor, ctx: &mut Context) -> Seen {
        tape.scope("vision", None, || {
            let hidden = self.vision.read(tape, Input::Pixels(pixels), ctx);
            let embeds = embeds(&self.vision, tape, &hidden, (None, ctx));
            Seen { hidden, embeds }
        })
    }

    /// How well texts and images fit, from their places.
    ///
    /// ```text
    /// exp(scale) t . v / (|t| |v|)  (+ bias)
    /// ```
    ///
    /// Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    /// arXiv:2103.00020, figure 3; with a bias, Zhai et al., "Sigmoid Loss for Language Image
    /// Pre-Training", arXiv:2303.15343, algorithm 1.
    pub fn scores(&self, params: &Params, text: &Tensor, images: &Tensor) -> Scores {
        let width = text.rows().1;
        let [text, images] = [text, images].map(|x| unit_rows(x.to_vec(), width));
        let scale = params.get(&self.logit_scale)[0].exp();
        let bias = self.logit_bias.as_ref().map_or(0.0, |bias| params.get(bias)[0]);
        let dot = |t: &[f32], v: &[f32]| t.iter().zip(v).map(|(t, v)| t * v).sum::<f32>();
        let row = |t| images.chunks_exact(width).map(move |v| scale * dot(t, v) + bias);
        let per_text = text.chunks_exact(width).flat_map(row).collect();
        Scores { text, images, per_text }
    }
}

/// Rows of length one.
fn unit_rows(mut x: Vec<f32>, width: usize) -> Vec<f32> {
    for row in x.chunks_exact_mut(width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in row {
            *x /= length;
        }
    }
    x
}

fn embeds<'a>(
    tower: &'a Stack,
    tape: &Tape<'a>,
    hidden: &Var,
    (ids, ctx): (Option<&[u32]>, &Context),
) -> Var {
    match &tower.heads[..] {
        [(_, Head::Embedding(head))] => head.forward(tape, hidden, ids, &ctx.call),
        _ => panic!("a tower of a checked config has one head"),
    }
}
