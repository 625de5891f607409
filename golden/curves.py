"""Fifty steps of tuning in PyTorch: the losses that the same steps here must have.

Usage: curves.py FOLDER. Writes `NAME.json` a case: what is shown at each step, and its loss before the step; and of an adapter
its directory as it begins, as `peft` saves it. Models are the golden ones, in f32, without dropout.
"""

import json
import pathlib
import sys

import torch
import transformers
from peft import LoraConfig, get_peft_model

GOLDEN = pathlib.Path("crates/models/tests/golden")
STEPS, BATCH = 50, 6
RATE, DECAY, CLIP = 3e-3, 0.05, 1.0


def begin(seed):
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def learn(model, loss_of):
    """Losses of the steps; `loss_of` gives what a step is shown, and its loss."""
    params = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    # Norms and biases do not decay.
    matrices = [p for _, p in params if p.dim() > 1]
    others = [p for _, p in params if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    shown, losses = [], []
    for step in range(STEPS):
        what, loss = loss_of(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in params], CLIP)
        # Counted as here: the first step has a fifth of the rate, not nothing.
        for group in opt.param_groups:
            group["lr"] = RATE * min((step + 1) / 5, (STEPS - step) / (STEPS - 5))
        opt.step()
        opt.zero_grad()
        shown.append(what)
        losses.append(loss.item())
    return {"rate": RATE, "decay": DECAY, "clip": CLIP, "warmup": 5, "steps": shown, "losses": losses}


def ids(vocab_size, n):
    return torch.randint(4, vocab_size, (n,)).tolist()


def padded(rows):
    longest = max(len(row) for row in rows)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows]), mask


def classes():
    """Every weight of a classifier of three classes: the class is the first token's remainder."""
    begin(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(GOLDEN / "bert-classifier", dtype=torch.float32).eval()

    texts = [ids(model.config.vocab_size, 3 + i % 5) for i in range(2 * BATCH)]

    def loss_of(_):
        rows = [texts[i] for i in torch.randperm(len(texts))[:BATCH].tolist()]
        labels = [row[0] % 3 for row in rows]
        x, mask = padded(rows)
        loss = model(input_ids=x, attention_mask=mask, labels=torch.tensor(labels)).loss
        return {"ids": rows, "labels": labels}, loss

    return learn(model, loss_of)


def low_rank(folder):
    """Changes of rank 4 of all linear maps of a language model."""
    begin(2)
    model = transformers.AutoModelForCausalLM.from_pretrained(GOLDEN / "llama-gqa", dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")).eval()
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = "llama-gqa"
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")

    def loss_of(_):
        # Each text counts on by a step of its own: there is something to learn.
        rows = [[4 + (3 * i + j * (1 + i % 3)) % (model.config.vocab_size - 4) for j in range(4 + i % 5)] for i in torch.randint(0, 40, (BATCH,)).tolist()]
        x, mask = padded(rows)
        logits = model(input_ids=x, attention_mask=mask).logits
        targets = x[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
        # The mean over all targets of a step.
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), targets)
        return {"ids": rows}, loss

    return learn(model, loss_of)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, curve in [("classes", classes()), ("low-rank", low_rank(out / "low-rank"))]:
        (out / f"{name}.json").write_text(json.dumps(curve) + "\n")


if __name__ == "__main__":
    main()
