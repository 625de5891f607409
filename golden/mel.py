"""The log-mel spectra that `WhisperFeatureExtractor` of `transformers` makes of a sound.

usage: mel.py FOLDER

Writes `mel.safetensors`: `samples` [N] at 16 000 Hz, sweeping tones under noise and a silence, and for 80 and 128
channels `features.C` [C, S] of a sound that is padded to 8 000 samples with silence.
"""
import pathlib
import sys

# The folder of this script has another's name in it.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import torch
from safetensors.torch import save_file
from transformers import WhisperFeatureExtractor

N = 6_100


def main(folder):
    at = torch.arange(N, dtype=torch.float64) / 16_000
    noise = torch.randn(N, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    samples = 0.4 * torch.sin(2 * torch.pi * (200 + 8_000 * at) * at) + 0.1 * torch.sin(900 * at) + 0.01 * noise
    samples[3_000:4_000] = 0
    samples = samples.float()
    found = {"samples": samples}
    for n_channels in (80, 128):
        extractor = WhisperFeatureExtractor(feature_size=n_channels)
        output = extractor(samples.numpy(), sampling_rate=16_000, max_length=8_000, return_tensors="pt")
        found[f"features.{n_channels}"] = output["input_features"][0].contiguous()
    save_file(found, pathlib.Path(folder) / "mel.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
