"""Compares two folders of golden files, and the folders in them; exits with what differs.

usage: compare.py COMMITTED MADE

Floats may differ by 1e-5 of the tensor's largest value, or of 0.01 where that is larger (a gradient may be zero but
for rounding): another CPU adds in another order. What training amplifies, `losses` of JSON among it, may differ by 1e-4. Other floats of JSON may differ
by one part in 1e12. Everything else is equal; scripts are left out.
"""
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import load_file

AMPLIFIED = 1e-4
VERSIONED = {"transformers_version"}


def difference(name, old, new):
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"{name}: {list(old.shape)} {old.dtype} is now {list(new.shape)} {new.dtype}"
    if not old.is_floating_point() or old.numel() == 0:
        return None if torch.equal(old, new) else f"{name}: integers differ"
    bound = (1e-4 if name.startswith("train.") else 1e-5) * max(old.abs().max().item(), 1e-2)
    error = (old - new).abs().max().item()
    return None if error <= bound else f"{name}: differs by {error:.1e}, at most {bound:.1e}"


def pickled(path):
    objects = torch.load(path, weights_only=False)  # protocol 4 is not read otherwise
    return objects.get("state_dict", objects.get("model", objects))


def tensors(committed, made):
    load = load_file if committed.suffix == ".safetensors" else pickled
    old, new = load(committed), load(made)
    if old.keys() != new.keys():
        return [f"names differ: {sorted(old.keys() ^ new.keys())}"]
    found = (difference(name, old[name], new[name]) for name in sorted(old))
    return [problem for problem in found if problem]


def same(old, new, rel=1e-12):
    """Whether two values of JSON are equal, where floats may be that far apart."""
    if type(old) is not type(new):
        return False
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(same(old[key], new[key], rel) for key in old)
    if isinstance(old, list):
        return len(old) == len(new) and all(same(a, b, rel) for a, b in zip(old, new))
    return math.isclose(old, new, rel_tol=rel, abs_tol=1e-15) if isinstance(old, float) else old == new


def configs(committed, made):
    old, new = (json.loads(path.read_text()) for path in (committed, made))
    keys = (old.keys() | new.keys()) - VERSIONED
    return [f"`{key}` differs" for key in sorted(keys) if not same(old.get(key), new.get(key), AMPLIFIED if key == "losses" else 1e-12)]


def main(committed, made):
    committed, made = pathlib.Path(committed), pathlib.Path(made)
    sides = (committed, made)
    paths = ((side, path) for side in sides for path in side.rglob("*") if path.is_file() and path.suffix != ".py")
    names = {str(path.relative_to(side)) for side, path in paths}
    problems = []
    for name in sorted(names):
        if not (committed / name).exists() or not (made / name).exists():
            problems.append(f"{name}: only on one side")
            continue
        compare = tensors if name.endswith((".safetensors", ".pt")) else configs
        problems += [f"{name}: {problem}" for problem in compare(committed / name, made / name)]
    print("\n".join(problems) or f"{committed}: {len(names)} files reproduce")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
