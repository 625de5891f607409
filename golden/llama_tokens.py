"""Greedy tokens of llama.cpp, for GGUF files that `lyceum convert` writes.

usage: llama_tokens.py FILE PROMPT N

Prints the ids of PROMPT and of the N tokens that follow, as one line of JSON. Needs PyPI llama-cpp-python.
"""
import json
import sys

import llama_cpp
import numpy as np


def main(file, prompt, n):
    model = llama_cpp.Llama(file, n_ctx=256, n_threads=2, verbose=False)
    ids = model.tokenize(prompt.encode(), add_bos=True, special=False)
    found, fed = [], ids
    for _ in range(int(n)):
        model.eval(fed)
        logits = llama_cpp.llama_get_logits(model.ctx)
        fed = [int(np.argmax(np.ctypeslib.as_array(logits, shape=(model.n_vocab(),))))]
        found += fed
    print(json.dumps({"prompt": ids, "tokens": found, "text": model.detokenize(found).decode()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
