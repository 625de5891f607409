"""What `generate` of `transformers` makes of the models of `families.py`.

usage: generation.py FOLDER

Writes `generation.json` into the folders of some cases of `families.py`: `calls`, each with `settings` (as a `generation_config.json`
has them), the number of new tokens that were asked for, and the new `tokens` of each row, cut before the first that
ends it, with the `finish` (`end` or `length`). Inputs are those of `call-right.safetensors`, padded, of
`call-plain.safetensors` for Whisper, and the first five ids of its first row for a decoder. Tokens follow from the
settings alone: nothing is drawn.

Whisper has `long.json`, too: `frames` [S, C] of a sound of several windows, and the segments of `generate` with
timestamps: `start` and `end` in seconds, and `tokens`, times among them.
"""
import json
import pathlib
import sys

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import torch
import transformers
from safetensors.torch import load_file

NEW_TOKENS = 12
SUMMARY = dict(num_beams=3, length_penalty=2.0, early_stopping=True, no_repeat_ngram_size=2, min_length=6)
SEARCHES = [
    dict(),
    dict(num_beams=4),
    dict(num_beams=3, length_penalty=-1.5, early_stopping="never"),
    dict(num_beams=2, early_stopping=True, repetition_penalty=1.7),
    dict(no_repeat_ngram_size=1, suppress_tokens=[11, 17, 23, 40, 55], begin_suppress_tokens=[5, 8, 60]),
    SUMMARY,
]
# Random models like some tokens: these are made to end texts.
ENDS = {"t5": [4, 59], "bart": [2, 43], "marian": [0, 39], "whisper": [44, 59], "llama-gqa": [2, 33, 43]}
OWN = {
    "t5": [dict(num_beams=2, bad_words_ids=[[3], [9, 9], [30]])],
    "bart": [dict(SUMMARY, forced_bos_token_id=7, forced_eos_token_id=2, decoder_start_token_id=2)],
    "marian": [
        dict(num_beams=6, bad_words_ids=[[66], [5]], forced_eos_token_id=0),
        dict(num_beams=6, bad_words_ids=[[66], [5], [21, 21], [42, 42], [59, 42]], renormalize_logits=True),
    ],
    "whisper": [],
    "llama-gqa": [],
}
TIMES = dict(no_timestamps_token_id=50, eos_token_id=49, max_initial_timestamp_index=4, begin_suppress_tokens=[20, 49])


def clean(tokens, ends):
    """New tokens before the first that ends them, and whether one did."""
    for at, token in enumerate(tokens):
        if token in ends:
            return tokens[:at], "end"
    return tokens, "length"


def inputs_of(folder, model):
    if model.config.model_type == "whisper":
        return {"input_features": load_file(folder / "call-plain.safetensors")["input_features"]}
    if not model.config.is_encoder_decoder:
        ids = load_file(folder / "call-plain.safetensors")["input_ids"][:1, :5]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    call = load_file(folder / "call-right.safetensors")
    return {name: call[name] for name in ("input_ids", "attention_mask")}


def calls(folder, case, model):
    inputs = inputs_of(folder, model)
    model.generation_config = transformers.GenerationConfig()  # what is not said is not what its config says
    for own in SEARCHES + OWN[case]:
        settings = dict(eos_token_id=ENDS[case], pad_token_id=0, **own)
        if model.config.is_encoder_decoder and "decoder_start_token_id" not in settings:
            settings["decoder_start_token_id"] = model.config.decoder_start_token_id
        config = transformers.GenerationConfig(**settings, max_new_tokens=NEW_TOKENS)
        with torch.no_grad():  # past the class of Whisper, whose own `generate` is for whole sounds
            found = transformers.GenerationMixin.generate(model, **inputs, generation_config=config)
        prompt = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        rows = [clean(row[prompt:].tolist(), ENDS[case]) for row in found]
        tokens, finish = [row[0] for row in rows], [row[1] for row in rows]
        yield dict(settings=settings, max_new_tokens=NEW_TOKENS, tokens=tokens, finish=finish)


def long(model):
    """A sound of three windows and a half, by the algorithm for such."""
    frames = torch.randn(1, model.config.num_mel_bins, 105, generator=torch.Generator().manual_seed(3))
    found = []
    for own in (dict(), dict(num_beams=3)):
        settings = dict(TIMES, **own, decoder_start_token_id=1, pad_token_id=0, max_length=20)
        config = transformers.GenerationConfig(**settings, suppress_tokens=None)
        model.generation_config = config
        with torch.no_grad():
            output = model.generate(
                frames, attention_mask=torch.ones(1, 105), return_timestamps=True, return_segments=True)
        segments = [
            dict(start=float(s["start"]), end=float(s["end"]), tokens=s["tokens"].tolist())
            for s in output["segments"][0]
        ]
        found.append(dict(settings=settings, segments=segments))
    values = [round(value, 6) for value in frames[0].T.reshape(-1).tolist()]
    return dict(frames=values, calls=found)


def dump(path, value):
    path.write_text(json.dumps(value) + "\n")


def main(folder):
    torch.set_num_threads(1)
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    for case in OWN:
        path = pathlib.Path(folder) / case
        model = transformers.AutoModelForCausalLM if case == "llama-gqa" else transformers.AutoModelForSeq2SeqLM
        model = transformers.AutoModelForSpeechSeq2Seq if case == "whisper" else model
        model = model.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
        dump(path / "generation.json", dict(calls=list(calls(path, case, model))))
        if case == "whisper":
            dump(path / "long.json", long(model))


if __name__ == "__main__":
    main(*sys.argv[1:])
