"""Heads for tasks over the models of `families.py` and `gpt2.py`, and what `transformers` computes with them.

usage: heads.py [FOLDER]                      fills FOLDER
       heads.py --write FOLDER HEADS          whole models, a folder a case, as `save_pretrained` has them
       heads.py --check CONVERTED HEADS       those as `lyceum convert` wrote them answer as before

A case is a family and a task: its trunk is that of a committed model, so that a folder of its own has no more than
`head.safetensors`, what the trunk's file lacks, drawn here, and `call-WHAT.safetensors`, as in `families.py`; a text of
an encoder-decoder ends in its `eos_token_id`, and the decoder reads the same text. `call-grad` has the loss, and gradients of the
head and of the table of tokens. `cases.json` has of each case the model, the class, what its config says otherwise,
and what the table of tokens is called.
"""
import json
import pathlib
import sys
import tempfile

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import torch
import transformers
from safetensors.torch import load_file, save_file

MODELS = pathlib.Path(__file__).resolve().parent.parent / "crates/models/tests/golden"
HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice")
# What classes begin with, the model with the trunk, and how many of the tasks there are.
FAMILIES = {
    "gpt2": ("GPT2", "gpt2-tiny", 3), "llama": ("Llama", "llama-gqa", 3), "mistral": ("Mistral", "mistral", 3),
    "mixtral": ("Mixtral", "mixtral", 3), "qwen2": ("Qwen2", "qwen2", 3), "qwen2-moe": ("Qwen2Moe", "qwen2-moe", 3),
    "qwen3": ("Qwen3", "qwen3", 3), "qwen3-moe": ("Qwen3Moe", "qwen3-moe", 3), "smollm3": ("SmolLM3", "smollm3", 3),
    "gemma": ("Gemma", "gemma", 2), "gemma3": ("Gemma3Text", "gemma3", 1), "bert": ("Bert", "bert-mlm", 4),
    "roberta": ("Roberta", "roberta-mlm", 4), "ernie": ("Ernie", "ernie-mlm", 4),
    "distilbert": ("DistilBert", "distilbert-mlm", 4), "albert": ("Albert", "albert-mlm", 4),
    "electra": ("Electra", "electra-mlm", 4), "t5": ("T5", "t5", 0), "bart": ("Bart", "bart", 0),
}
CASES = {
    f"{family}-{task}": (model, f"{stem}For{task}")
    for family, (stem, model, n) in FAMILIES.items()
    for task in (HEADS[:n] if n else (HEADS[0], HEADS[2]))
}
LEARNED = {
    "gpt2-TokenClassification", "llama-SequenceClassification", "llama-QuestionAnswering", "bert-SequenceClassification",
    "bert-TokenClassification", "bert-QuestionAnswering", "bert-MultipleChoice", "electra-MultipleChoice",
    "t5-SequenceClassification", "bart-QuestionAnswering",
}
LABELS = {"SequenceClassification": ["no", "maybe", "yes"], "TokenClassification": ["O", "B-A", "I-A", "B-B", "I-B"]}


def task(name):
    return name.split("For")[1]


def changes(model, name):
    """What the config says of the head, and of padding, where that is needed and missing."""
    labels = LABELS.get(task(name), [])
    said = {"pad_token_id": 0} if model == "gpt2-tiny" else {}
    if labels:
        said |= {"id2label": dict(enumerate(labels)), "label2id": {label: idx for idx, label in enumerate(labels)}}
    if task(name) == "SequenceClassification":
        said["problem_type"] = "single_label_classification"
    return said


def load(folder, name, **said):
    options = dict(attn_implementation="eager", experts_implementation="eager", dtype=torch.float32)
    return getattr(transformers, name).from_pretrained(folder, output_loading_info=True, **options, **said)


def build(case):
    """The model, and the names of its parameters that the trunk's file lacks, which are drawn."""
    torch.manual_seed(7)
    folder, name = CASES[case]
    model, info = load(MODELS / folder, name, **changes(folder, name))
    fresh = sorted(info["missing_keys"])
    if len(fresh) > 6:  # the trunk has another name in this class
        trunk = transformers.AutoModel.from_pretrained(MODELS / folder, dtype=torch.float32)
        getattr(model, model.base_model_prefix).load_state_dict(trunk.state_dict())
        fresh = [key for key in fresh if not key.startswith(model.base_model_prefix + ".")]
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for key in fresh:
            parameters[key].normal_(std=0.2)
    return model.eval(), fresh


def inputs(model, name, call):
    """Five of the first row's tokens are padding, on one side; of choices of the first row's first."""
    generator, config = torch.Generator().manual_seed(11), model.config
    draw = lambda low, high, *shape: torch.randint(low, high, shape, generator=generator)
    ids = draw(3, 64, *((2, 3, 9) if task(name) == "MultipleChoice" else (2, 17)))
    if config.is_encoder_decoder:
        ids[:, -1] = config.eos_token_id
    row = ids.flatten(0, -2)[0]
    mask = torch.ones_like(ids)
    if call == "left":
        mask.flatten(0, -2)[0, :5] = 0
    else:
        mask.flatten(0, -2)[0, -5:] = 0
        row[-6] = row[-1]
    ids[mask == 0] = config.pad_token_id or 0
    found = {"input_ids": ids, "attention_mask": mask}
    if config.model_type in ("bert", "albert", "ernie"):
        found["token_type_ids"] = draw(0, config.type_vocab_size, *ids.shape)
    if call != "grad":
        return found
    if task(name) == "SequenceClassification":
        return found | {"labels": torch.tensor([2, 0])}
    if task(name) == "MultipleChoice":
        return found | {"labels": torch.tensor([1, 2])}
    if task(name) == "QuestionAnswering":
        return found | {"start_positions": torch.tensor([1, 9]), "end_positions": torch.tensor([7, 9])}
    return found | {"labels": torch.where(mask == 1, draw(0, 5, 2, 17), -100)}


def answers(model, given, fresh=()):
    if not fresh:
        with torch.no_grad():
            output = model(**given)
        names = [name for name in output if name.endswith("logits") and name != "router_logits"]
        return {name: output[name] for name in names}
    loss = model(**given).loss
    loss.backward()
    parameters = dict(model.named_parameters())
    learned = [*fresh, table(model)]
    return {"loss": loss.reshape(1)} | {f"grad.{key}": parameters[key].grad for key in learned}


def table(model):
    """The name of the table of tokens."""
    rows = model.get_input_embeddings().weight
    return next(key for key, parameter in model.named_parameters() if parameter is rows)


def otherwise(model, folder, name):
    """What `config.json` has that the trunk's has not; null where it lacks something."""
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        new = json.loads((pathlib.Path(scratch) / "config.json").read_text())
    old = json.loads((MODELS / folder / "config.json").read_text())
    keys = sorted((old.keys() | new.keys()) - {"transformers_version"})
    return {key: new.get(key) for key in keys if old.get(key) != new.get(key)}


def tensors(found, path):
    save_file({key: value.detach().clone().contiguous() for key, value in found.items()}, path)


def main(folder):
    folder, cases = pathlib.Path(folder), {}
    for case, (trunk, name) in CASES.items():
        model, fresh = build(case)
        own = folder / case
        own.mkdir(parents=True, exist_ok=True)
        parameters = dict(model.named_parameters())
        tensors({key: parameters[key] for key in fresh}, own / "head.safetensors")
        said = otherwise(model, trunk, name)
        cases[case] = {"model": trunk, "class": name, "config": said, "table": table(model)}
        for call in ("left", "right", "grad")[:3 if case in LEARNED else 2]:
            given = inputs(model, name, call)
            found = answers(model, given, fresh if call == "grad" else ())
            tensors(given | found, own / f"call-{call}.safetensors")
    (folder / "cases.json").write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n")


def write(folder, golden):
    for case in CASES:
        model, _ = build(case)
        model.save_pretrained(pathlib.Path(folder) / case)


def check(converted, golden):
    n_calls = 0
    for case, (_, name) in CASES.items():
        model, info = load(pathlib.Path(converted) / case, name)
        assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), (case, info)
        for call in ("left", "right"):
            recorded = load_file(pathlib.Path(golden) / case / f"call-{call}.safetensors")
            given = {key: value for key, value in recorded.items() if not key.endswith("logits")}
            for key, tensor in answers(model.eval(), given).items():
                torch.testing.assert_close(tensor, recorded[key], rtol=1e-5, atol=1e-6, msg=lambda text: f"{case} {key}: {text}")
            n_calls += 1
    print(f"transformers loads {len(CASES)} converted models with heads, and answers {n_calls} calls as before")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    modes = {"--write": write, "--check": check}
    if sys.argv[1] in modes:
        modes[sys.argv[1]](*sys.argv[2:])
    else:
        main(sys.argv[1])
