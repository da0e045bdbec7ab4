"""Call archives made of labelled utterances, so that who says what, when and in which emotion is known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile as sf

from ser_ray import storage
from ser_ray.audio.band import TELEPHONE_RATE, telephone_channel
from ser_ray.audio.decode import read_audio
from ser_ray.audio.resample import resample
from ser_ray.corpora.damage import DAMAGES, damage
from ser_ray.corpora.labels import NEGATIVE
from ser_ray.corpora.manifest import labelled
from ser_ray.corpora.tape import Line, Tape
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
CUSTOMER = 1
LINGER = 0.75  # chance that the next utterance of a leg keeps the mood
COMPOSED, COMPOSED_SHARE = frozenset({"neutral", "calm"}), 0.9  # of an agent's moods
LINE_NOISE_DB = -66.0  # comfort noise of an idle line, dB below full scale
AGC_DB = (-12.0, 8.0)  # how far one utterance may lie from the leg's level: telephones control their gain
LONGEST_S = 30.0  # of one utterance in a call
ANGER = "anger"
ANGRY_TURNS = (2, 5)  # of a customer who loses his temper: from, to below
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
    packet_loss: float = 0.0  # share of the packets that are lost; see `corpora.tape`
    level_db: float = 0.0  # by which the recordings are louder
    level_jump_db: float = 0.0  # the farthest that the level of a leg jumps up or down within a call
    anger: float | None = None  # share of the calls with an angry stretch of the customer; no anger elsewhere
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
        if not 0 <= self.packet_loss <= 0.5 or not 0 <= (self.anger or 0) <= 1:
            raise UsageError("packet_loss lies between 0 and 0.5, anger between 0 and 1.")
        if not -60 <= self.level_db <= 60 or not 0 <= self.level_jump_db <= 60:
            raise UsageError("level_db lies between -60 and 60 dB, level_jump_db between 0 and 60 dB.")


def simulate(manifest: pa.Table, folder: str, options: SimulateOptions) -> pa.Table:
    """Write `call-0001.wav`, ..., `truth.parquet` and `damaged.parquet` into `folder`.

    One seed is one set of conversations, whatever the codec, the layout and the line. A simulated archive
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
    cast = _cast(manifest, options.anger is not None)
    _check_vacant(folder)
    angry = _angry_calls(options)
    chosen = np.random.default_rng(options.seed).choice(options.calls, options.damaged, replace=False)
    damages = dict(zip(chosen.tolist(), cycle(DAMAGES), strict=False))
    truth, damaged = [], []
    with storage.new_directory(folder) as local:
        for number in range(options.calls):
            rng = np.random.default_rng([options.seed, number])
            path = local / f"call-{number + 1:04d}.{CODECS[options.codec][0].lower()}"
            turns = _write_call(path, cast, options, rng, number in angry)
            spoken = [{"call": path.name, **turn} for turn in turns]
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
    angry: list[_Row]  # utterances that wait for the angry stretch; none where anger is a mood like others

    def next_mood(self, mood: str | None, rng: np.random.Generator) -> str:
        """The mood of the next utterance: often the last one's."""
        if mood is not None and rng.random() < LINGER:
            return mood
        favoured = [emotion for emotion in self.utterances if emotion in self.favoured]
        others = [emotion for emotion in self.utterances if emotion not in self.favoured]
        return str(rng.choice((favoured if rng.random() < self.share else others) or favoured or others))


def _angry_calls(options: SimulateOptions) -> set[int]:
    """Numbers of the calls with an angry stretch."""
    rng = np.random.default_rng([options.seed, options.calls])
    return set(rng.choice(options.calls, round((options.anger or 0) * options.calls), replace=False).tolist())


def _cast(manifest: pa.Table, angry: bool) -> _Cast:
    """Utterances by speaker and emotion; if wanted, of speakers alone who can be angry and otherwise."""
    cast: _Cast = {}
    for row in labelled(manifest, "simulate").to_pylist():
        if row["speaker"] is not None:
            cast.setdefault(row["speaker"], {}).setdefault(row["emotion"], []).append(row)
    if angry:
        cast = {name: said for name, said in cast.items() if ANGER in said and len(said) > 1}
    if len(cast) < 2:
        whose = " of speakers with anger and another emotion" if angry else ""
        raise BadManifest(f"a call needs two speakers; the labelled utterances{whose} name {len(cast)}.")
    return cast


def _write_call(
    path: Path, cast: _Cast, options: SimulateOptions, rng: np.random.Generator, angry: bool
) -> list[_Row]:
    """Write one call; its rows of the truth, without the call's name."""
    speakers = [str(speaker) for speaker in rng.choice(sorted(cast), 2, replace=False)]
    legs = [_leg(name, cast[speaker], options, rng) for name, speaker in zip(LEGS, speakers, strict=True)]
    length = options.seconds * rng.uniform(0.85, 1.15)
    rows: list[_Row] = []
    moods: list[str | None] = [None, None]
    ends = [0.0, 0.0]
    form, channels = CODECS[options.codec], 1 if options.layout == "mono" else 2
    with sf.SoundFile(path, "w", options.rate, channels, form[1], format=form[0]) as file:
        line = Line([leg.noise for leg in legs], options.level_db, options.level_jump_db, options.packet_loss)
        of_tape, of_anger = rng.spawn(2)
        tape = Tape(file, options.layout != "stereo", line, of_tape)
        left, temper = int(of_anger.integers(*ANGRY_TURNS)) * angry, length * of_anger.uniform(0.1, 0.5)
        turn, at = 0, rng.uniform(0.3, 1.5)
        while at < length or left:
            mood = moods[turn] = legs[turn].next_mood(moods[turn], rng)
            said = legs[turn].utterances[mood]
            if left and turn == CUSTOMER and at >= temper:
                mood, said, left = ANGER, legs[turn].angry, left - 1
            row = said[rng.integers(len(said))]
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
        tape.end_at(round(max(length, *ends) * options.rate))
    return rows


def _leg(name: str, said: dict[str, list[_Row]], options: SimulateOptions, rng: np.random.Generator) -> _Leg:
    """One side, brought to a drawn level; louder and softer moods stay so."""
    level_db = rng.uniform(-30.0, -22.0)
    own_db = np.mean([_rms_db(_read(rows[rng.integers(len(rows))], options)) for rows in said.values()])
    noise_db = LINE_NOISE_DB if options.noise_db is None else level_db - options.noise_db
    angry = said[ANGER] if options.anger is not None else []
    moods = {mood: rows for mood, rows in said.items() if not angry or mood != ANGER}
    favoured, share = (COMPOSED, COMPOSED_SHARE) if name == "agent" else (NEGATIVE, options.negative)
    return _Leg(moods, favoured, share, float(own_db), level_db, 10 ** (noise_db / 20), angry)


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
