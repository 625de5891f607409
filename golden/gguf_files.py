"""A small GGUF file with every type that is read, and what the `gguf` package makes of it.

usage: gguf_files.py FOLDER    (needs `pip install gguf==0.19.0 safetensors`)

Writes `all.gguf`, with metadata of every type and a tensor a type, two rows of 256 values, and
`all.safetensors` with the same dequantised. `Q8_0.in` are values that round to the tensor `Q8_0`.
The package quantises to no K type: their blocks are random bits with scales of ordinary size.
"""
import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value
from gguf import GGUFWriter, quants
from safetensors.numpy import save_file

SHAPE = (2, 256)
QUANTISED = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
# Bytes a block, and where its halves are.
RANDOM = {Type.Q4_K: (144, (0, 2)), Type.Q5_K: (176, (0, 2)), Type.Q6_K: (210, (208,))}


def random_blocks(rng, n_bytes, halves):
    blocks = rng.integers(0, 256, (SHAPE[0], n_bytes), dtype=np.uint8)
    for at in halves:
        scales = rng.uniform(0.001, 0.1, (SHAPE[0], 1)).astype(np.float16)
        blocks[:, at:at + 2] = scales.view(np.uint8)
    return blocks


def tensors(rng):
    """Name, what is stored, its type (where it is not the array's) and what it means."""
    values = rng.standard_normal(SHAPE).astype(np.float32)
    values[0, :32] = 0
    yield "F32", values, None, values
    yield "Q8_0.in", values, None, values
    yield "F16", values.astype(np.float16), None, values.astype(np.float16)
    bf16 = quants.quantize(values, Type.BF16)
    yield "BF16", bf16, Type.BF16, quants.dequantize(bf16, Type.BF16)
    yield "I32", np.arange(6, dtype=np.int32).reshape(1, 2, 3), None, np.arange(6, dtype=np.int32).reshape(1, 2, 3)
    for kind in QUANTISED:
        blocks = quants.quantize(values, kind)
        yield kind.name, blocks, kind, quants.dequantize(blocks, kind)
    for kind, (n_bytes, halves) in RANDOM.items():
        blocks = random_blocks(rng, n_bytes, halves)
        yield kind.name, blocks, kind, quants.dequantize(blocks, kind)


def metadata(writer):
    for kind, value in ((Value.UINT8, 200), (Value.INT8, -100), (Value.UINT16, 60000), (Value.INT16, -30000),
                        (Value.UINT32, 4000000000), (Value.INT32, -2000000000), (Value.UINT64, 2**63),
                        (Value.INT64, -2**62), (Value.FLOAT32, 0.5), (Value.FLOAT64, 0.1), (Value.BOOL, True)):
        writer.add_key_value(f"test.{kind.name.lower()}", value, kind)
    writer.add_array("tokenizer.ggml.tokens", ["It", "was", "\u6c34", ""])
    writer.add_array("tokenizer.ggml.scores", [0.0, -1.5])
    writer.add_array("test.nested", [[1, 2], [3]])


def main(folder):
    folder, expected = pathlib.Path(folder), {}
    writer = GGUFWriter(folder / "all.gguf", "llama")
    metadata(writer)
    for name, stored, kind, meaning in tensors(np.random.default_rng(1)):
        writer.add_tensor(name, stored, raw_dtype=kind)
        expected[name] = meaning
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, folder / "all.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
