"""Labelled files in the layouts of the field, and what `datasets` and pandas read of them.

    python3 golden/dataset_files.py crates/datasets/tests/golden

wants `datasets` 5.2, pandas 3.1 and pyarrow 26. `rows.json` has the rows of each file; texts of CSV
and TSV are as they stand there, for which pandas is told `dtype=str, keep_default_na=False`.
"""

import csv
import json
import sys
from pathlib import Path

import datasets
import pandas
from datasets import ClassLabel, Dataset, Features, Sequence, Value


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rows = {}

    frame = pandas.DataFrame(
        {
            "id": ["007", "8", "9"],
            "text": ['He said "no", twice', "two\nlines\ttab", "\u6c34 NA"],
            "label": ["yes", "", "no"],
        }
    )
    frame.to_csv(out / "a.csv", index=False)
    frame.to_csv(out / "quoted.tsv", index=False, sep="\t")
    read = {"dtype": str, "keep_default_na": False}
    rows["a.csv"] = pandas.read_csv(out / "a.csv", **read).to_dict("records")
    rows["quoted.tsv"] = pandas.read_csv(out / "quoted.tsv", sep="\t", **read).to_dict("records")
    plain = 'sentence\tlabel\nhide "new\t0\r\nit \'s a "" charming\t1\n\u00e9t\u00e9 \t0\n'
    (out / "plain.tsv").write_text(plain, newline="")
    read["quoting"] = csv.QUOTE_NONE
    rows["plain.tsv"] = pandas.read_csv(out / "plain.tsv", sep="\t", **read).to_dict("records")

    lines = [
        {"text": "a", "score": 0.1, "n": 3, "ok": True, "list": ["x", "y"], "inner": {"k": None}},
        {"text": "\u6c34\n", "score": -2.5e-3, "n": -1, "ok": False, "list": [], "inner": {"k": "v"}},
    ]
    (out / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (out / "a.json").write_text(json.dumps(lines, indent=1))
    for name in ["a.jsonl", "a.json"]:
        rows[name] = hugging_face("json", out / name)

    features = Features(
        {
            "sentence": Value("string"),
            "label": ClassLabel(names=["negative", "positive"]),
            "idx": Value("int32"),
            "weight": Value("float32"),
        }
    )
    columns = {"sentence": ["good", "bad", ""], "label": [1, 0, 0], "idx": [0, 1, 2]}
    columns["weight"] = [0.1, 1.5, None]
    (out / "sst2").mkdir(exist_ok=True)
    path = out / "sst2/train-00000-of-00001.parquet"
    Dataset.from_dict(columns, features=features).to_parquet(path)
    rows["sst2/train-00000-of-00001.parquet"] = hugging_face("parquet", path)
    columns = {"sentence": ["unknown"], "label": [-1], "idx": [0], "weight": [0.25]}
    Dataset.from_dict(columns, features=features).to_parquet(out / "sst2/test-00000-of-00001.parquet")

    names = ["O", "B-PER", "I-PER"]
    features = Features(
        {"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))}
    )
    columns = {"tokens": [["Ada", "met", "Bob"], [], ["Eve"]], "ner_tags": [[1, 0, 1], [], [1]]}
    Dataset.from_dict(columns, features=features).to_parquet(out / "ner.parquet")
    rows["ner.parquet"] = hugging_face("parquet", out / "ner.parquet")

    columns = {
        "id": ["q1", "q2"],
        "context": ["Ada met Bob.", "Ada met Bob."],
        "question": ["Who?", "When?"],
        "answers": [{"text": ["Bob"], "answer_start": [8]}, {"text": [], "answer_start": []}],
    }
    Dataset.from_dict(columns).to_parquet(out / "squad.parquet")
    rows["squad.parquet"] = hugging_face("parquet", out / "squad.parquet")

    talk = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]]
    Dataset.from_dict({"messages": talk}).to_parquet(out / "chat.parquet")
    rows["chat.parquet"] = hugging_face("parquet", out / "chat.parquet")

    (out / "rows.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")


def hugging_face(kind: str, path: Path) -> list[dict]:
    """The rows that `datasets` reads of a file."""
    cache = str(path.parent / ".cache")
    read = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=cache)
    return [dict(row) for row in read]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
