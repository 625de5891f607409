"""A generator and a discriminator of `transformers` that learn together, as ELECTRA has it (arXiv:2003.10555, section 2).

usage: electra.py FOLDER

Writes `config.json` and `model.safetensors` of the pair as `lyceum` does: those of `ElectraForPreTraining`, with a
field `generator` of what is otherwise there, and tensors `generator.NAME` but for the tables of tokens and positions,
which both have. `transformers` must load it, and pass over the generator alone. `io.safetensors` has a batch:

  input_ids, attention_mask   [2, 17], some as `[MASK]` (id 4); row 0 has 5 of padding at its end
  labels                      what was hidden, else -100
  corrupted                   what the discriminator reads: at every label what the generator says
  generator, replaced         mean losses, of labels and of everything that is no padding
  grad.NAME                   of `labels * (generator + 50 * replaced)`, by the names in `model.safetensors`

The generator is so sure of what it says that whatever is drawn from it is that; every other time it is right.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining, logging

SIZES = dict(
    vocab_size=67, embedding_size=14, hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=31,
    max_position_embeddings=24, layer_norm_eps=1e-2, pad_token_id=0,
)
GENERATOR = dict(hidden_size=10, num_attention_heads=2, intermediate_size=13)
SHARED = [f"electra.embeddings.{name}_embeddings.weight" for name in ("word", "position")]
MASK, WEIGHT = 4, 50


def draw(model):
    """Every parameter anew: matrices, and the rest about their initial value."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=0.2)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))


def build():
    torch.manual_seed(7)
    pair = []
    for model_class, own in ((ElectraForMaskedLM, GENERATOR), (ElectraForPreTraining, {})):
        config = ElectraConfig(**dict(SIZES, **own))
        pair.append(model_class._from_config(config, attn_implementation="eager", dtype=torch.float32).eval())
        draw(pair[-1])
    generator, discriminator = pair
    for name in SHARED:
        module, leaf = name.rsplit(".", 1)
        setattr(generator.get_submodule(module), leaf, discriminator.get_parameter(name))
    generator.tie_weights()
    with torch.no_grad():
        generator.generator_predictions.LayerNorm.weight.mul_(600)
    return generator, discriminator


def names(generator, discriminator):
    """Every parameter, by its name in the file."""
    own = {f"generator.{name}": value for name, value in generator.named_parameters() if name not in SHARED}
    return dict(discriminator.named_parameters()) | own


def batch():
    ids = torch.randint(5, 67, (2, 17))
    mask = torch.ones_like(ids)
    mask[0, 12:] = 0
    ids[mask == 0] = 0
    asked = torch.zeros_like(ids, dtype=torch.bool)
    asked[0, [1, 4, 9]] = asked[1, [0, 3, 8, 12, 16]] = True
    shown = ids.clone()
    shown[asked] = MASK
    shown[1, 3] = ids[1, 3]  # asked for, and shown as it is
    return ids, shown, mask, asked


def learn(generator, discriminator):
    ids, shown, mask, asked = batch()
    said = generator(shown, attention_mask=mask).logits.detach()[asked].double().softmax(-1).max(-1)
    assert said.values.min() > 1 - 1e-6, said.values
    original = torch.where(torch.arange(len(said.indices)) % 2 == 0, said.indices, ids[asked])
    assert (original != said.indices).any()
    labels = torch.full_like(ids, -100)
    labels[asked] = original
    shown[1, 3] = labels[1, 3]
    said = generator(shown, attention_mask=mask).logits.detach()[asked].double().softmax(-1).max(-1)
    assert said.values.min() > 1 - 1e-6, said.values
    corrupted = shown.clone()
    corrupted[asked] = said.indices
    replaced = torch.zeros_like(ids)
    replaced[asked] = (said.indices != labels[asked]).long()
    assert 0 < replaced.sum() < asked.sum()
    one = generator(shown, attention_mask=mask, labels=labels).loss
    other = discriminator(corrupted, attention_mask=mask, labels=replaced).loss
    (asked.sum() * (one + WEIGHT * other)).backward()
    return {
        "input_ids": shown, "attention_mask": mask, "labels": labels, "corrupted": corrupted,
        "generator": one.detach().reshape(1), "replaced": other.detach().reshape(1),
    }


def main(folder):
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    generator, discriminator = build()
    discriminator.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"generator": GENERATOR}, indent=2, sort_keys=True) + "\n")
    parameters = names(generator, discriminator)
    tensors = {name: value.detach().contiguous() for name, value in parameters.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    again, info = ElectraForPreTraining.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    assert all(name.startswith("generator.") for name in info["unexpected_keys"]), info
    assert all(torch.equal(value, again.get_parameter(name)) for name, value in discriminator.named_parameters())
    found = learn(generator, discriminator)
    found |= {f"grad.{name}": value.grad for name, value in parameters.items() if value.grad is not None}
    save_file({name: value.contiguous() for name, value in found.items()}, folder / "io.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
