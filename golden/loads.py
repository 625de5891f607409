"""Loads a model directory in the implementation it is meant for and compares one forward pass.

usage: loads.py inputs|compare MODEL INPUTS OUTPUTS

`inputs` writes a batch for `lyceum forward`; `compare` reads what that wrote and holds it against
`transformers`, or against the code in `seed.py` (strict loading).
"""
import json
import sys

import torch
from safetensors.torch import load_file, save_file

import seed

BOUND = {"logits": 1e-4, "prediction_logits": 1e-4, "output": 2e-5}


def is_seed(config):
    return config["model_type"] == "seed_transformer"


def write_inputs(config, path):
    generator = torch.Generator().manual_seed(3)
    shape, names = ((33, 2), ["src"]) if is_seed(config) else ((2, 33), ["input_ids"])
    if config.get("is_encoder_decoder"):
        names.append("decoder_input_ids")
    ids = lambda: torch.randint(0, config["vocab_size"], shape, generator=generator)
    save_file({name: ids() for name in names}, path)


def expected(config, model, inputs):
    if is_seed(config):
        network = seed.build(config).eval()
        network.load_state_dict(load_file(f"{model}/model.safetensors"), strict=True)
        return "output", network(inputs["src"])
    import transformers

    [name] = config["architectures"]
    network, info = getattr(transformers, name).from_pretrained(
        model, dtype=torch.float32, output_loading_info=True)
    if "generator" in config:  # an ELECTRA's, which is passed over, and nothing else
        info["unexpected_keys"] = {
            key for key in info["unexpected_keys"] if not key.startswith("generator.")}
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    text = "It was a truth, 3 times \u00e9\u4e2d acknowledged.\n"
    ids = tokenizer(text)["input_ids"]
    if tokenizer.cls_token:
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id, ids
        # Letters may be lower, and what no piece has is unknown.
        text = tokenizer.decode(ids, skip_special_tokens=True).lower()
        assert text.startswith("it was a truth, 3 times"), text
    elif tokenizer.pad_token == "<pad>":
        assert tokenizer.decode(ids, skip_special_tokens=True).startswith("It was a truth, 3 times")
    else:
        assert tokenizer.decode(ids) == text, "the tokenizer loses text"
    outputs = network.eval()(**inputs)
    first = "prediction_logits" if "prediction_logits" in outputs else "logits"
    return first, outputs[first]


@torch.no_grad()
def main(step, model, inputs, outputs):
    with open(f"{model}/config.json") as file:
        config = json.load(file)
    if step == "inputs":
        write_inputs(config, inputs)
        return 0
    name, reference = expected(config, model, load_file(inputs))
    error = (reference - load_file(outputs)[name]).abs().max().item()
    print(f"{model}: {name} {list(reference.shape)} differ by {error:.1e}, at most {BOUND[name]:.0e}")
    return 0 if error <= BOUND[name] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
