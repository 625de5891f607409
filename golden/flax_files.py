"""A small file of weights as `flax.serialization` writes it, and what it holds.

usage: flax_files.py FOLDER    (needs `pip install flax==0.12.8 safetensors`)

Writes `all.msgpack` and `all.safetensors` with its arrays by dotted names. `params.large` is in
pieces, as an array above a gigabyte would be.
"""
import pathlib
import sys

import jax.numpy as jnp
import numpy as np
from flax import serialization
from safetensors.flax import save_file

TYPES = ("float32", "float16", "bfloat16", "int32", "int8", "uint8", "bool")


def arrays():
    numbers = np.arange(-3, 9).reshape(3, 4)
    return {
        "params": {
            "types": {name: jnp.asarray(numbers).astype(name) for name in TYPES},
            "layers": [{"kernel": np.full((4, 2), i, np.float32), "bias": np.zeros(2, np.float32)} for i in range(2)],
            "scalar": np.float32(1.5), "none": np.zeros((0, 4), np.float32),
        },
        "batch_stats": {},
    }


def flat(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, jnp.asarray(value)


def main(folder):
    folder, tree = pathlib.Path(folder), serialization.to_state_dict(arrays())
    tree["params"]["large"] = np.arange(70, dtype=np.int32).reshape(10, 7)
    save_file(dict(flat(tree)), folder / "all.safetensors")
    # Only what is larger than all the others is cut.
    serialization.MAX_CHUNK_SIZE = 64
    (folder / "all.msgpack").write_bytes(serialization.msgpack_serialize(tree | {"step": 3, "name": "x"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
