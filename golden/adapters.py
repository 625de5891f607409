"""Adapters of `peft` over the golden models: their files, and what the models say with them.

Usage: adapters.py FOLDER. Writes a directory a case, as `peft` saves it, with `io.safetensors`
beside: ids, labels, logits, the gradient of every tensor of the adapter, and the losses of five
steps of plain gradient descent.
"""

import json
import pathlib
import sys

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

GOLDEN = pathlib.Path("crates/models/tests/golden")
RATE, STEPS = 0.1, 5

CASES = {
    "gpt2-lora": (
        AutoModelForCausalLM,
        "gpt2-tiny",
        dict(r=3, lora_alpha=6, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True),
    ),
    "llama-dora": (
        AutoModelForCausalLM,
        "llama-gqa",
        dict(
            r=2,
            use_dora=True,
            use_rslora=True,
            target_modules=["q_proj", "v_proj", "gate_proj", "down_proj"],
            rank_pattern={"v_proj": 1},
            alpha_pattern={r"layers\.1\.mlp\..*": 4},
        ),
    ),
    "bert-lora": (
        AutoModelForSequenceClassification,
        "bert-classifier",
        dict(r=2, target_modules="all-linear", task_type="SEQ_CLS"),
    ),
    "t5-lora": (AutoModelForSeq2SeqLM, "t5", dict(r=2, target_modules=["q", "v", "wo"])),
}

# After the others, which keep their seeds.
LATER = {
    "gpt2-prompt": (
        AutoModelForCausalLM,
        "gpt2-tiny",
        PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"),
    ),
    "llama-prefix": (
        AutoModelForCausalLM,
        "llama-gqa",
        PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    ),
    "bert-prompt": (
        AutoModelForSequenceClassification,
        "bert-classifier",
        PromptTuningConfig(num_virtual_tokens=3, task_type="SEQ_CLS"),
    ),
    "bert-prefix": (
        AutoModelForSequenceClassification,
        "bert-classifier",
        PrefixTuningConfig(num_virtual_tokens=3, task_type="SEQ_CLS"),
    ),
    "llama-embed": (
        AutoModelForCausalLM,
        "llama-gqa",
        LoraConfig(r=2, lora_alpha=3, target_modules=["embed_tokens", "o_proj"]),
    ),
}


def stored(model):
    """Names and parameters as they are in the file."""
    by_storage = {p.data_ptr(): p for p in model.parameters()}
    found = {
        name: by_storage.get(x.data_ptr()) for name, x in get_peft_model_state_dict(model).items()
    }
    if "prompt_embeddings" in found:
        found["prompt_embeddings"] = model.prompt_encoder["default"].embedding.weight
    # With a change of an embedding, `peft` stores what is changed, too.
    return {name: param for name, param in found.items() if param.requires_grad}


def case(folder, seed, name, auto, base, config):
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    model = auto.from_pretrained(GOLDEN / base, dtype=torch.float32)
    model = get_peft_model(model, config).eval()
    params = stored(model)
    with torch.no_grad():
        for param in params.values():
            param.add_(0.1 * torch.randn_like(param))
    out = folder / name
    model.save_pretrained(out)
    (out / "README.md").unlink()
    path = out / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = base
    # Sets are in no order.
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    ids = torch.randint(3, model.config.vocab_size, (2, 9))
    classes = auto is AutoModelForSequenceClassification
    labels = torch.tensor([1, 0]) if classes else ids.clone()
    io = {"input_ids": ids, "labels": labels}
    asked = labels.clone()
    if auto is AutoModelForCausalLM:
        # Else the last learned token is asked for it.
        asked[:, 0] = -100
    losses = []
    for step in range(STEPS):
        found = model(input_ids=ids, labels=asked, attention_mask=torch.ones_like(ids))
        model.zero_grad()
        found.loss.backward()
        losses.append(found.loss.detach())
        if step == 0:
            # Those of the tokens that are not learned.
            io["logits"] = found.logits.detach()[..., -9:, :] if not classes else found.logits
            for tensor, param in params.items():
                io[f"grad.{tensor}"] = param.grad.clone()
        with torch.no_grad():
            for param in params.values():
                param.sub_(RATE * param.grad)
    io["losses"] = torch.stack(losses)
    save_file({k: v.contiguous() for k, v in io.items()}, out / "io.safetensors")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    for name, (auto, base, fields) in CASES.items():
        case(folder, sorted(CASES).index(name), name, auto, base, LoraConfig(**fields))
    for seed, (name, (auto, base, config)) in enumerate(LATER.items(), len(CASES)):
        case(folder, seed, name, auto, base, config)
