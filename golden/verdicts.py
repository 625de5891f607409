"""What the filters of `datatrove` say of some texts: the golden file of `curate::filter`.

usage: verdicts.py FOLDER AUSTEN

Needs `datatrove` 0.10, `regex`, `numpy`, `huggingface-hub`, `humanize`, `multiprocess`. Writes `verdicts.jsonl`, a text and
its verdicts a line: paragraphs of a novel, and texts made up so that each rule refuses some. Words and sentences are ours
here, which its own tokenizer (spaCy) would cut otherwise, and so are the marks at the end of a line; the rest is its.
"""
import json
import pathlib
import random
import sys

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import datatrove.pipeline.filters.c4_filters as c4
import datatrove.pipeline.filters.fineweb_quality_filter as fineweb
import datatrove.pipeline.filters.gopher_quality_filter as gopher
import datatrove.pipeline.filters.gopher_repetition_filter as repetition
import regex
from datatrove.data import Document
from datatrove.utils.text import TERMINAL_PUNCTUATION

CLOSERS = "\"')]}\u2019\u201d\u300d\u300f\uff09\u300b\u00bb"
END_MARKS = tuple(".?!\"'\u201d\u2019\u3002\uff01\uff1f\uff0e\u300d\u300f")


def words(text, language=None):
    return [word for word in regex.split(r"(?V1w)\b", text) if word.strip()]


def sentences(line, language=None):
    found, start, idx = [], 0, 0
    while idx < len(line):
        if line[idx] in TERMINAL_PUNCTUATION:
            here = False
            while idx < len(line) and (line[idx] in TERMINAL_PUNCTUATION or line[idx] in CLOSERS):
                here |= line[idx] in TERMINAL_PUNCTUATION and ord(line[idx]) > 127
                idx += 1
            if here or idx == len(line) or line[idx].isspace():
                found.append(line[start:idx])
                start = idx
        else:
            idx += 1
    return [piece for piece in [*found, line[start:]] if piece.strip()]


gopher.split_into_words = repetition.split_into_words = fineweb.split_into_words = words
gopher.PUNCTUATION_SET -= {"\uff11"}
c4.split_into_sentences = sentences
c4.END_PUNCTUATION = END_MARKS
FILTERS = {
    "gopher": gopher.GopherQualityFilter(),
    "repetition": repetition.GopherRepetitionFilter(),
    "c4": c4.C4QualityFilter(),
    "fineweb": fineweb.FineWebQualityFilter(),
}


def verdicts(text):
    line = {"text": text}
    for name, judge in FILTERS.items():
        document = Document(text=text, id="")
        found = judge.filter(document)
        line[name] = "" if found is True else found[1]
        if name == "c4" and found is True and document.text != text:
            line["left"] = document.text
    return line


def made(base, rng):
    """Variants of an ordinary text, each near a threshold or over it."""
    lines = base.split("\n")
    vocabulary = words(base)
    yield base
    yield " ".join(base.split()[:49])
    yield " ".join(base.split()[:60])
    yield " ".join(c for c in base if c.isalpha())[:400]
    yield "".join(base.split()) + " " + base[:100] + "x" * 1200
    yield base.replace(" ", " # ", len(vocabulary) // 7)
    yield base.replace(" ", "... ", len(vocabulary) // 8)
    yield "\n".join("- " + line for line in lines)
    yield "\n".join(" \u2022 " + line for line in base.replace(". ", ".\n").split("\n"))
    yield base.replace(". ", "...\n")
    yield base.replace(" ", " 12 ")
    yield " ".join(word for word in base.split() if word not in gopher.STOP_WORDS)
    yield base + "\n\n" + base
    yield (lines[0] + "\n") * 4 + base
    yield ("again and again " * 12) + base
    yield base + "\nWe use cookies here now.\nTurn on JavaScript to read this.\nNo end mark here\nTwo words."
    yield base.replace(".", ".[1] [citation needed][edit] ", 3)
    yield base + "\nLorem Ipsum dolor sit amet."
    yield base + "\nfunction() { return 1; } is code."
    yield base + "\nfunction() { return 1; }"
    yield "\n".join(word + "." for word in base.split())
    yield "\n".join(base.split())
    yield base.replace(". ", ".\n")
    yield base.replace(".", "")
    yield base + "\n" + lines[-1]
    yield base.replace(" ", "\n", 40)
    yield "\n\n".join([lines[0], *lines[:2], *lines, lines[0]])
    plain = [word for word in vocabulary if word.isalpha()]
    for n, n_again in ((2, 30), (3, 12), (4, 9), (5, 7), (6, 6), (7, 5), (8, 4), (9, 4), (10, 3), (12, 3)):
        rng.shuffle(plain)
        pieces = [plain[at : at + 7] for at in range(n, min(len(plain), 120), 7)]
        for at in range(n_again):
            pieces.insert(at * len(pieces) // n_again, plain[:n])
        yield " ".join(word for piece in pieces for word in piece)


def main(folder, austen):
    rng = random.Random(5)
    paragraphs = [" ".join(text.split()) for text in pathlib.Path(austen).read_text(encoding="utf-8").split("\n\n")]
    paragraphs = [text for text in paragraphs if 700 < len(text) < 900 and len(sentences(text)) > 8]
    texts = list(made("\n".join(sentences(paragraphs[0])), rng))
    texts += [" ".join(paragraphs[1:3]).replace(". ", ".\n", 4), *paragraphs[3:6]]
    texts += ["x", "?!", "\n\nq\n", "a\u0301 \u00e9 \ufb01 " * 20, "\u0939\u093f\u0928\u094d\u0926\u0940 \u0964 " * 30, "1 2 3 4 5. " * 30]
    with open(pathlib.Path(folder) / "verdicts.jsonl", "w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps(verdicts(text), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
