"""Holds what `lyceum convert --to hf` writes of the cases of `families.py` against what they were: `transformers` loads it,
and answers every call as it did before.

usage: converted.py CONVERTED GOLDEN

Both folders have a folder a case; those of GOLDEN have the calls with their answers.
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file

from cases import CASES
from families import answers, load

INPUTS = (
    "input_ids attention_mask position_ids token_type_ids task_type_ids decoder_input_ids labels pixel_values "
    "input_features"
).split()


def check(folder, golden, case):
    """The calls that were answered the same."""
    name, _, calls = CASES[case]
    model = load(folder, getattr(transformers, name))
    for call in calls.split():
        recorded = load_file(golden / f"call-{call}.safetensors")
        inputs = {name: tensor for name, tensor in recorded.items() if name in INPUTS}
        for name, tensor in answers(model, call, inputs).items():
            torch.testing.assert_close(tensor, recorded[name], rtol=1e-5, atol=1e-6, msg=lambda text: f"{case} {name}: {text}")
    return len(calls.split())


def main(converted, golden):
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    converted, golden = pathlib.Path(converted), pathlib.Path(golden)
    cases = sorted(folder.name for folder in converted.iterdir())
    calls = sum(check(converted / case, golden / case, case) for case in cases)
    print(f"transformers loads {len(cases)} converted models, and answers {calls} calls as before")


if __name__ == "__main__":
    main(*sys.argv[1:])
