//! Import tables: a bijection between a family's external names and this project's own, used both
//! ways.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use checkpoint::{CheckpointError, Dtype, Entry, Stored, Values, Weights};
use mapped::cast_or_copy;
use tensor::Entry as Registered;
use tensor::{Code, DType, Frozen, Param, Params};

use crate::coded::{Blocks, Coding};
use crate::error::ModelError;

/// Where an external tensor comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A parameter of that name, as it is.
    Param(String),
    /// Some rows of a parameter of that name: files keep apart what is one matrix here.
    Rows(String, Range<usize>),
    /// A parameter of that name, whose external form is its transpose.
    Transposed(String),
    /// Some rows of a parameter of that name, two halves of every one of so many heads interleaved:
    /// rotary pairs lie side by side there.
    Pairs(String, Range<usize>, usize),
    /// A weight of that name, one more than ours: there it is stored about one.
    AboutOne(String),
    /// A parameter of that name, which has that shape in files: a convolution that is a matrix
    /// here.
    Shaped(String, Vec<usize>),
    /// The fixed table of positions, of that shape: checked on reading, and then taken as it is
    /// stored.
    Waves(Vec<usize>),
}

impl Source {
    /// The parameter.
    pub fn own(&self) -> Option<&str> {
        match self {
            Self::Param(own)
            | Self::Rows(own, _)
            | Self::Transposed(own)
            | Self::Pairs(own, ..)
            | Self::AboutOne(own)
            | Self::Shaped(own, _) => Some(own),
            Self::Waves(_) => None,
        }
    }

    fn own_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Param(own)
            | Self::Rows(own, _)
            | Self::Transposed(own)
            | Self::Pairs(own, ..)
            | Self::AboutOne(own)
            | Self::Shaped(own, _) => Some(own),
            Self::Waves(_) => None,
        }
    }

    /// The shape of the external tensor, from that of the parameter.
    fn shape(&self, own: &[usize]) -> Vec<usize> {
        match self {
            Self::Param(_) | Self::AboutOne(_) => own.to_vec(),
            Self::Waves(shape) | Self::Shaped(_, shape) => shape.clone(),
            Self::Rows(_, rows) | Self::Pairs(_, rows, _) => [&[rows.len()], &own[1..]].concat(),
            Self::Transposed(_) => own.iter().rev().copied().collect(),
        }
    }

    /// The external tensor, made of the values of its parameter.
    pub fn external(&self, param: &Param, values: &[f32]) -> Vec<f32> {
        let values = &values[self.range(param)];
        match self {
            Self::AboutOne(_) => values.iter().map(|w| 1.0 + w).collect(),
            _ => self.arranged(values, param.shape(), true).unwrap_or_else(|| values.to_vec()),
        }
    }

    /// Values in the order of the external tensor, or from it; none where the order is the same.
    /// `own` is the shape of the parameter.
    fn arranged<T: Copy + Default>(&self, x: &[T], own: &[usize], out: bool) -> Option<Vec<T>> {
        match self {
            Self::Transposed(_) => {
                let &[rows, cols] = own else { panic!("import table: {own:?} is no matrix") };
                Some(transpose(x, if out { [rows, cols] } else { [cols, rows] }))
            }
            Self::Pairs(_, rows, n_heads) => {
                let half = rows.len() / n_heads / 2;
                let dims = if out { [2, half] } else { [half, 2] };
                let width = own[1..].iter().product::<usize>().max(1);
                let heads = x.chunks_exact((2 * half * width).max(1));
                Some(heads.flat_map(|head| transpose_rows(head, dims, width)).collect())
            }
            _ => None,
        }
    }

    /// The values of the parameter that it is.
    fn range(&self, param: &Param) -> Range<usize> {
        let width = param.shape()[1..].iter().product::<usize>();
        match self {
            Self::Rows(_, rows) | Self::Pairs(_, rows, _) => rows.start * width..rows.end * width,
            _ => 0..param.len(),
        }
    }
}

/// One external tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name on disk.
    pub name: String,
    /// What it is here.
    pub source: Source,
}

impl Import {
    /// `name` is the parameter `own`.
    pub fn param(name: impl Into<String>, own: impl Into<String>) -> Self {
        Self { name: name.into(), source: Source::Param(own.into()) }
    }

    /// `name` is the transpose of the parameter `own`.
    pub fn transposed(name: impl Into<String>, own: impl Into<String>) -> Self {
        Self { name: name.into(), source: Source::Transposed(own.into()) }
    }
}

/// A table under construction.
#[derive(Default)]
pub(crate) struct Table(pub Vec<Import>);

impl Table {
    /// `theirs` is the parameter `ours`.
    pub fn param(&mut self, theirs: impl Into<String>, ours: impl Into<String>) {
        self.0.push(Import::param(theirs, ours));
    }

    /// Weight and, perhaps, bias of a layer.
    pub fn layer(&mut self, theirs: &str, ours: &str, bias: bool) {
        for leaf in ["weight", "bias"].iter().take(1 + usize::from(bias)) {
            self.param(format!("{theirs}.{leaf}"), format!("{ours}.{leaf}"));
        }
    }

    /// The tensors of a part, but for parameters that it shares.
    pub fn part(&mut self, scope: &str, part: Self, shared: &[&str]) {
        let within = |name: &str| format!("{scope}.{name}");
        for Import { name, mut source } in part.0 {
            if let Some(own) = source.own_mut().filter(|own| !shared.contains(&own.as_str())) {
                *own = within(own);
                self.0.push(Import { name: within(&name), source });
            }
        }
    }

    /// `theirs` is the parameter `ours` in another shape of as many values.
    pub fn shaped(&mut self, theirs: impl Into<String>, ours: &str, shape: &[usize]) {
        let source = Source::Shaped(ours.into(), shape.into());
        self.0.push(Import { name: theirs.into(), source });
    }

    /// `theirs` is some rows of the parameter `ours`.
    pub fn rows(&mut self, theirs: impl Into<String>, ours: &str, rows: Range<usize>) {
        let source = Source::Rows(ours.into(), rows);
        self.0.push(Import { name: theirs.into(), source });
    }

    /// Layers that are one here: each with the rows it has of it.
    pub fn stacked<const N: usize>(
        &mut self,
        theirs: [(String, usize); N],
        ours: &str,
        bias: bool,
    ) {
        self.stacked_with(theirs.map(|(name, n)| (name, n, bias)), ours);
    }

    /// The same, where some have a bias and that of others is zero.
    pub fn stacked_with<const N: usize>(&mut self, theirs: [(String, usize, bool); N], ours: &str) {
        let mut first = 0;
        for (name, n, bias) in theirs {
            for leaf in ["weight", "bias"].iter().take(1 + usize::from(bias)) {
                self.rows(format!("{name}.{leaf}"), &format!("{ours}.{leaf}"), first..first + n);
            }
            first += n;
        }
    }
}

fn find<'p>(params: &'p Params, own: &str) -> &'p Param {
    &params.find(own).unwrap_or_else(|| panic!("import table: no parameter `{own}`")).param
}

/// The transpose of a row-major `[rows, cols]`.
fn transpose<T: Copy + Default>(x: &[T], [rows, cols]: [usize; 2]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    for (r, row) in x.chunks_exact(cols.max(1)).enumerate() {
        for (c, &value) in row.iter().enumerate() {
            y[c * rows + r] = value;
        }
    }
    y
}

/// The same for elements that are rows of a width.
fn transpose_rows<T: Copy>(x: &[T], [rows, cols]: [usize; 2], width: usize) -> Vec<T> {
    let row = |c: usize, r: usize| &x[(r * cols + c) * width..][..width];
    (0..cols).flat_map(|c| (0..rows).flat_map(move |r| row(c, r).iter().copied())).collect()
}

/// Takes `prefix` from the names that have it.
pub(crate) fn strip(table: &mut [Import], prefix: Option<&str>) {
    let Some(prefix) = prefix else { return };
    for import in table {
        if let Some(bare) = import.name.strip_prefix(prefix) {
            import.name = bare.into();
        }
    }
}

/// Holds every shape of `table` against what is stored, before any memory is taken for it.
pub(crate) fn check(
    table: &[Import],
    weights: &Weights,
    registered: &[Registered],
) -> Result<(), ModelError> {
    for Import { name, source } in table {
        let found = weights.get(name)?.shape;
        let Some(own) = source.own() else { continue };
        let entry = registered.iter().find(|e| e.name == *own);
        let expected = source.shape(entry.expect("a registered parameter").param.shape());
        if found != expected {
            let (name, found) = (name.clone(), found.to_vec());
            return Err(CheckpointError::Shape { name, expected, found }.into());
        }
    }
    Ok(())
}

/// A sine of 5000 times an f32, in any mathematics library and stored in any floating-point type;
/// another arrangement of sines and cosines is off by ones.
const WAVES_TOLERANCE: f32 = 0.01;

/// Parts of a frozen matrix by the row they start at.
type Parts = BTreeMap<usize, Part>;

/// Rows of a frozen matrix: plain, or in a form of their own.
enum Part {
    Plain(DType, Bytes),
    Coded(Arc<dyn Code>, Bytes),
}

/// Reads every tensor of `table` from `weights`; frozen matrices are kept as `coding` says of
/// their names; `set_waves` takes the table of positions, if it is
/// that of the model.
pub(crate) fn read(
    table: &[Import],
    weights: &Weights,
    params: &mut Params,
    coding: impl Fn(&str) -> Coding,
    mut set_waves: impl FnMut(Vec<f32>) -> Result<(), Vec<f32>>,
) -> Result<(), ModelError> {
    let mut frozen: BTreeMap<&str, Parts> = BTreeMap::new();
    for Import { name, source } in table {
        let Some(own) = source.own() else {
            let wrong = |_| ModelError::Constant { name: name.clone() };
            set_waves(weights.to_f32(name)?).map_err(wrong)?;
            continue;
        };
        let param = find(params, own).clone();
        let shape = source.shape(param.shape());
        let range = source.range(&param);
        if param.is_frozen() {
            let start = range.start / param.shape()[1];
            let part = part(weights, name, (source, param.shape()), coding(own))?;
            frozen.entry(own).or_default().insert(start, part);
        } else {
            let values = &mut params.get_mut(&param)[range];
            weights.read_f32(name, &shape, values)?;
            if let Some(arranged) = source.arranged(values, param.shape(), false) {
                values.copy_from_slice(&arranged);
            }
            if matches!(source, Source::AboutOne(_)) {
                for w in values {
                    *w -= 1.0;
                }
            }
        }
    }
    for (own, parts) in frozen {
        let param = find(params, own).clone();
        let mut whole = Frozen::default();
        for part in parts.into_values() {
            match part {
                Part::Plain(dtype, bytes) => whole.push(dtype, bytes),
                Part::Coded(code, bytes) => whole.push_coded(code, bytes),
            }
        }
        params.freeze(&param, whole);
    }
    Ok(())
}

/// A stored tensor as it lies in its file, or a copy: of what is arranged otherwise, misaligned, or
/// of a type that nothing computes with. `own` is the shape of the parameter.
fn part(
    weights: &Weights,
    name: &str,
    (source, own): (&Source, &[usize]),
    coding: Coding,
) -> Result<Part, ModelError> {
    let view = weights.get(name)?;
    if let (Stored::Blocks(block), true) = (view.dtype, coding != Coding::Plain) {
        let code: Arc<dyn Code> = Arc::new(Blocks(block));
        let row = [&[own[0]], &[code.row_bytes(own[1])][..]].concat();
        let bytes = weights.share(name)?;
        let moved = source.arranged(&bytes, &row, false);
        return Ok(Part::Coded(code, moved.map_or(bytes, Bytes::from)));
    }
    if let Coding::Rounded(quantised) = coding
        && quantised.fits(own[1])
    {
        let values = weights.to_f32(name)?;
        let values = source.arranged(&values, own, false).unwrap_or(values);
        return Ok(Part::Coded(quantised.code(), quantised.encode(&values).into()));
    }
    let known = [(Dtype::F32, DType::F32), (Dtype::BF16, DType::Bf16), (Dtype::F16, DType::F16)];
    let Some((_, dtype)) = known.into_iter().find(|(stored, _)| view.dtype.is(*stored)) else {
        let values = weights.to_f32(name)?;
        let values = source.arranged(&values, own, false).unwrap_or(values);
        return Ok(Part::Plain(DType::F32, owned(values)));
    };
    let bytes = weights.share(name)?;
    let copied = match dtype {
        DType::F32 => rearranged::<f32>(&bytes, source, own),
        DType::Bf16 | DType::F16 => rearranged::<u16>(&bytes, source, own),
    };
    Ok(Part::Plain(dtype, copied.unwrap_or(bytes)))
}

/// A copy, where the bytes cannot be used as they lie.
fn rearranged<T: bytemuck::Pod + Default + Send>(
    bytes: &[u8],
    source: &Source,
    own: &[usize],
) -> Option<Bytes> {
    let numbers = cast_or_copy::<T>(bytes);
    match (source.arranged(&numbers, own, false), numbers) {
        (Some(arranged), _) => Some(owned(arranged)),
        (None, Cow::Owned(copy)) => Some(owned(copy)),
        (None, Cow::Borrowed(_)) => None,
    }
}

/// Numbers as bytes that keep their alignment.
fn owned<T: bytemuck::Pod + Send>(numbers: Vec<T>) -> Bytes {
    struct Numbers<T>(Vec<T>);
    impl<T: bytemuck::Pod> AsRef<[u8]> for Numbers<T> {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    Bytes::from_owner(Numbers(numbers))
}

/// Whether a stored table of positions is ours.
pub(crate) fn close_waves(stored: &[f32], waves: &[f32]) -> bool {
    let close = |(a, b): (&f32, &f32)| (a - b).abs() < WAVES_TOLERANCE;
    stored.len() == waves.len() && stored.iter().zip(waves).all(close)
}

/// Every tensor of `table`, to be written in the order of the table, stored as `dtype` says of name
/// and shape.
pub(crate) fn entries<'a>(
    table: &[Import],
    params: &'a Params,
    waves: Option<&'a [f32]>,
    dtype: impl Fn(&str, &[usize]) -> Stored,
) -> Vec<Entry<'a>> {
    let entry = |Import { name, source }: &Import| {
        let name = name.clone();
        let Some(own) = source.own() else {
            let values = waves.expect("a table with waves has a model with waves");
            return Entry::new(name, &source.shape(&[]), Values::F32(values));
        };
        let param = find(params, own);
        let shape = source.shape(param.shape());
        let dtype = dtype(&name, &shape);
        let as_is = matches!(source, Source::Param(_) | Source::Rows(..));
        if as_is && !param.is_frozen() && dtype.is(Dtype::F32) {
            return Entry::new(name, &shape, Values::F32(&params.get(param)[source.range(param)]));
        }
        let source = source.clone();
        Entry::made_as(dtype, name, &shape, move || source.external(param, &widened(params, param)))
    };
    table.iter().map(entry).collect()
}

/// All values of a parameter, wherever they lie.
pub(crate) fn widened<'p>(params: &'p Params, param: &Param) -> Cow<'p, [f32]> {
    if !param.is_frozen() {
        return params.get(param).into();
    }
    let mut all = Vec::with_capacity(param.len());
    for rows in params.rows(param) {
        match rows.values {
            tensor::Values::F32(x) => all.extend_from_slice(x),
            tensor::Values::Bf16(x) => all.extend(x.iter().map(|x| x.to_f32())),
            tensor::Values::F16(x) => all.extend(x.iter().map(|x| x.to_f32())),
            tensor::Values::Coded(code, bytes, cols) => {
                for row in bytes.chunks_exact(code.row_bytes(cols)) {
                    let first = all.len();
                    all.resize(first + cols, 0.0);
                    code.decode(row, &mut all[first..]);
                }
            }
        }
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn transposing_twice_changes_nothing() {
        let x = [1., 2., 3., 4., 5., 6.];
        assert_eq!(transpose(&x, [2, 3]), [1., 4., 2., 5., 3., 6.]);
        assert_eq!(transpose(&transpose(&x, [2, 3]), [3, 2]), x);
    }
}
