use std::path::Path;

use super::*;

const PLAIN: &str = "task: t
dataset_path: json
dataset_kwargs:
  data_files: {test: a.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: \"Q: {{q}}\\nA:\"
doc_to_target: label
doc_to_choice: choices
";

fn parsed(text: &str) -> Result<TaskFile> {
    TaskFile::parse(Path::new("t.yaml"), text)
}

/// The line and the words of a refusal, and its hint.
fn refusal(text: &str) -> String {
    let error = parsed(text).map(|_| ()).expect_err(text);
    format!("{error} | {}", error.hint().unwrap_or_default())
}

#[test]
fn a_plain_file_is_read_with_the_defaults_of_the_harness() {
    let task = parsed(PLAIN).expect("a task");
    assert_eq!((&*task.name, &*task.split, task.n_shots), ("t", "test", 0));
    assert_eq!((&*task.target_delimiter, &*task.shot_delimiter), (" ", "\n\n"));
    let names: Vec<&str> = task.metrics.iter().map(|spec| spec.kind.name()).collect();
    assert_eq!(names, ["acc", "acc_norm"]);
    assert_eq!(task.parts.text, Some("Q: {{q}}\nA:".into()));
    let task = parsed(&format!("{PLAIN}tag: x\nmetadata: {{version: 1}}\n")).expect("a task");
    assert_eq!(task.passed_over, ["metadata", "tag"]);
}

#[test]
fn toml_says_the_same() {
    let text = "task = 't'\ndataset_path = 'a.jsonl'\ntest_split = 'test'\n\
                output_type = 'loglikelihood'\ndoc_to_text = 'q'\ndoc_to_target = 'a'\n\
                [[metric_list]]\nmetric = 'acc'\n";
    let task = TaskFile::parse(Path::new("t.toml"), text).expect("a task");
    assert_eq!((task.output, task.metrics.len()), (OutputType::Loglikelihood, 1));
    let error = TaskFile::parse(Path::new("t.toml"), "task = 't'\ndoc_to_txt = 1\n");
    let error = error.map(|_| ()).expect_err("a wrong key").to_string();
    assert!(error.contains("line 2") && error.contains("doc_to_txt"), "{error}");
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_line_and_what_to_do() {
    let with = |more: &str| refusal(&format!("{PLAIN}{more}\n"));
    assert_eq!(
        with("process_docs: !function utils.process"),
        "`t.yaml`, line 10: `!function utils.process` calls for Python, which is not run | a task \
         is YAML as of lm-evaluation-harness, without Python, or TOML"
    );
    assert!(with("process_docs: x").contains("line 10"));
    assert!(with("fewshot_splt: train").ends_with("did you mean `fewshot_split`?"));
    assert!(with("metric_list: [{metric: acc_nrm}]").ends_with("did you mean `acc_norm`?"));
    assert!(with("metric_list: [{metric: acc, aggregation: median}]").contains("`mean`"));
    assert!(with("generation_kwargs: {until: ['']}").contains("an empty text in `until`"));
    assert!(with("generation_kwargs: {max_gen_toks: 0}").contains("max_gen_toks"));
    assert!(with("dataset_name: en").contains("hub"));
    assert!(with("filter_list: [{name: x, filter: [{function: map}]}]").contains("`map`"));
    assert!(with("num_fewshot: -1").contains("whole number"));
    let choices = PLAIN.replace("doc_to_choice: choices", "doc_to_choice: [yes, no]");
    assert!(refusal(&choices).contains("line 9: `doc_to_choice` has a choice that is true or"));
    assert!(with("generation_kwargs: {do_sample: 'true'}").contains("neither true nor false"));
    assert!(with("metric_list: [{metric: acc, ignore_case: true}]").contains("is to ignore"));
    let step = |more: &str| {
        with(&format!("filter_list: [{{name: x, filter: [{{function: regex, {more}}}]}}]"))
    };
    assert!(step("group_select: '-1'").contains("`group_select` that is no whole number"));
    assert!(step("fallback: 1").contains("`fallback` that is no text"));
    assert!(step("group: 1").contains("a key that is not known: `group`"));
    let written = PLAIN.replace("multiple_choice", "generate_until");
    let of = |more: &str| refusal(&format!("{written}metric_list: [{{metric: {more}}}]\n"));
    assert!(of("exact_match, regexes_to_ignore: ','").contains("that are no list"));
    assert!(of("bleu, ignore_punctuation: true").contains("`bleu` that is to ignore"));
    assert!(refusal("task: [a, b]\n").contains("group of tasks"));
    assert!(refusal(&PLAIN.replace("doc_to_choice: choices\n", "")).contains("is missing"));
    assert!(refusal(&PLAIN.replace("multiple_choice", "multi_choice")).contains("did you mean"));
    let pattern = "filter_list: [{name: x, filter: [{function: regex, regex_pattern: '(?=a)'}]}]";
    assert!(with(pattern).contains("look neither ahead nor back"));
}

#[test]
fn a_pattern_ends_before_a_last_newline_as_in_python() {
    let find = |pattern: &str, text: &str| {
        let steps = format!("[{{function: regex, regex_pattern: '{pattern}'}}]");
        let task = format!("{PLAIN}filter_list: [{{name: x, filter: {steps}}}]\n");
        match &parsed(&task).expect("a task").pipelines[0].steps[0] {
            Step::Find { pattern, .. } => pattern.is_match(text),
            other => panic!("{other:?}"),
        }
    };
    assert!(find(r"\d+$", "it is 7\n") && find(r"\d+$", "it is 7"));
    assert!(!find(r"\d+$", "7\n\n") && !find(r"\d+$", "7 a"));
    assert!(find(r"7\$", "7$") && !find(r"7\$", "7\n"));
    assert!(find(r"(?m)^\d+$", "7\na") && find(r"\\$", "\\\n"));
}
