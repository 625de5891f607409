"""What transformers and sentence-transformers do on the CPU: the peers of `lyceum bench decode`, `generate` and `run`.

usage: torch_decode.py decode MODEL [--dtype bf16|f32] [--prompt N] [--tokens N] [--rounds N] [--threads N]
       torch_decode.py first MODEL [--dtype bf16|f32] [--threads N]
       torch_decode.py embed MODEL FILE [--dtype bf16|f32] [--rounds N] [--threads N]

`decode` prints one JSON line: milliseconds to read a prompt of random tokens, and to make one token after it (medians; the first
round is not counted). `first` writes one token after `The capital of France is`: its caller times the process. `embed` prints the
seconds that the lines of FILE take, tokenizing included, mean-pooled and normalized, in batches of 32 sorted by length.
Needs PyPI torch and transformers; `embed` sentence-transformers, too.
"""
import argparse
import json
import statistics
import time


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["decode", "first", "embed"])
    p.add_argument("model")
    p.add_argument("file", nargs="?")
    p.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    p.add_argument("--prompt", type=int, default=512)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def main():
    a = arguments()
    import torch

    torch.set_num_threads(a.threads)
    dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[a.dtype]
    with torch.inference_mode():
        {"decode": decode, "first": first, "embed": embed}[a.what](a, torch, dtype)


def load(a, dtype):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(a.model, dtype=dtype).eval()


def decode(a, torch, dtype):
    model = load(a, dtype)
    torch.manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (1, a.prompt + a.tokens))
    prefill, each = [], []
    for r in range(a.rounds + 1):
        cache, at = None, 0
        for n in [a.prompt] + [1] * a.tokens:
            began = time.perf_counter()
            out = model(ids[:, at : at + n], past_key_values=cache, use_cache=True, logits_to_keep=1)
            ms = (time.perf_counter() - began) * 1e3
            cache, at = out.past_key_values, at + n
            if r:
                (prefill if at == a.prompt else each).append(ms)
    prefill, each = statistics.median(prefill), statistics.median(each)
    print(json.dumps({
        "engine": f"transformers {a.dtype}", "prompt": a.prompt, "prefill_ms": prefill,
        "prefill_tokens_per_s": a.prompt / prefill * 1e3, "decode_ms": each, "decode_tokens_per_s": 1e3 / each,
    }))


def first(a, torch, dtype):
    from transformers import AutoTokenizer

    model, tokenizer = load(a, dtype), AutoTokenizer.from_pretrained(a.model)
    ids = tokenizer("The capital of France is", return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=1, do_sample=False)
    print(tokenizer.decode(out[0, -1:]))


def embed(a, torch, dtype):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(a.model, device="cpu", model_kwargs={"dtype": dtype})
    with open(a.file, encoding="utf-8") as f:
        lines = f.read().splitlines()
    seconds = []
    for r in range(a.rounds + 1):
        began = time.perf_counter()
        model.encode(lines, batch_size=32)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"engine": f"sentence-transformers {a.dtype}", "lines": len(lines), "seconds": statistics.median(seconds[1:])}))


if __name__ == "__main__":
    main()
