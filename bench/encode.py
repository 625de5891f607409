"""Encoding speed of tiktoken and Hugging Face tokenizers on texts, one thread, in MB/s.

    python bench/encode.py NAME DIR TEXT..

NAME is `gpt2`, `cl100k_base` or `o200k_base`; DIR holds its `NAME.tiktoken` and its `tokenizer.json`.
The number after the count of ids is the one that `cargo run --release -p tokenize --example encode` prints.
"""

import os
import statistics
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tiktoken  # noqa: E402
import tiktoken.load  # noqa: E402
import tiktoken_ext.openai_public as public  # noqa: E402
import tokenizers  # noqa: E402

ROUNDS = 3


def digest(ids):
    value = 0
    for token in ids:
        value = (value * 31 + token) & 0xFFFF_FFFF_FFFF_FFFF
    return f"{value:016x}"


def measure(text, encode):
    ids = encode()
    speeds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        encode()
        speeds.append(len(text.encode()) / 1e6 / (time.perf_counter() - start))
    return f"{statistics.median(speeds):.1f} MB/s ({len(ids)} ids, {digest(ids)})"


def main():
    name, folder, *paths = sys.argv[1:]
    ranks = tiktoken.load.load_tiktoken_bpe(f"{folder}/{name}.tiktoken")
    pattern = {
        "gpt2": public.r50k_pat_str,
        "cl100k_base": getattr(public, "cl100k_pat_str", None),
        "o200k_base": None,
    }[name]
    if pattern is None:
        public.load_tiktoken_bpe = lambda *_, **__: ranks
        pattern = getattr(public, name)()["pat_str"]
    peer = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    hf = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    for path in paths:
        text = open(path, encoding="utf-8", newline="").read()
        lines = text.split("\n")
        lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
        flat = lambda parts: [token for part in parts for token in part]  # noqa: E731
        print(f"{path}: tiktoken whole {measure(text, lambda: peer.encode_ordinary(text))}, lines "
              f"{measure(text, lambda: flat(map(peer.encode_ordinary, lines)))}")
        print(f"{path}: tokenizers whole {measure(text, lambda: hf.encode(text, add_special_tokens=False).ids)}, lines "
              f"{measure(text, lambda: flat(e.ids for e in hf.encode_batch_fast(lines, add_special_tokens=False)))}")


main()
