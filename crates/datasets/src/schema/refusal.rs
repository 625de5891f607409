//! Tables that are refused: what they lack, and how it is said.

use serde_json::Value;

use super::shapes::{Role, SHAPES, Shape, verdict};
use super::{Filled, OWN_LABELS, Schema, Wanted, is_called};
use crate::error::{DatasetError, nearest, quoted, short};
use crate::read::plain;
use crate::record::Task;
use crate::table::{Table, kind};

/// A column that was named, and is not there.
pub(super) fn check_column(table: &Table, column: &str) -> Result<(), DatasetError> {
    let is_there = |name: &String| {
        name == column || column.split_once('.').is_some_and(|(outer, _)| name == outer)
    };
    if table.columns.iter().any(is_there) {
        return Ok(());
    }
    let hint = match nearest(column, &table.columns) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name one that it has".to_owned(),
    };
    Err(wrong(table, format!("there is no column `{column}`"), hint))
}

/// Which of two values is the good one is known of some alone.
pub(super) fn check_verdicts(schema: &Schema, table: &Table) -> Result<(), DatasetError> {
    let column = schema.columns.get("label").and_then(|names| names.first());
    let Some(column) = column.filter(|_| schema.task == Task::Judged) else { return Ok(()) };
    let values = table.head.iter().filter_map(|row| row.fields.get(column));
    let values: Vec<&Value> = values.filter(|value| !value.is_null()).collect();
    let mut names: Vec<String> = values.iter().map(|value| plain(value)).collect();
    names.sort();
    names.dedup();
    let [a, b] = &names[..] else { return Ok(()) };
    if values.iter().all(|value| verdict(value).is_some()) {
        return Ok(());
    }
    let problem =
        format!("`{column}` is `{}` or `{}`, and which is good is not known", short(a), short(b));
    let hint = "write true and false, 1 and 0, yes and no, good and bad, chosen and rejected, or \
        positive and negative; without verdicts on its answers a table is for `--task chat`";
    Err(wrong(table, problem, hint.to_owned()))
}

/// Most rows have a class of their own.
pub(super) fn no_classes(table: &Table, column: &str, (n, n_rows): (usize, u64)) -> DatasetError {
    let problem =
        format!("`{column}` has {n} different values in {n_rows} rows, which are no classes");
    let believed = match n {
        0..=OWN_LABELS => "say `--task classify`",
        _ => "name them all in `data.labels`",
    };
    let hint = format!(
        "texts that are to be written are learned by `--task pairs`, numbers by `--task score`; \
         if these are classes, {believed}"
    );
    wrong(table, problem, hint)
}

/// No shape fits: what the nearest lacks.
pub(super) fn refusal(
    table: &Table,
    near: Option<(&Shape, &Filled)>,
    wanted: &Wanted,
) -> DatasetError {
    let near = near.filter(|(_, filled)| wanted.task.is_some() || filled.missing.len() == 1);
    let Some((shape, filled)) = near else {
        let Some(task) = wanted.task else {
            let hint =
                format!("name the task with `--task`, and its columns: {}", said("text", "COLUMN"));
            return wrong(table, "no task is known by such columns".to_owned(), hint);
        };
        let roles = SHAPES.iter().filter(|shape| shape.task == task).flat_map(|shape| shape.roles);
        let mut roles: Vec<&str> = roles.map(|role| role.name).collect();
        roles.sort_unstable();
        roles.dedup();
        let hint = format!(
            "rename its columns, or say which is what where a model is tuned: {}; there are {}",
            said("ROLE", "COLUMN"),
            quoted(&roles)
        );
        return wrong(
            table,
            format!("its columns are not known as those of the task `{task}`"),
            hint,
        );
    };
    let (role, task) = (filled.missing[0], shape.task);
    if let Some(error) = misfit(table, (role, task), filled) {
        return error;
    }
    let columns = &table.columns;
    let like = |name: &&&str| nearest(name, columns).is_some();
    let near = role.names.iter().find(like).and_then(|name| nearest(name, columns));
    let hint = match near.filter(|near| !filled.columns.values().flatten().any(|c| c == near)) {
        Some(near) => {
            format!("is it `{near}`? Then rename it, or say so: {}", said(role.name, near))
        }
        None => format!("say which it is: {}", said(role.name, "COLUMN")),
    };
    wrong(table, format!("the task `{task}` needs a column for `{}`", role.name), hint)
}

/// A column that is called as a role is, and holds something else.
fn misfit(table: &Table, (role, task): (&Role, Task), filled: &Filled) -> Option<DatasetError> {
    let is_free = |column: &&String| !filled.columns.values().flatten().any(|c| c == *column);
    let is_named = |column: &&String| role.names.iter().any(|name| is_called(column, name));
    let column = table.columns.iter().filter(is_free).find(is_named)?;
    let values = table.head.iter().filter_map(|row| Some((row, row.fields.get(column)?)));
    let (row, value) = values.into_iter().find(|(_, value)| !role.kind.fits(value))?;
    let a_number = if value.is_number() { ", a number" } else { "" };
    let what = kind(value);
    let problem = format!("{what}{a_number}, where the task `{task}` wants {}", role.kind.wanted());
    let hint = match value {
        Value::Number(_) | Value::Bool(_) => format!(
            "write it so in all rows, or say that this column is meant, or another: {}",
            said(role.name, column)
        ),
        _ => format!(
            "write it so in all rows, or name another column: {}",
            said(role.name, "COLUMN")
        ),
    };
    Some(DatasetError::Value { at: row.at.clone(), column: column.clone(), problem, hint })
}

/// How it is said which column is what.
fn said(role: &str, column: &str) -> String {
    format!("`--set 'data.columns.{role}=[{}]'`", Value::from(column))
}

fn wrong(table: &Table, problem: String, hint: String) -> DatasetError {
    let (file, columns) = (table.name(), table.columns.clone());
    DatasetError::Columns { file, problem, columns, hint }
}
