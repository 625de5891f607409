"""Encoding speed of tiktoken and Hugging Face tokenizers on texts, one thread, a line of JSON for each text.

    python bench/encode.py NAME DIR TEXT..
    python bench/encode.py gpt2-files ENCODER VOCAB DIR

NAME is `gpt2`, `cl100k_base` or `o200k_base`; DIR holds its `NAME.tiktoken` and its `tokenizer.json`, which the second form makes
of GPT-2's own `encoder.json` and `vocab.bpe`. The digest of the ids is the one that
`cargo run --release -p tokenize --example encode` prints.
"""

import base64
import json
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
    return {"mb_per_s": statistics.median(speeds), "ids": len(ids), "digest": digest(ids)}


def gpt2_files(encoder, vocab, folder):
    from tokenizers import decoders, models, pre_tokenizers

    # The bytes that are shown as another letter, as GPT-2's `bytes_to_unicode` has them.
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    byte_of = {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
    ids = json.load(open(encoder, encoding="utf-8"))
    ids.pop("<|endoftext|>")
    with open(f"{folder}/gpt2.tiktoken", "w", encoding="ascii") as file:
        for token, rank in sorted(ids.items(), key=lambda item: item[1]):
            file.write(f"{base64.b64encode(bytes(byte_of[letter] for letter in token)).decode()} {rank}\n")
    hf = tokenizers.Tokenizer(models.BPE.from_file(encoder, vocab))
    hf.pre_tokenizer, hf.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    hf.save(f"{folder}/tokenizer.json")


def main():
    if sys.argv[1] == "gpt2-files":
        return gpt2_files(*sys.argv[2:])
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
        whole = measure(text, lambda: peer.encode_ordinary(text))
        each = measure(text, lambda: flat(map(peer.encode_ordinary, lines)))
        found = {"text": path, "tiktoken": {"whole": whole, "lines": each}}
        whole = measure(text, lambda: hf.encode(text, add_special_tokens=False).ids)
        each = measure(text, lambda: flat(e.ids for e in hf.encode_batch_fast(lines, add_special_tokens=False)))
        print(json.dumps(found | {"tokenizers": {"whole": whole, "lines": each}}))


main()
