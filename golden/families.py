"""Tiny random models of every family and what `transformers` computes with them.

usage: families.py FOLDER [CASE...]

Writes a folder a case: `config.json` and `model.safetensors` (as `save_pretrained` does), for some cases
`config.v4.json` (the same model as `transformers` 4 would have described it), and `call-WHAT.safetensors` with the
inputs and the outputs under the names that `transformers` gives them; a scalar has shape [1]. The answers are those
of the model loaded back from its files, in eval mode, with eager attention.

  plain         [2, 17] ids; also every hidden state (`hidden_states.0` is the embedding, the last is after the last
                norm, except in ViT, CLIP and SigLIP: there it is before; ALBERT counts inner layers), the router's
                logits, and the outputs inside of others (`text_model_output.pooler_output`)
  left, right   row 0 has 5 of its 17 ids padded, there; row 1 none. Positions count from the first id, padded or
                not; RoBERTa's count ids that are not its `pad_token_id`
  positions     as `left`, with `position_ids` counted without the padding, as generation does
  long          [1, 41] ids: past the window, or past `max_position_embeddings` where RoPE adapts to the length
  types, tasks  random `token_type_ids`, `task_type_ids` (and types)
  wider         [2, 3, 12, 20] pixels instead of 16 x 16, with `interpolate_pos_encoding=True`
  grad          `loss` (by `labels`, -100 is not counted) and `grad.NAME` for every name in `model.safetensors` that
                is learned
  grad-router   the same with `output_router_logits=True`: `loss` has `router_aux_loss_coef` times `aux_loss`

Padding is on the encoder's side, where there are two; `decoder_input_ids` are [2, 11]. Families with experts have
`aux_loss` in every call: it leaves out padding.

Rows at padded queries are kept as they come. In decoders padded on the left they mean nothing: such a row sees no
key, all its scores are the same lowest number, and softmax spreads over all 17 keys, the padded and the future ones.
The rest are what the mask makes of them: on the right, and in encoders, a padded query sees the keys that are not
padded.

Every parameter is drawn anew, or moved off its initial value, so that biases, norm weights and rows of padding count.
"""
import copy
import json
import pathlib
import sys

from cases import CASES, WITH_V4

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import torch
import transformers
from safetensors.torch import save_file
from transformers.core_model_loading import revert_weight_conversion
from transformers.utils import ModelOutput


def build(case):
    """The model of a case, every parameter drawn: matrices anew, the rest about their initial value."""
    torch.manual_seed(7)
    name, settings, _ = CASES[case]
    model_class = getattr(transformers, name)
    model = model_class._from_config(model_class.config_class(**copy.deepcopy(settings)), dtype=torch.float32)
    if case == "t5-v1-1":  # always tied when built, and not when loaded from a file with both
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
        model.all_tied_weights_keys.pop("lm_head.weight")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2 and parameter.requires_grad:
                parameter.normal_(std=0.2)
            elif parameter.requires_grad:  # what is frozen is a table of sines
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.normal_(std=0.2)
    return model


def load(folder, model_class):
    """The model as its files say; nothing may be missing or left over."""
    options = dict(attn_implementation="eager", experts_implementation="eager", dtype=torch.float32)
    loaded, info = model_class.from_pretrained(folder, output_loading_info=True, **options)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return loaded


def v4(config):
    """`config.json` in the dialect of `transformers` 4."""
    old = {**config, "torch_dtype": config["dtype"], "transformers_version": "4.46.0"}
    del old["dtype"]
    if old["model_type"] == "bert":
        old["position_embedding_type"] = "absolute"
    if old["model_type"] == "t5":
        old["tie_word_embeddings"] = old.pop("scale_decoder_outputs")
        del old["dense_act_fn"], old["is_gated_act"]
    if old["model_type"] == "qwen3_moe":
        old["num_experts"] = old.pop("num_local_experts")
    ropes = old.pop("rope_parameters", None)
    if old["model_type"] == "gemma3_text":
        del old["layer_types"], old["_sliding_window_pattern"]
        old["rope_local_base_freq"] = ropes["sliding_attention"]["rope_theta"]
        ropes = ropes["full_attention"]
    if ropes:
        old["rope_theta"] = ropes.pop("rope_theta")
        old["rope_scaling"] = None if ropes["rope_type"] == "default" else ropes
        if old["model_type"] == "llama" and ropes["rope_type"] == "linear":
            ropes["type"] = ropes.pop("rope_type")  # older still
    return old


def write_v4(folder, config):
    """Writes the older dialect; `transformers` must read the same config from both."""
    new = json.loads((folder / "config.json").read_text())
    old = json.dumps(v4(copy.deepcopy(new)), indent=2, sort_keys=True) + "\n"
    (folder / "config.v4.json").write_text(old)
    again = json.loads(type(config).from_dict(json.loads(old)).to_json_string(use_diff=False))
    again.get("rope_parameters", {}).pop("type", None)
    differ = [key for key in new if again[key] != new[key] and key != "transformers_version"]
    assert not differ, differ


class Draw:
    """Draws the inputs of a case's calls."""

    def __init__(self, config):
        self.config = config
        self.text = getattr(config, "text_config", config)
        self.generator = torch.Generator().manual_seed(11)

    def integers(self, low, high, *shape):
        return torch.randint(low, high, shape, generator=self.generator)

    def ids(self, *shape):
        """Anything but what is special, at either end of the vocabulary."""
        return self.integers(3, 64, *shape)

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator)

    def tokens(self, call):
        ids = self.ids(1, 41) if call == "long" else self.ids(2, 17)
        inputs = {"input_ids": ids}
        if call in ("left", "right", "positions"):
            mask = torch.ones_like(ids)
            mask[0, slice(12, 17) if call == "right" else slice(0, 5)] = 0
            ids[mask == 0] = self.text.pad_token_id
            inputs["attention_mask"] = mask
        if self.text is not self.config:  # two towers; CLIP pools where the text ends
            ids[:, 0] = self.text.bos_token_id
            ids[[0, 1], [11, 16]] = 66 if self.text.eos_token_id == 2 else self.text.eos_token_id
        if call == "positions":
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        if call in ("types", "tasks"):
            inputs["token_type_ids"] = self.integers(0, self.config.type_vocab_size, 2, 17)
        if call == "tasks":
            inputs["task_type_ids"] = self.integers(0, self.config.task_type_vocab_size, 2, 17)
        return inputs

    def inputs(self, call):
        config, inputs = self.config, {}
        if hasattr(config, "max_source_positions"):
            inputs["input_features"] = self.normal(2, config.num_mel_bins, 2 * config.max_source_positions)
        elif hasattr(self.text, "vocab_size"):
            inputs = self.tokens(call)
        if config.is_encoder_decoder:
            inputs["decoder_input_ids"] = self.ids(2, 11)
        if not hasattr(self.text, "vocab_size") or self.text is not config:
            inputs["pixel_values"] = self.normal(2, 3, *((12, 20) if call == "wider" else (16, 16)))
        if call.startswith("grad"):
            inputs["labels"] = self.labels(inputs)
        return inputs

    def labels(self, inputs):
        if self.config.is_encoder_decoder:
            return self.ids(2, 11)
        if self.config.model_type != "bert":
            return inputs["input_ids"].clone()
        return torch.where(self.integers(0, 3, 2, 17) == 0, self.ids(2, 17), -100)


def tensors(output, whole, prefix=""):
    """The tensors of an output by name; those in tuples and in inner outputs where it is `whole`."""
    for key, value in output.items():
        if isinstance(value, torch.Tensor):
            yield prefix + key, value if value.dim() else value.reshape(1)
        elif whole and isinstance(value, ModelOutput):
            yield from tensors(value, whole, f"{prefix}{key}.")
        elif whole and isinstance(value, tuple):
            yield from ((f"{prefix}{key}.{idx}", inner) for idx, inner in enumerate(value))


def answers(model, call, inputs):
    options = {}
    if hasattr(model.config, "output_router_logits") and call != "grad":
        options["output_router_logits"] = True
    if call == "wider":
        options["interpolate_pos_encoding"] = True
    if not call.startswith("grad"):
        with torch.no_grad():
            output = model(**inputs, **options, output_hidden_states=call == "plain")
        return dict(tensors(output, call == "plain"))
    model.zero_grad()
    output = model(**inputs, **options)
    output.loss.backward()
    learned = ((name, parameter.grad) for name, parameter in model.named_parameters())
    grads = {name: grad for name, grad in learned if grad is not None}
    found = {f"grad.{name}": grad for name, grad in revert_weight_conversion(model, grads).items()}
    return found | {name: tensor for name, tensor in tensors(output, False) if "loss" in name}


def write(folder, case):
    folder.mkdir(parents=True, exist_ok=True)
    model = build(case)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case in WITH_V4:
        write_v4(folder, model.config)
    model = load(folder, type(model))
    draw = Draw(model.config)
    for call in CASES[case][2].split():
        inputs = draw.inputs(call)
        found = inputs | answers(model, call, inputs)
        found = {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}
        save_file(found, folder / f"call-{call}.safetensors")


def main(folder, *cases):
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    for case in cases or CASES:
        write(pathlib.Path(folder) / case, case)


if __name__ == "__main__":
    main(*sys.argv[1:])
