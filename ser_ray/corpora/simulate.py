"""Call archives made of labelled utterances, so that who says what, when and in which emotion is known."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile as sf
from scipy.io import wavfile

from ser_ray import storage
from ser_ray.audio.band import TELEPHONE_RATE, telephone_channel
from ser_ray.audio.decode import read_audio
from ser_ray.audio.resample import resample
from ser_ray.corpora.labels import NEGATIVE
from ser_ray.corpora.manifest import labelled
from ser_ray.errors import BadManifest, OutputConflict, UnknownName, UnreadableAudio, UsageError

_Row = dict[str, Any]
_Cast = dict[str, dict[str, list[_Row]]]  # utterances by speaker and emotion

CODECS = {  # what libsndfile calls them
    "mulaw": ("WAV", "ULAW"),
    "alaw": ("WAV", "ALAW"),
    "pcm16": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
LAYOUTS = ("stereo", "mono", "dual_mono")
LEGS = ("agent", "customer")
LINGER = 0.75  # chance that the next utterance of a leg keeps the mood
COMPOSED, COMPOSED_SHARE = frozenset({"neutral", "calm"}), 0.9  # of an agent's moods
LINE_NOISE_DB = -66.0  # comfort noise of an idle line, dB below full scale
AGC_DB = (-12.0, 8.0)  # how far one utterance may lie from the leg's level: telephones control their gain
LONGEST_S = 30.0  # of one utterance in a call
TRUTH = ("call", "leg", "start_s", "end_s", "emotion", "speaker", "utterance")


@dataclass(frozen=True)
class SimulateOptions:
    """The archive wanted; `UsageError` says which value cannot be.

    At 8000 Hz with a G.711 codec, speech passes the telephone channel.
    """

    calls: int = 20
    seconds: float = 60.0  # mean length of a call; each differs by up to 15 %
    rate: int = 8000  # Hz
    codec: str = "mulaw"  # of `CODECS`
    layout: str = "stereo"  # agent left, customer right; "mono": both mixed; "dual_mono": the mix twice
    noise_db: float | None = None  # speech-to-noise ratio of each leg, dB; None: a quiet line
    negative: float = 0.35  # share of the customers' moods that are negative
    damaged: int = 0  # calls to damage, by each of `DAMAGES` in turn
    seed: int = 0

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise UnknownName("codec", self.codec, CODECS)
        if self.layout not in LAYOUTS:
            raise UnknownName("layout", self.layout, LAYOUTS)
        if self.calls < 1 or self.seconds <= 0 or not 8000 <= self.rate <= 48000:
            raise UsageError("simulate needs at least one call, of more than 0 s, at 8000 to 48000 Hz.")
        if not 0 <= self.damaged <= self.calls or not 0 <= self.negative <= 1:
            raise UsageError("damaged lies between 0 and the number of calls, negative between 0 and 1.")


def simulate(manifest: pa.Table, folder: str, options: SimulateOptions) -> pa.Table:
    """Write `call-0001.wav`, ..., `truth.parquet` and `damaged.parquet` into `folder`.

    One seed is one set of conversations, whatever the codec, the layout and the noise. A simulated archive
    that was there is replaced. Memory holds a few utterances of a call, and of a damaged one the whole.

    Args:
        manifest: labelled utterances of at least two speakers.
        folder: local or remote.
        options: the archive wanted.

    Returns:
        The truth, one row for each utterance of each call that is not damaged, in order of time.

    Raises:
        BadManifest: fewer than two speakers or emotions, or an utterance that cannot be read.
        OutputConflict: the folder holds something else than a simulated archive.
    """
    cast = _cast(manifest)
    _check_vacant(folder)
    chosen = np.random.default_rng(options.seed).choice(options.calls, options.damaged, replace=False)
    damages = dict(zip(chosen.tolist(), cycle(DAMAGES), strict=False))
    truth, damaged = [], []
    with storage.new_directory(folder) as local:
        for number in range(options.calls):
            rng = np.random.default_rng([options.seed, number])
            path = local / f"call-{number + 1:04d}.{CODECS[options.codec][0].lower()}"
            spoken = [{"call": path.name, **row} for row in _write_call(path, cast, options, rng)]
            if number in damages:
                status = damage(str(path), damages[number])
                damaged.append({"call": path.name, "damage": damages[number], "status": status})
            else:
                truth += spoken
        storage.write_parquet(str(local / "damaged.parquet"), _table(damaged, ("call", "damage", "status")))
        storage.write_parquet(str(local / "truth.parquet"), _table(truth, TRUTH))
    return _table(truth, TRUTH)


def _check_vacant(folder: str) -> None:
    path = storage.local_path(folder)
    empty = path.is_dir() and not any(path.iterdir())
    if storage.exists(folder) and not empty and not storage.exists(storage.join(folder, "truth.parquet")):
        raise OutputConflict(f"{folder} holds something else. Choose a new folder for the calls.")


def _table(rows: list[_Row], columns: tuple[str, ...]) -> pa.Table:
    types = [(name, pa.float64() if name.endswith("_s") else pa.string()) for name in columns]
    return pa.Table.from_pylist(rows, pa.schema(types))


@dataclass(frozen=True)
class _Leg:
    """One side of a call: who speaks, in which moods, how loud."""

    utterances: dict[str, list[_Row]]  # by emotion
    favoured: frozenset[str]
    share: float  # of the favoured among the moods
    own_db: float  # RMS of the speaker's utterances, dB below full scale
    level_db: float  # what the call makes of it
    noise: float  # RMS, linear

    def next_mood(self, mood: str | None, rng: np.random.Generator) -> str:
        """The mood of the next utterance: often the last one's."""
        if mood is not None and rng.random() < LINGER:
            return mood
        favoured = [emotion for emotion in self.utterances if emotion in self.favoured]
        others = [emotion for emotion in self.utterances if emotion not in self.favoured]
        return str(rng.choice((favoured if rng.random() < self.share else others) or favoured or others))


class _Tape:
    """A call's file, written as far as no later utterance can reach back."""

    def __init__(self, file: sf.SoundFile, layout: str, noise: list[float], rng: np.random.Generator) -> None:
        self.file, self.layout, self.noise, self.rng = file, layout, noise, rng
        self.written = 0  # samples
        self.waiting = np.zeros((0, 2), np.float32)  # [samples, legs]

    def lay(self, wave: np.ndarray, leg: int, start: int) -> None:
        """Add `wave` to a leg; later ones start at `start` or after."""
        self.write_until(start)
        self.waiting = np.pad(self.waiting, ((0, max(0, len(wave) - len(self.waiting))), (0, 0)))
        self.waiting[: len(wave), leg] += wave

    def write_until(self, end: int) -> None:
        """Write what lies before sample `end`, with the noise of the line."""
        size = end - self.written
        block = np.pad(self.waiting[:size], ((0, max(0, size - len(self.waiting))), (0, 0)))
        block += self.rng.normal(0.0, self.noise, block.shape).astype(np.float32)
        if self.layout != "stereo":
            block = np.repeat(block.sum(axis=1, keepdims=True), self.file.channels, axis=1)
        self.file.write(np.clip(block, -1.0, 1.0))
        self.waiting, self.written = self.waiting[size:], end


def _cast(manifest: pa.Table) -> _Cast:
    """Utterances by speaker and emotion."""
    cast: _Cast = {}
    for row in labelled(manifest, "simulate").to_pylist():
        if row["speaker"] is not None:
            cast.setdefault(row["speaker"], {}).setdefault(row["emotion"], []).append(row)
    if len(cast) < 2:
        raise BadManifest(f"a call needs two speakers; the labelled utterances name {len(cast)}.")
    return cast


def _write_call(path: Path, cast: _Cast, options: SimulateOptions, rng: np.random.Generator) -> list[_Row]:
    """Write one call; its rows of the truth, without the call's name."""
    speakers = [str(speaker) for speaker in rng.choice(sorted(cast), 2, replace=False)]
    legs = [_leg(name, cast[speaker], options, rng) for name, speaker in zip(LEGS, speakers, strict=True)]
    length = options.seconds * rng.uniform(0.85, 1.15)
    rows: list[_Row] = []
    moods: list[str | None] = [None, None]
    ends = [0.0, 0.0]
    form, channels = CODECS[options.codec], 1 if options.layout == "mono" else 2
    with sf.SoundFile(path, "w", options.rate, channels, form[1], format=form[0]) as file:
        tape = _Tape(file, options.layout, [leg.noise for leg in legs], rng.spawn(1)[0])
        turn, at = 0, rng.uniform(0.3, 1.5)
        while at < length:
            mood = moods[turn] = legs[turn].next_mood(moods[turn], rng)
            row = legs[turn].utterances[mood][rng.integers(len(legs[turn].utterances[mood]))]
            wave = _speak(row, legs[turn], options)
            start = round(at * options.rate)
            tape.lay(wave, turn, start)
            ends[turn] = (start + len(wave)) / options.rate
            rows.append({"leg": LEGS[turn], "start_s": start / options.rate, "end_s": ends[turn]})
            rows[-1] |= {"emotion": mood, "speaker": speakers[turn], "utterance": row["id"]}
            pause = rng.uniform(0.3, 2.0)
            if rng.random() < 0.7:  # the other one's turn, now and then before this one has ended
                turn = 1 - turn
                pause = -rng.uniform(0.0, 0.3) if rng.random() < 0.15 else pause
            at = max(at, ends[turn], rows[-1]["end_s"] + pause)
        tape.write_until(round(max(length, *ends) * options.rate))
    return rows


def _leg(name: str, said: dict[str, list[_Row]], options: SimulateOptions, rng: np.random.Generator) -> _Leg:
    """One side, brought to a drawn level; louder and softer moods stay so."""
    level_db = rng.uniform(-30.0, -22.0)
    own_db = np.mean([_rms_db(_read(rows[rng.integers(len(rows))], options)) for rows in said.values()])
    noise_db = LINE_NOISE_DB if options.noise_db is None else level_db - options.noise_db
    favoured, share = (COMPOSED, COMPOSED_SHARE) if name == "agent" else (NEGATIVE, options.negative)
    return _Leg(said, favoured, share, float(own_db), level_db, 10 ** (noise_db / 20))


def _speak(row: _Row, leg: _Leg, options: SimulateOptions) -> np.ndarray:
    """An utterance [samples] at the level it has in the call."""
    wave = _read(row, options)
    louder_db = np.clip(_rms_db(wave) - leg.own_db, *AGC_DB)
    return wave * np.float32(10 ** ((leg.level_db + louder_db - _rms_db(wave)) / 20))


def _read(row: _Row, options: SimulateOptions) -> np.ndarray:
    """An utterance, cut to where it comes within 26 dB of its loudest 20 ms, as the line lets it through."""
    try:
        wave, rate = read_audio(row["uri"], None, row["start_s"], row["end_s"], row["channel"])
    except UnreadableAudio as error:
        raise BadManifest(f"utterance {row['id']} cannot be read: {error} Or take it out.") from error
    wave, hop = wave[: round(LONGEST_S * rate)], rate // 50
    power = np.square(np.pad(wave, (0, -len(wave) % hop))).reshape(-1, hop).mean(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10**-2.6)
    wave = wave[loud[0] * hop : (loud[-1] + 1) * hop]
    if options.rate != TELEPHONE_RATE or options.codec not in ("mulaw", "alaw"):
        return resample(wave, rate, options.rate)
    gain = np.float32(10 ** ((-26.0 - _rms_db(wave)) / 20))  # the usual level of speech on a line
    return telephone_channel(wave * gain, rate, options.codec) / gain


def _rms_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(wave)) + 1e-10))


def damage(uri: str, name: str) -> str:
    """Spoil a call file in place by one of `DAMAGES`; the status that scoring should give it.

    Raises:
        UnknownName: no such damage.
    """
    if name not in DAMAGES:
        raise UnknownName("damage", name, DAMAGES)
    samples, rate = sf.read(io.BytesIO(storage.read_bytes(uri)), dtype="int16")
    storage.write_bytes(uri, DAMAGES[name][0](_encode(samples, rate, "WAV")))
    return DAMAGES[name][1]


def _encode(samples: np.ndarray, rate: int, container: str) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, "PCM_16", format=container)
    return buffer.getvalue()


def _put(wav: bytes, at: int, number: int) -> bytes:
    """`wav` with 32 bits of its 44-byte header replaced."""
    return wav[:at] + struct.pack("<I", number) + wav[at + 4 :]


def _not_a_number(wav: bytes) -> bytes:
    rate, samples = wavfile.read(io.BytesIO(wav))
    spoilt, buffer = samples / np.float32(32768), io.BytesIO()
    spoilt[len(spoilt) // 2] = np.nan
    wavfile.write(buffer, rate, spoilt)
    return buffer.getvalue()


def _corrupt_flac(wav: bytes) -> bytes:
    rate, samples = wavfile.read(io.BytesIO(wav))
    flac = np.frombuffer(_encode(samples, rate, "FLAC"), np.uint8).copy()
    flac[len(flac) // 3 : len(flac) // 2] ^= 0xFF
    return flac.tobytes()


# What each does to a WAV file, and the status that scoring should give it.
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda wav: wav[: len(wav) // 2], "error"),
    "empty": (lambda wav: b"", "error"),
    "silent": (lambda wav: wav[:44] + bytes(len(wav) - 44), "no_speech"),
    "not_audio": (lambda wav: b"The recorder was switched off.\n" * 200, "error"),
    "random_bytes": (lambda wav: np.random.default_rng(0).bytes(len(wav)), "error"),
    "header_only": (lambda wav: _put(_put(wav[:44], 4, 36), 40, 0), "error"),
    "lying_header": (lambda wav: _put(_put(wav, 4, 0x7FFF0024), 40, 0x7FFF0000), "error"),
    "rate_1_hz": (lambda wav: _put(wav, 24, 1), "error"),
    "rate_4_ghz": (lambda wav: _put(wav, 24, 4_000_000_000), "error"),
    "nan_samples": (_not_a_number, "error"),
    "unsupported": (lambda wav: b"#!AMR\n" + np.random.default_rng(0).bytes(2000), "error"),
    "corrupt_flac": (_corrupt_flac, "error"),
}
