"""Short sounds in every container that is common, for tests of decoding.

usage: audio_files.py FOLDER

Needs `numpy` and `soundfile`, whose encoders write the same bytes every time but differ from version to version: these
files are made once. Each is 0.25 s of two tones, 440 Hz on the left and 660 Hz on the right, at 22 050 Hz.
"""
import pathlib
import sys

import numpy as np
import soundfile

RATE = 22_050
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III", "aiff": "PCM_24"}


def main(folder):
    at = np.arange(int(0.25 * RATE)) / RATE
    tones = 0.5 * np.sin(2 * np.pi * np.outer(at, [440, 660]))
    for extension, subtype in FORMATS.items():
        soundfile.write(pathlib.Path(folder) / f"tones.{extension}", tones, RATE, subtype=subtype)


if __name__ == "__main__":
    main(*sys.argv[1:])
