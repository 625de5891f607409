"""A classifier tuned in PyTorch and transformers, seed after seed: the peer of `lyceum finetune` in what it comes to.

usage: torch_classify.py MODEL TRAIN.jsonl VALIDATION.jsonl [--seeds 5] [--epochs 3] [--batch 32] [--lr 5e-5] [--max-len N] [--threads N] [--device cpu]

The loop of transformers' own examples: AdamW without decay of biases and norms, the rate down in a line, clipping at 1, bf16
autocast. Samples are lines with `text` and `label`. Prints a JSON line a seed: accuracy and macro F1 on the validation samples after the last epoch.
Needs PyPI torch and transformers.
"""
import argparse
import json
import random
import time

import torch
import transformers


def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("train")
    p.add_argument("validation")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--max-len", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
    train, validation = read(a.train), read(a.validation)
    labels = sorted({row["label"] for row in train})
    for row in train + validation:
        row["ids"] = tokenizer(row["text"], truncation=True, max_length=a.max_len)["input_ids"]
    for seed in range(a.seeds):
        print(json.dumps(one(a, seed, tokenizer, train, validation, labels)), flush=True)


def run(model, tokenizer, rows, labels):
    x = tokenizer.pad({"input_ids": [row["ids"] for row in rows]}, return_tensors="pt").to(model.device)
    y = torch.tensor([labels.index(row["label"]) for row in rows], device=model.device)
    with torch.autocast(model.device.type, torch.bfloat16):
        logits = model(**x).logits.float()
    return logits, y


def one(a, seed, tokenizer, train, validation, labels):
    transformers.set_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=len(labels), dtype=torch.float32).to(a.device)
    plain = [w for n, w in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    rest = [w for n, w in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    opt = torch.optim.AdamW([{"params": rest, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], lr=a.lr)
    steps = a.epochs * -(-len(train) // a.batch)
    schedule = transformers.get_linear_schedule_with_warmup(opt, 0, steps)
    began, order = time.time(), list(range(len(train)))
    model.train()
    for _ in range(a.epochs):
        random.shuffle(order)
        for at in range(0, len(order), a.batch):
            rows = sorted((train[i] for i in order[at : at + a.batch]), key=lambda row: len(row["ids"]))
            # Halves of like lengths, whose gradients add up: the same step with less padding.
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                if half:
                    logits, y = run(model, tokenizer, half, labels)
                    (torch.nn.functional.cross_entropy(logits, y, reduction="sum") / len(rows)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            schedule.step()
            opt.zero_grad(set_to_none=True)
    seconds = time.time() - began
    model.eval()
    said, truth = [], []
    with torch.inference_mode():
        for at in range(0, len(validation), 64):
            logits, y = run(model, tokenizer, validation[at : at + 64], labels)
            said += logits.argmax(-1).tolist()
            truth += y.tolist()
    hits = sum(s == t for s, t in zip(said, truth))
    f1 = []
    for c in range(len(labels)):
        tp = sum(s == t == c for s, t in zip(said, truth))
        f1.append(2 * tp / max(1, said.count(c) + truth.count(c)))
    return {"seed": seed, "accuracy": hits / len(truth), "f1_macro": sum(f1) / len(f1), "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
