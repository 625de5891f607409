//! A stack machine that reads pickles and runs nothing.
//!
//! A pickle is a program: its opcodes push values, put them into containers and call what they
//! name. Here the names of [`Global`] stand for themselves, a call of one is the list of its
//! arguments, and every other name and opcode ends the reading. Containers lie side by side and
//! name one another by index, so nothing recurses, however deep a pickle nests.
//!
//! Source: `CPython`, `Lib/pickletools.py`, for the opcodes of protocols 2 to 5.

use std::collections::HashMap;

use safetensors::Dtype;

use super::super::cursor::Cursor;
use crate::error::Problem;

/// A tensor takes some thirty opcodes; an opcode takes at most some hundred bytes of memory.
const MAX_OPCODES: usize = 1 << 22;
/// So much of a foreign name is repeated.
const MAX_NAME_CHARS: usize = 100;

/// What a pickle makes. Containers are indices of [`Object::items`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// `None`, a float, bytes, a long number: of no use to a tensor.
    Plain,
    Bool(bool),
    Int(i64),
    Str(&'a str),
    Global(Global),
    /// A tuple or a list.
    Seq(usize),
    /// Keys and values by turns.
    Dict(usize),
    /// By what names it: the persistent id's tuple.
    Storage(usize),
    /// By what it would be rebuilt from: the call's arguments.
    Tensor(usize),
}

/// The names a pickle may ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// A pickle, read.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub root: Value<'a>,
    pub items: Vec<Vec<Value<'a>>>,
    /// Of all storages that were named: the index of the tuple.
    pub storages: Vec<usize>,
}

/// Reads one pickle; the cursor stands behind it then.
pub(super) fn load<'a>(cursor: &mut Cursor<'a>) -> Result<Object<'a>, Problem> {
    let mut machine = Machine {
        cursor,
        opcode_at: 0,
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        items: vec![],
        storages: vec![],
    };
    for _ in 0..MAX_OPCODES {
        machine.opcode_at = machine.cursor.at;
        let [opcode] = machine.cursor.array()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Object { root, items: machine.items, storages: machine.storages });
        }
        machine.step(opcode)?;
    }
    Err(format!("a pickle of more than {MAX_OPCODES} opcodes").into())
}

struct Machine<'a, 'c> {
    cursor: &'c mut Cursor<'a>,
    opcode_at: usize,
    stack: Vec<Value<'a>>,
    /// How high the stack was at each mark that is open.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    items: Vec<Vec<Value<'a>>>,
    storages: Vec<usize>,
}

impl<'a> Machine<'a, '_> {
    /// The opcodes that push a value; [`Self::act`] has the others.
    fn step(&mut self, opcode: u8) -> Result<(), Problem> {
        let value = match opcode {
            b'N' => Value::Plain,
            0x88 | 0x89 => Value::Bool(opcode == 0x88),
            b'K' => Value::Int(self.cursor.le(1)? as i64),
            b'M' => Value::Int(self.cursor.le(2)? as i64),
            b'J' => Value::Int(i64::from(self.cursor.le(4)? as i32)),
            0x8a => self.long()?,
            b'G' => self.plain(8)?,
            // `U` and `T` are strings of Python 2.
            b'U' | 0x8c => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.bytes(1)?,
            b'B' => self.bytes(4)?,
            0x8e => self.bytes(8)?,
            b')' | b']' => Value::Seq(self.container(vec![])),
            b'}' => Value::Dict(self.container(vec![])),
            b't' | b'l' => {
                let items = self.pop_marked()?;
                Value::Seq(self.container(items))
            }
            0x85..=0x87 => {
                let items = self.pop_top(usize::from(opcode - 0x84))?;
                Value::Seq(self.container(items))
            }
            b'd' => {
                let items = self.pop_marked()?;
                Value::Dict(self.container(items))
            }
            b'h' => self.recall(1)?,
            b'j' => self.recall(4)?,
            b'c' => {
                let (module, name) = (self.cursor.line()?, self.cursor.line()?);
                self.global(module, name)?
            }
            0x93 => match self.pop_top(2)?[..] {
                [Value::Str(module), Value::Str(name)] => self.global(module, name)?,
                _ => return Err(self.wrong("a global without a name")),
            },
            b'R' => self.call()?,
            b'Q' => match self.pop()? {
                Value::Seq(id) => {
                    self.storages.push(id);
                    Value::Storage(id)
                }
                _ => return Err(self.wrong("a persistent id that is no tuple")),
            },
            _ => return self.act(opcode),
        };
        self.stack.push(value);
        Ok(())
    }

    /// The opcodes that push nothing, and those of no use to a tensor.
    fn act(&mut self, opcode: u8) -> Result<(), Problem> {
        match opcode {
            0x80 => _ = self.cursor.skip(1)?,
            0x95 => _ = self.cursor.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_marked()?,
            b'q' => self.remember(1)?,
            b'r' => self.remember(4)?,
            0x94 => {
                let value = self.last()?;
                self.memo.insert(self.memo.len() as u64, value);
            }
            b'a' => self.extend(1)?,
            b's' => self.extend(2)?,
            b'e' | b'u' => {
                let items = self.pop_marked()?;
                self.append(items)?;
            }
            // The attributes of an `OrderedDict`: `_metadata`, with the versions of modules.
            b'b' => match self.pop_top(2)?[..] {
                [dict @ Value::Dict(_), Value::Dict(_)] => self.stack.push(dict),
                _ => return Err(self.refused("attributes of an object")),
            },
            _ => return Err(self.refused(&describe(opcode))),
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Value<'a>, Problem> {
        let value = self.last()?;
        self.stack.pop();
        Ok(value)
    }

    fn last(&self) -> Result<Value<'a>, Problem> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        self.stack[bottom..].last().copied().ok_or_else(|| self.wrong("an empty stack"))
    }

    /// The last `n` values, in the order they were pushed.
    fn pop_top(&mut self, n: usize) -> Result<Vec<Value<'a>>, Problem> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(from) if from >= bottom => Ok(self.stack.split_off(from)),
            _ => Err(self.wrong("too few values on the stack")),
        }
    }

    fn pop_marked(&mut self) -> Result<Vec<Value<'a>>, Problem> {
        let mark = self.marks.pop().ok_or_else(|| self.wrong("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn container(&mut self, items: Vec<Value<'a>>) -> usize {
        self.items.push(items);
        self.items.len() - 1
    }

    fn extend(&mut self, n: usize) -> Result<(), Problem> {
        let items = self.pop_top(n)?;
        self.append(items)
    }

    /// Adds to the list or the dict that is on top.
    fn append(&mut self, items: Vec<Value<'a>>) -> Result<(), Problem> {
        match self.last()? {
            Value::Seq(idx) | Value::Dict(idx) => self.items[idx].extend(items),
            _ => return Err(self.wrong("items for what is no container")),
        }
        Ok(())
    }

    fn remember(&mut self, n_bytes: u64) -> Result<(), Problem> {
        let (place, value) = (self.cursor.le(n_bytes)?, self.last()?);
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, n_bytes: u64) -> Result<Value<'a>, Problem> {
        let place = self.cursor.le(n_bytes)?;
        self.memo.get(&place).copied().ok_or_else(|| self.wrong("nothing in that memo"))
    }

    fn long(&mut self) -> Result<Value<'a>, Problem> {
        let n_bytes = self.cursor.le(1)?;
        if n_bytes == 0 || n_bytes > 8 {
            return self.plain(n_bytes);
        }
        let unused = 64 - 8 * n_bytes as u32;
        Ok(Value::Int((self.cursor.le(n_bytes)? << unused) as i64 >> unused))
    }

    fn text(&mut self, n_bytes_of_length: u64) -> Result<Value<'a>, Problem> {
        let length = self.cursor.le(n_bytes_of_length)?;
        Ok(Value::Str(self.cursor.text(length)?))
    }

    fn bytes(&mut self, n_bytes_of_length: u64) -> Result<Value<'a>, Problem> {
        let length = self.cursor.le(n_bytes_of_length)?;
        self.plain(length)
    }

    fn plain(&mut self, n_bytes: u64) -> Result<Value<'a>, Problem> {
        self.cursor.skip(n_bytes)?;
        Ok(Value::Plain)
    }

    fn global(&self, module: &str, name: &str) -> Result<Value<'a>, Problem> {
        Ok(Value::Global(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch", "Size") => Global::Size,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Global::Storage(Dtype::I64),
            ("torch", "IntStorage") => Global::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
            ("torch", "CharStorage") => Global::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
            _ => {
                let name: String = module.chars().chain(['.']).chain(name.chars()).collect();
                let shown: String = name.chars().take(MAX_NAME_CHARS).collect();
                return Err(self.refused(&format!("`{}`", shown.escape_debug())));
            }
        }))
    }

    /// What a call of one of ours would return, without one.
    fn call(&mut self) -> Result<Value<'a>, Problem> {
        let called = self.pop_top(2)?;
        let [Value::Global(global), Value::Seq(args)] = called[..] else {
            return Err(self.refused("a call of what is no function"));
        };
        match (global, &self.items[args][..]) {
            (Global::OrderedDict, []) => Ok(Value::Dict(self.container(vec![]))),
            (Global::Size, &[dims @ Value::Seq(_)]) => Ok(dims),
            (Global::RebuildTensor, _) => Ok(Value::Tensor(args)),
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => Ok(tensor),
            _ => Err(self.wrong("other arguments than a function has")),
        }
    }

    fn wrong(&self, problem: &str) -> Problem {
        format!("{problem}, at opcode of byte {}", self.opcode_at).into()
    }

    fn refused(&self, what: &str) -> Problem {
        Problem::Refused { what: what.to_owned(), at: self.opcode_at }
    }
}

fn describe(opcode: u8) -> String {
    let name = match opcode {
        b'i' => " (INST)",
        b'o' => " (OBJ)",
        b'P' => " (PERSID)",
        0x81 => " (NEWOBJ)",
        0x92 => " (NEWOBJ_EX)",
        0x82..=0x84 => " (EXT)",
        _ => "",
    };
    format!("opcode {opcode:#04x}{name}")
}
