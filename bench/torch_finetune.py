"""A step of tuning in PyTorch, transformers and peft: the peer of `lyceum bench finetune`.

usage: torch_finetune.py MODEL [--lora RANK] [--mode f32|bf16|compile-bf16] [--batch B] [--seq T] [--texts FILE] [--steps N] [--threads N]

Without `--lora` every weight of a classifier of two classes, under autocast; with it low-rank changes of all linear maps of a
causal model in bf16. Samples are random tokens of one length, or the lines of a file, padded to the longest of their batch.
Prints one JSON line: milliseconds a step (median and mean after four warm-up steps), tokens a second (padding is none), peak
resident memory. Needs PyPI torch, transformers and peft.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import transformers


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--lora", type=int)
    p.add_argument("--mode", default="bf16", choices=["f32", "bf16", "compile-bf16"])
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--seq", type=int, default=128)
    p.add_argument("--texts")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--threads", type=int, default=2)
    return p.parse_args()


def tuned(a):
    if a.lora is None:
        return transformers.AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=2, dtype=torch.float32)
    import peft

    model = transformers.AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32 if a.mode == "f32" else torch.bfloat16)
    return peft.get_peft_model(model, peft.LoraConfig(r=a.lora, lora_alpha=2 * a.lora, target_modules="all-linear", task_type="CAUSAL_LM"))


def batches(a, vocab_size):
    """Tokens, mask and how many tokens there are, batch after batch."""
    if a.texts is None:
        ids = torch.randint(min(1000, vocab_size // 2), vocab_size, (a.batch, a.seq))
        while True:
            yield ids, torch.ones_like(ids), ids.numel()
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
    lines = [line for line in open(a.texts, encoding="utf-8").read().splitlines() if line.strip()]
    at = 0
    while True:
        some = [lines[(at + i) % len(lines)] for i in range(a.batch)]
        at += a.batch
        x = tokenizer(some, padding=True, truncation=True, max_length=a.seq, return_tensors="pt")
        yield x["input_ids"], x["attention_mask"], int(x["attention_mask"].sum())


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    model = tuned(a).train()
    # As transformers' trainer and peft leave it: weights that learn are f32, moments too.
    opt = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=5e-5, weight_decay=0.01, fused=True)
    run = torch.compile(model) if a.mode.startswith("compile") else model
    feed = batches(a, model.config.vocab_size)
    seconds, n_tokens = [], 0
    for step in range(a.steps + 4):
        ids, mask, n = next(feed)
        labels = ids.masked_fill(mask == 0, -100) if a.lora else torch.arange(a.batch) % 2
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=a.mode.endswith("bf16")):
            loss = run(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        if step >= 4:
            seconds.append(time.perf_counter() - start)
            n_tokens += n
    print(json.dumps({
        "engine": f"torch {torch.__version__}", "mode": a.mode, "batch": a.batch, "tokens_a_step": n_tokens // a.steps,
        "ms_median": round(statistics.median(seconds) * 1e3, 1), "ms_mean": round(sum(seconds) / a.steps * 1e3, 1),
        "tokens_per_s": round(n_tokens / sum(seconds)),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "loss": round(loss.item(), 4),
    }))


if __name__ == "__main__":
    main()
