"""Small files of weights as `torch.save` writes them, and what they hold.

usage: torch_files.py FOLDER

Writes `NAME.zip.pt` (since 1.6) and `NAME.legacy.pt` (before) for the objects below, and for each
`NAME.safetensors` with its tensors, contiguous and apart.
"""
import collections
import pathlib
import sys

import torch
from safetensors.torch import save_file


def plain():
    """Every type of element, tensors of no and of one element."""
    numbers = torch.arange(-3, 9).reshape(3, 4)
    tensors = {str(dtype).split(".")[1]: numbers.to(dtype) for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool)}
    return tensors | {"scalar": torch.tensor(1.5), "none": torch.zeros(0, 4)}


def strided():
    """Views: transposed, every other column, from an offset, one element many times; one storage."""
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    half = torch.arange(12).reshape(3, 4).to(torch.bfloat16)
    return {
        "base": base, "transposed": base.transpose(0, 2), "stepped": base[:, 1:, ::2],
        "row": base[1], "expanded": base[0, 0, :1].expand(2, 3), "half": half.t(),
        "unit": base[:1].transpose(0, 1),
    }


def module():
    """A state dict with `_metadata`, tied weights and a buffer, beside other things."""
    model = torch.nn.Sequential(torch.nn.Embedding(6, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 6))
    model[2].weight = model[0].weight
    state = model.state_dict()
    assert isinstance(state, collections.OrderedDict) and state._metadata
    return {"state_dict": state, "epoch": 3, "lr": 1e-3, "name": "x", "shape": model[0].weight.shape,
            "betas": (0.9, 0.95), "steps": [1, 2, 1 << 40, -1], "best": None, "done": False}


def parameters():
    """Parameters, as an optimizer or a hand-made dict has them."""
    return {"model": {"weight": torch.nn.Parameter(torch.arange(4.0)), "bias": torch.ones(2)}}


def main(folder):
    torch.manual_seed(1)
    folder = pathlib.Path(folder)
    for make in (plain, strided, module, parameters):
        name, objects = make.__name__, make()
        torch.save(objects, folder / f"{name}.zip.pt")
        torch.save(objects, folder / f"{name}.legacy.pt", _use_new_zipfile_serialization=False)
        tensors = objects.get("state_dict", objects.get("model", objects))
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
        save_file(tensors, folder / f"{name}.safetensors")
    torch.save({"a": torch.arange(4.0)}, folder / "protocol4.zip.pt", pickle_protocol=4)
    save_file({"a": torch.arange(4.0)}, folder / "protocol4.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
