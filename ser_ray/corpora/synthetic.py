"""A made-up corpus of synthesised speech, for demonstrations and tests: no measure of real recognition."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import soundfile as sf

from ser_ray import storage
from ser_ray.audio.synthesis import EXPRESSIONS, RATE, draw_sentence, draw_voice, synthesize
from ser_ray.corpora.manifest import from_rows
from ser_ray.errors import UnknownName, UsageError

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


def make_corpus(
    folder: str,
    speakers: int = 6,
    emotions: tuple[str, ...] = EMOTIONS,
    per_emotion: int = 6,
    seed: int = 0,
) -> pa.Table:
    """Write a corpus of WAV files (16 kHz, PCM16); every speaker says every sentence in every emotion.

    Args:
        folder: where the files go, local or remote.
        speakers: how many; women and men in turn.
        emotions: of `synthesis.EXPRESSIONS`.
        per_emotion: sentences, each one utterance for each speaker and emotion.
        seed: draws voices, sentences and utterances. A corpus with more speakers, emotions or sentences
            holds the smaller one.

    Returns:
        The manifest.

    Raises:
        UnknownName: an emotion that cannot be synthesised.
        UsageError: no speakers, emotions or sentences.
    """
    if speakers < 1 or per_emotion < 1 or not emotions:
        raise UsageError("a corpus needs at least one speaker, one emotion and one sentence.")
    for emotion in emotions:
        if emotion not in EXPRESSIONS:
            raise UnknownName("emotion to synthesise", emotion, EXPRESSIONS)
    sentences = [draw_sentence(seed_of(seed, 0, number)) for number in range(per_emotion)]
    rows = []
    for number in range(speakers):
        gender = ("female", "male")[number % 2]
        voice = draw_voice(gender, seed_of(seed, 1, number))
        for emotion in emotions:
            for text, sentence in enumerate(sentences):
                speaker = f"speaker{number + 1:02d}"
                name = f"{speaker}-{emotion}-{text + 1:02d}"
                uri = storage.join(storage.absolute(folder), f"{name}.wav")
                drawn = seed_of(seed, 2, number, list(EXPRESSIONS).index(emotion), text)
                storage.write_bytes(uri, wav(synthesize(voice, emotion, drawn, sentence)))
                row = {"id": f"synthetic/{name}", "uri": uri, "corpus": "synthetic", "speaker": speaker}
                row |= {"emotion": emotion, "raw_label": emotion, "gender": gender, "text_id": sentence}
                rows.append(row)
    return from_rows(rows)


def seed_of(*path: int) -> int:
    """The seed of what a path of numbers leads to."""
    return int(np.random.SeedSequence(path).generate_state(1)[0])


def wav(wave: np.ndarray) -> bytes:
    """A wave [samples] at `synthesis.RATE` as a WAV file, PCM16."""
    buffer = io.BytesIO()
    sf.write(buffer, wave, RATE, "PCM_16", format="WAV")
    return buffer.getvalue()
