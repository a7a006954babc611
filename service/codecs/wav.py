"""Rows of sound as answers, in WAV format of 16 bits."""

import io
import wave

import numpy as np

from service.bundle import AnyManifest, Sound
from service.codecs.base import WAV_TYPE, Codec
from service.operations import Answer, FlowRequest
from service.types import Float32

BYTES_PER_VALUE = 2
# One more than the largest value.
FULL_SCALE = 2 ** (8 * BYTES_PER_VALUE - 1)


class WavCodec(Codec):
    """WAV: the rows x of a model of sounds, one after another; it is only written."""

    media_type = WAV_TYPE
    has_reasons = False

    def refusal(
        self, schema: type[FlowRequest], manifest: AnyManifest, output: str | None
    ) -> str | None:
        """Only x of a model of sounds is a sound."""
        if manifest.sound is None:
            return f"{WAV_TYPE}: rows of {manifest.name} are no sounds"
        if "x" not in schema.outputs or output not in (None, "x"):
            return f"{WAV_TYPE} holds x, of the questions that answer with x"
        return None

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """Every row x, one after another."""
        assert manifest.sound is not None  # or `refusal` had said so
        return write_sound(answer.arrays["x"], manifest.sound)


def write_sound(rows: Float32, sound: Sound) -> bytes:
    """Rows one after another as one sound of one channel; what is too loud is cut off.

    A row without an answer, of NaN, is silent.

    Args:
        rows: N × samples.
        sound: what their values mean.
    """
    values = np.nan_to_num(np.rint(rows.ravel() * (FULL_SCALE / sound.full_scale)))
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(BYTES_PER_VALUE)
        written.setframerate(sound.rate)
        written.writeframes(np.clip(values, -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes())
    return file.getvalue()
