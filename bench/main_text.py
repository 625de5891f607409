"""Main text of web pages: ours, resiliparse's and trafilatura's, on the same pages in the same run.

usage: main_text.py TESTS EXTRACT [--rounds N] [--half tune|held]

TESTS is the folder `tests` of trafilatura: of its source distribution 1.0.0, whose `realworld_tests.py` says of 90 pages what
must be in their text and what not, or of its repository, whose `evaldata.json` says so of 990. EXTRACT is the example
`extract` of `curate`, in release. Counted as trafilatura's `evaluate.py` does: a piece of text that must be there and is, white
space aside, is a true positive, one that must not be there and is, a false one. A half is the pages whose file name has an even
or odd CRC-32: `tune` is what thresholds were chosen on, `held` is what they were not.

Prints one JSON line: precision, recall, F1 of each and, with --rounds, pages a second on one core from bytes to text, the best of
N rounds. Needs PyPI `trafilatura`, `lxml_html_clean` and `resiliparse` (measured with 2.3.1, 0.4.5, 2.0.1).
"""
import argparse
import ast
import json
import pathlib
import re
import subprocess
import sys
import time
import zlib


def asserted(source):
    """File name -> (what must be there, what must not), out of the assertions of `realworld_tests.py`."""
    tree = ast.parse(source)
    pages = next(ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "MOCK_PAGES")
    gold, page = {}, None
    statements = [node for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.Assert))]
    for node in sorted(statements, key=lambda node: node.lineno):
        if isinstance(node, ast.Assign):
            call = node.value
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "load_mock_page":
                page = pages.get(call.args[0].value)
            continue
        terms = node.test.values if isinstance(node.test, ast.BoolOp) else [node.test]
        for term in terms:
            if page and isinstance(term, ast.Compare) and isinstance(term.left, ast.Constant):
                sides = gold.setdefault(page, (set(), set()))
                sides[isinstance(term.ops[0], ast.NotIn)].add(term.left.value)
    return {page: (sorted(there), sorted(not_there)) for page, (there, not_there) in gold.items()}


def read_gold(tests):
    """File -> (what must be there, what must not), and whether readers' comments must be."""
    annotations = tests / "evaldata.json"
    comments = not annotations.exists()
    if not comments:
        items = json.loads(annotations.read_text()).values()
        gold = {item["file"]: (item["with"], item["without"]) for item in items}
    else:
        gold = asserted((tests / "realworld_tests.py").read_text())
    found = {}
    for name, sides in gold.items():
        path = next((tests / folder / name for folder in ("cache", "eval") if (tests / folder / name).exists()), None)
        if path:
            found[path] = sides
    return found, comments


def normal(text):
    return re.sub(r"\s+", " ", text or "").strip()


def score(gold, texts):
    hit = wrong = missed = 0
    for path, (there, not_there) in gold.items():
        text = normal(texts.get(path))
        found = sum(normal(piece) in text for piece in there)
        hit, missed = hit + found, missed + len(there) - found
        wrong += sum(normal(piece) in text for piece in not_there)
    f1 = 2 * hit / max(2 * hit + wrong + missed, 1)
    return {"precision": hit / max(hit + wrong, 1), "recall": hit / max(hit + missed, 1), "f1": f1}


def ours(extract, paths, rounds, comments=False):
    lines = "\n".join(map(str, paths))
    command = [extract, str(rounds)] + ["--comments"] * comments
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    texts = {pathlib.Path(found["path"]): found["text"] for found in map(json.loads, done.stdout.splitlines())}
    return texts, float(done.stderr) if rounds else None


def peers(comments=False):
    import logging

    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from resiliparse.parse.html import HTMLTree
    from trafilatura import extract

    logging.disable(logging.CRITICAL)

    def resiliparse(page):
        return extract_plain_text(HTMLTree.parse(bytes_to_str(page, detect_encoding(page))), main_content=True, comments=comments)

    return {
        "resiliparse": resiliparse,
        "trafilatura fast": lambda page: extract(page, fast=True, include_comments=comments),
        "trafilatura": lambda page: extract(page, include_comments=comments),
    }


def half_of(path):
    return "held" if zlib.crc32(path.name.encode()) & 1 else "tune"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tests", type=pathlib.Path)
    parser.add_argument("extract")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--half", choices=["tune", "held"])
    args = parser.parse_args()
    gold, comments = read_gold(args.tests)
    gold = {path: sides for path, sides in gold.items() if args.half in (None, half_of(path))}
    pages = [path.read_bytes() for path in gold]
    result = {"pages": len(pages), "bytes": sum(map(len, pages)), "half": args.half}
    texts, seconds = ours(args.extract, gold, args.rounds, comments)
    result["ours"] = score(gold, texts)
    if seconds:
        result["ours"]["pages_per_s"] = len(pages) / seconds
    for name, run in peers(comments).items():
        best = float("inf")
        for _ in range(max(args.rounds if name != "trafilatura" else 1, 1)):
            texts, start = {}, time.perf_counter()
            for path, page in zip(gold, pages):
                texts[path] = run(page)
            best = min(best, time.perf_counter() - start)
        result[name] = score(gold, texts) | {"pages_per_s": len(pages) / best}
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
