"""Rows of sound as answers, in WAV format of 16 bits."""

import io
import wave

import numpy as np

from service.bundle import Sound
from service.types import Float32

TYPE = "audio/wav"

BYTES = 2
LOUDEST = 2 ** (8 * BYTES - 1)


def dump(rows: Float32, sound: Sound) -> bytes:
    """Rows one after another as one sound of one channel; what is too loud is cut off.

    Args:
        rows: N × samples.
        sound: what their values mean.
    """
    values = np.rint(rows.ravel() * (LOUDEST / sound.full_scale))
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(BYTES)
        written.setframerate(sound.rate)
        written.writeframes(np.clip(values, -LOUDEST, LOUDEST - 1).astype("<i2").tobytes())
    return file.getvalue()
