"""Near-duplicates by `datasketch`, the peer of `crates/curate/examples/near_duplicates.rs`.

usage: near_duplicates.py make FILE.jsonl CORPUS N   texts of 500 words cut from a corpus, half of them planted copies
       near_duplicates.py run FILE.jsonl [BANDS ROWS]   the same figures as the example, as a line of JSON

Needs `datasketch` and `numpy`.
"""
import collections
import json
import random
import re
import sys
import time


def shingles(words, n=5):
    return {" ".join(words[at : at + n]) for at in range(max(1, len(words) - n + 1))}


def make(path, corpus, n):
    rng = random.Random(1)
    words = re.findall(r"[a-z]+", open(corpus, encoding="utf-8").read().lower())
    with open(path, "w", encoding="utf-8") as file:
        for idx in range(int(n) // 2):
            # Words of the corpus in their order, one in twelve another: no two texts overlap by chance.
            at, length = rng.randrange(len(words) - 2000), rng.randint(200, 800)
            text = [rng.choice(words) if rng.random() < 1 / 12 else word for word in words[at : at + length]]
            copy = list(text)
            for _ in range(int(rng.random() ** 2 * length / 15)):
                copy[rng.randrange(length)] = rng.choice(words)
            a, b = shingles(text), shingles(copy)
            jaccard = len(a & b) / len(a | b)
            file.write(json.dumps({"text": " ".join(text)}) + "\n")
            file.write(json.dumps({"text": " ".join(copy), "of": 2 * idx, "jaccard": jaccard}) + "\n")


def run(path, bands=14, rows=8):
    from datasketch import MinHash, MinHashLSH

    lines = [json.loads(line) for line in open(path, encoding="utf-8")]
    num_perm = int(bands) * int(rows)
    start = time.perf_counter()
    signatures, cut = [], 0.0
    for line in lines:
        began = time.perf_counter()
        words = re.findall(r"[a-z0-9]+", line["text"].lower())
        pieces = [shingle.encode() for shingle in shingles(words)]
        cut += time.perf_counter() - began
        signature = MinHash(num_perm=num_perm)
        signature.update_batch(pieces)
        signatures.append(signature)
    signed = time.perf_counter() - start
    lsh = MinHashLSH(num_perm=num_perm, params=(int(bands), int(rows)))
    answers = []
    for idx, signature in enumerate(signatures):
        answers.append(set(lsh.query(signature)))
        lsh.insert(idx, signature)
    looked_up = time.perf_counter() - start
    n = len(lines)
    found = collections.defaultdict(lambda: [0, 0])
    for line, answer in zip(lines, answers):
        if "of" in line:
            bucket = found[f"{int(line['jaccard'] * 20) / 20:.2f}"]
            bucket[0] += line["of"] in answer
            bucket[1] += 1
    facts = {"documents": n, "signed_per_s": n / signed, "signed_uncut_per_s": n / (signed - cut), "looked_up_per_s": n / looked_up}
    print(json.dumps(facts | {"found": dict(sorted(found.items()))}))


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](*sys.argv[2:])
