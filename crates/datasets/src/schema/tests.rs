use super::*;
use crate::fixtures::{load, wanted};

fn shown(name: &str, text: &str, settings: &Wanted) -> String {
    match load(name, text, settings) {
        Ok((schema, _)) => schema.to_string(),
        Err(error) => error,
    }
}

/// A file, what is in it, and what is said of it.
const SHOWN: &[(&str, &str, &str)] = &[
    (
        "a.csv",
        "sentence,label\nx,positive\ny,negative\n",
        "classify: reads `sentence` as text, `label` as class of 2: negative, positive; 2 rows",
    ),
    (
        "a.csv",
        "Text,Label\nx,10\ny,9\nz,-1\n",
        "classify: reads `Text` as text, `Label` as class of 3: -1, 9, 10; 3 rows",
    ),
    (
        "a.csv",
        "premise,hypothesis,label\nx,y,10\ny,z,9\n",
        "classify: reads `hypothesis` as pair, `premise` as text, `label` as class of 2: 9, \
            10; \
            2 rows",
    ),
    (
        "a.csv",
        "idx,question,sentence,label\n0,x,y,1\n1,y,z,0\n",
        "classify: reads `sentence` as pair, `question` as text, `label` as class of 2: 0, 1; \
            2 rows; leaves out `idx`",
    ),
    (
        "a.csv",
        "sentence1,sentence2,score\nx,y,2.5\ny,z,1\n",
        "score: reads `sentence2` as pair, `sentence1` as text, `score` as number; 2 rows",
    ),
    (
        "a.csv",
        "reviewed,label\nx,1\ny,0\n",
        "classify: reads `reviewed` as text, `label` as class of 2: 0, 1; 2 rows",
    ),
    (
        "a.jsonl",
        "{\"tokens\": [\"a\", \"b\"], \"ner_tags\": [\"O\", \"I-X\"]}",
        "tag: reads `tokens` as words, `ner_tags` as tags of 2: B-X, O; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"question\": \"q\", \"context\": \"c\", \"answers\": {\"text\": [\"c\"], \
            \"answer_start\": [0]}}",
        "span: reads `answers` as answers, `context` as context, `question` as \
            question; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"question\": \"1+1\", \"answer\": \"2\"}",
        "problem: reads `answer` as answer, `question` as prompt; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\"}",
        "chat: reads `input` as input, `instruction` as instruction, `output` as \
            output; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true}",
        "judged: reads `completion` as completion, `label` as label, `prompt` as \
            prompt; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"chosen\": \"a b\", \"rejected\": \"a c\"}",
        "preference: reads `chosen` as chosen, `rejected` as rejected; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"translation\": {\"en\": \"a\", \"fr\": \"b\"}}",
        "pairs: reads `translation.en` as source, `translation.fr` as target; 1 rows",
    ),
    (
        "a.csv",
        "query,positive,negative_2,negative_1\na,b,c,d\n",
        "triplet: reads `query` as anchor, `negative_1`, `negative_2` as negatives, `positive` \
            as positive; 1 rows",
    ),
    (
        "a.csv",
        "goal,sol1,sol2,label\na,b,c,1\n",
        "choice: reads `sol1`, `sol2` as choices, `goal` as prompt, `label` as label; 1 rows",
    ),
    (
        "a.csv",
        "article,summary\na,b\n",
        "pairs: reads `article` as source, `summary` as target; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"query\": \"a\", \"documents\": [\"b\", \"c\"], \"relevance\": [1, 0]}",
        "rank: reads `documents` as documents, `query` as query, `relevance` as \
            relevance; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"source\": \"hello 0\", \"target\": \"hola 0\"}",
        "pairs: reads `source` as source, `target` as target; 1 rows",
    ),
    (
        "a.csv",
        "source,target\nx,0\ny,1\nz,1\n",
        "classify: reads `source` as text, `target` as class of 2: 0, 1; 3 rows",
    ),
    (
        "a.csv",
        "source,article,summary\nweb,a,b\n",
        "pairs: reads `article` as source, `summary` as target; 1 rows; leaves out `source`",
    ),
    (
        "a.csv",
        "en,es,date\na,b,1\n",
        "pairs: reads `en` as source, `es` as target; 1 rows; leaves out `date`",
    ),
    (
        "a.csv",
        "text,text_pair,label,stars\na,b,yes,1\nc,d,no,2\n",
        "classify: reads `text_pair` as pair, `text` as text, `label` as class of 2: no, yes; \
            2 rows; leaves out `stars`",
    ),
    (
        "a.csv",
        "sentence_a,sentence_b,label\na,b,0.5\n",
        "score: reads `sentence_b` as pair, `sentence_a` as text, `label` as number; 1 rows",
    ),
    (
        "a.jsonl",
        "{\"text\": \"who\", \"choices\": [\"a\", \"b\"], \"label\": 1}",
        "choice: reads `choices` as choices, `text` as prompt, `label` as label; 1 rows",
    ),
    (
        "a.csv",
        "prompt,completion,label\na,b,Good\nc,d,bad\n",
        "judged: reads `completion` as completion, `label` as label, `prompt` as prompt; 2 rows",
    ),
    (
        "a.csv",
        "prompt,completion,label\na,b,news\nc,d,talk\ne,f,code\n",
        "chat: reads `completion` as completion, `prompt` as prompt; 3 rows; leaves out `label`",
    ),
];

#[test]
fn tasks_are_guessed_from_columns() {
    for (name, text, expected) in SHOWN {
        assert_eq!(&shown(name, text, &Wanted::default()), expected, "{text}");
    }
}

#[test]
fn what_does_not_hold_is_refused() {
    let text = "sentense,sentiment,note\nx,1,n\ny,0,n\n";
    let classify = Some(Task::Classify);
    let cases = [
        (
            text,
            wanted(None, &[]),
            "`a.csv`: the task `classify` needs a column for `text` (it has `sentense`, \
            `sentiment`, `note`)\nhint: is it `sentense`? Then rename it, or say so: \
            `--set 'data.columns.text=[\"sentense\"]'`",
        ),
        (
            text,
            wanted(classify, &[("text", &["sentence"])]),
            "`a.csv`: there is no column `sentence` (it has `sentense`, `sentiment`, `note`)\n\
            hint: \
            did you mean `sentense`?",
        ),
        (
            text,
            wanted(classify, &[("texts", &["note"])]),
            "there is no role `texts`\nhint: did you mean `text`? There are `id`, `label`, `pair`, \
            `text`",
        ),
        (
            "u,v\n1,2\n",
            wanted(None, &[]),
            "`a.csv`: no task is known by such columns (it has `u`, `v`)\nhint: name the task with \
            `--task`, and its columns: `--set 'data.columns.text=[\"COLUMN\"]'`",
        ),
        (
            "text,label\n",
            wanted(None, &[]),
            "`a.csv` is empty\nhint: a table has rows below the names of its columns",
        ),
        (
            "",
            wanted(None, &[]),
            "`a.csv`: no task is known by such columns (it has none)\nhint: name the task with \
            `--task`, and its columns: `--set 'data.columns.text=[\"COLUMN\"]'`",
        ),
        (
            "text,label\nx,\n",
            wanted(None, &[]),
            "`a.csv`: no row has a `label` (it has `text`, `label`)\nhint: name the task, and the \
            column of each of its roles",
        ),
    ];
    for (text, settings, expected) in cases {
        assert_eq!(shown("a.csv", text, &settings), expected, "{text}");
    }
    assert_eq!(Task::named("clasify").unwrap_err().hint().unwrap(), "did you mean `classify`?");
}

#[test]
fn classes_of_most_rows_are_none() {
    let own = |n: usize, of: &dyn Fn(usize) -> usize, settings: &Wanted| {
        let rows = (0..n).map(|i| format!("x,label {}\n", of(i))).collect::<Vec<_>>().concat();
        shown("a.csv", &format!("text,label\n{rows}"), settings)
    };
    let (guess, each) = (Wanted::default(), |i| i);
    let error = own(300, &each, &guess);
    assert!(error.starts_with("`a.csv`: `label` has 300 different values in 300 rows"), "{error}");
    assert!(error.ends_with("if these are classes, name them all in `data.labels`"), "{error}");
    let error = own(50, &each, &guess);
    assert!(
        error.contains("`--task pairs`") && error.ends_with("say `--task classify`"),
        "{error}"
    );
    let classes = (0..300).map(|i| format!("label {i}")).collect();
    for (n, of, settings) in [
        (19, &each as &dyn Fn(usize) -> usize, &guess),
        (50, &|i| i / 2, &guess),
        (50, &each, &wanted(Some(Task::Classify), &[])),
        (300, &each, &Wanted { labels: classes, ..Wanted::default() }),
    ] {
        let shown = own(n, of, settings);
        assert!(shown.starts_with("classify: reads `text`"), "{shown}");
    }
}

#[test]
fn columns_that_hold_something_else_are_named() {
    let judged = "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": \"";
    let three = ["meh\"}\n", "good\"}\n", "bad\"}\n"].map(|end| format!("{judged}{end}")).concat();
    let two = ["great\"}\n", "awful\"}\n"].map(|end| format!("{judged}{end}")).concat();
    let cases = [
        (
            "{\"text\": 3, \"label\": \"a\"}",
            None,
            "`a.jsonl`, line 1: `text` is 3, a number, where the task `classify` wants a text\n\
            hint: write it so in all rows, or say that this column is meant, or another: \
            `--set 'data.columns.text=[\"text\"]'`",
        ),
        (
            "{\"text\": \"x\", \"label\": [1, 2]}",
            None,
            "`a.jsonl`, line 1: `label` is a list of 2, where the task `classify` wants a class or \
            a number\nhint: write it so in all rows, or name another column: \
            `--set 'data.columns.label=[\"COLUMN\"]'`",
        ),
        (
            &two,
            None,
            "`a.jsonl`: `label` is `awful` or `great`, and which is good is not known \
            (it has `completion`, `label`, `prompt`)\nhint: write true and false, 1 and 0, yes \
            and no, good and bad, chosen and rejected, or positive and negative; without verdicts \
            on its answers a table is for `--task chat`",
        ),
        (
            &three,
            Some(Task::Judged),
            "`a.jsonl`, line 1: `label` is `meh`, where the task `judged` wants true or \
            false, or good or bad\nhint: write it so in all rows, or name another column: \
            `--set 'data.columns.label=[\"COLUMN\"]'`",
        ),
    ];
    for (text, task, expected) in cases {
        assert_eq!(shown("a.jsonl", text, &wanted(task, &[])), expected);
    }
}

#[test]
fn columns_may_be_named() {
    let pair = wanted(None, &[("text_pair", &["b"])]);
    let (_, loaded) = load("a.csv", "text,b,label\nx,y,1\nz,w,0\n", &pair).unwrap();
    assert_eq!(loaded.records[0].input.texts(), ["x", "y"]);
    let text = "a,b,label\nx,y,1\nz,w,0\n";
    let settings = wanted(None, &[("text", &["b", "a"]), ("label", &["label"])]);
    let (schema, loaded) = load("a.csv", text, &settings).unwrap();
    assert_eq!(schema.task, Task::Classify);
    assert_eq!(loaded.records[0].input.texts(), ["y x"]);
    let inner = "{\"a\": {\"b\": \"x\"}, \"label\": \"yes\"}";
    let (_, loaded) = load("a.jsonl", inner, &wanted(None, &[("text", &["a.b"])])).unwrap();
    assert_eq!(loaded.records[0].input.texts(), ["x"]);
}

#[test]
fn numbers_are_ordered_as_numbers() {
    let order = |labels: &[&str]| ordered(labels.iter().map(|&label| label.to_owned()).collect());
    assert_eq!(order(&["10", "09", "-1"]), ["-1", "09", "10"]);
    assert_eq!(order(&["b", "10", "9"]), ["10", "9", "b"]);
    assert!(order(&["-1"]).is_empty() && order(&[]).is_empty());
}

#[test]
fn large_numbers_are_readable() {
    let cases =
        [(0, "0"), (999, "999"), (1000, "1 000"), (10_605, "10 605"), (1_234_567, "1 234 567")];
    for (n, expected) in cases {
        assert_eq!(grouped(n), expected);
    }
}
