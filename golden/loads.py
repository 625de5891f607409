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

BOUND = {"logits": 1e-4, "output": 2e-5}


def is_seed(config):
    return config["model_type"] == "seed_transformer"


def write_inputs(config, path):
    generator = torch.Generator().manual_seed(3)
    shape, name = ((33, 2), "src") if is_seed(config) else ((2, 33), "input_ids")
    save_file({name: torch.randint(0, config["vocab_size"], shape, generator=generator)}, path)


def expected(config, model, inputs):
    if is_seed(config):
        network = seed.build(config).eval()
        network.load_state_dict(load_file(f"{model}/model.safetensors"), strict=True)
        return "output", network(inputs["src"])
    from transformers import AutoModelForCausalLM, AutoTokenizer, ElectraForPreTraining

    if config["model_type"] == "electra":  # the generator is passed over, and nothing else
        network, info = ElectraForPreTraining.from_pretrained(
            model, dtype=torch.float32, output_loading_info=True)
        assert not info["missing_keys"] and not info["mismatched_keys"], info
        assert all(name.startswith("generator.") for name in info["unexpected_keys"]), info
        assert AutoTokenizer.from_pretrained(model)("It was a truth")["input_ids"][0] == 2
        return "logits", network.eval()(**inputs).logits
    network, info = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    tokenizer = AutoTokenizer.from_pretrained(model)
    text = "It was a truth, 3 times \u00e9\u4e2d acknowledged.\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text, "the tokenizer loses text"
    return "logits", network.eval()(**inputs).logits


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
