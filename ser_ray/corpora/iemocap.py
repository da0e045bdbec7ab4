"""IEMOCAP (Busso et al. 2008): American English, 10 actors in 5 dyadic sessions.

10,039 utterances of improvised and of scripted dialogues. Three evaluators or more labelled each; the
summary line in the EmoEvaluation file of its dialogue has the label that most of them gave, `xxx` where
none had a majority. That label is the one read here; the lines of the single evaluators are not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.corpora.adapter import (
    AUDIO,
    Adapter,
    IndexOptions,
    apply_labels,
    nothing_found,
    refuse_copies,
)
from ser_ray.corpora.labels import DROP, check_targets
from ser_ray.corpora.manifest import from_rows
from ser_ray.errors import BadManifest
from ser_ray.storage import FileInfo

EXPECTS = (
    "the full release, folders Session1 to Session5, in each the labels dialog/EmoEvaluation/*.txt "
    "and the audio sentences/wav/*/*.wav, such as Ses01F_impro01/Ses01F_impro01_F000.wav"
)
FOUR = {"ang": "anger", "hap": "happiness", "neu": "neutral", "sad": "sadness"}
FOUR_MERGED = {**FOUR, "exc": "happiness"}
SIX = {**FOUR, "exc": "excitement", "fru": "frustration"}
ALL = {**SIX, "dis": "disgust", "fea": "fear", "sur": "surprise"}
CODES = {*ALL, "oth", "xxx"}
EVALUATION, WAVES = "dialog/EmoEvaluation", "sentences/wav"


@dataclass(frozen=True)
class Selection:
    """Utterances that the literature uses: the meaning of each label kept, and the kinds of dialogue."""

    emotions: Mapping[str, str]
    kinds: Collection[str]
    says: str


BOTH = ("impro", "script")
MERGED = "anger, happiness (with excitement), neutral, sadness"
SELECTIONS = {
    "4class": Selection(FOUR_MERGED, BOTH, f"{MERGED}: 5,531 utterances"),
    "4class_improvised": Selection(FOUR_MERGED, ("impro",), "4class, improvised dialogues only: 2,943"),
    "4class_scripted": Selection(FOUR_MERGED, ("script",), "4class, scripted dialogues only: 2,588"),
    "4class_no_excitement": Selection(FOUR, BOTH, "4class, without excitement: 4,490"),
    "4class_no_excitement_improvised": Selection(
        FOUR, ("impro",), "the same, improvised dialogues only: 2,280"
    ),
    "6class": Selection(SIX, BOTH, "4class, excitement on its own, and frustration: 7,380"),
    "all": Selection(ALL, BOTH, "every label of a majority, without xxx and oth: 7,529"),
}
# Ses01F says that the woman of session 1 wears the markers; who speaks comes last.
NAME = r"(Ses\d\d)[FM]_(impro|script)\w*_([FM])\w{3}"
_SUMMARY = re.compile(rf"\[[\d. -]+\]\s+({NAME})\s+(\w+)\s+\[")
_TURN = re.compile(rf"({NAME})\s+\[[\d. -]+\]:(.*)")


@dataclass(frozen=True)
class Label:
    """What a summary line says of an utterance: session `Ses01`, kind of dialogue, F or M, label."""

    session: str
    kind: str
    sex: str
    raw: str


def _index(root: str, options: IndexOptions) -> pa.Table:
    check_targets(options.labels)
    root = storage.require(root, "iemocap folder")
    files = list(storage.list_files(root, (".txt", *AUDIO)))
    sounds = [file for file in files if file.path.lower().endswith(AUDIO)]
    labels = _read_labels(files, root, options)
    if not labels:
        raise nothing_found(root, "iemocap label", EXPECTS, sounds)
    audio = _utterances(sounds, root)
    _refuse(audio.keys() - labels.keys(), f"of {len(audio)} utterances in {root} have no label", EVALUATION)
    selection = SELECTIONS[options.variant or "4class"]
    chosen = {name: label for name, label in sorted(labels.items()) if label.kind in selection.kinds}
    texts = _read_texts(files)
    rows = [_row(name, label, selection, texts.get(name)) for name, label in chosen.items()]
    rows = apply_labels(rows, options, root)
    names = [storage.name(row["id"]) for row in rows]
    silent = [name for name in names if name not in audio]
    _refuse(silent, f"of {len(rows)} labelled utterances in {root} have no audio", WAVES)
    return from_rows({**row, "uri": audio[name].uri} for name, row in zip(names, rows, strict=True))


def _row(name: str, label: Label, selection: Selection, text: str | None) -> dict[str, Any]:
    return {
        "id": f"iemocap/{name}",
        "corpus": "iemocap",
        "speaker": f"iemocap-{label.session}{label.sex}",
        "emotion": selection.emotions.get(label.raw, DROP),
        "raw_label": label.raw,
        "language": "en",
        "gender": "female" if label.sex == "F" else "male",
        "session": label.session,
        "text_id": text,
    }


def _refuse(names: Collection[str], what: str, folder: str) -> None:
    if names:
        sessions = ", ".join(sorted({f"Session{int(name[3:5])}" for name in names}))
        raise BadManifest(
            f"{len(names)} {what}, such as {', '.join(sorted(names)[:3])}. "
            f"Unpack {folder} of {sessions} again."
        )


def _utterances(sounds: Sequence[FileInfo], root: str) -> dict[str, FileInfo]:
    """Audio file of each utterance; those of whole dialogues have other names."""
    places: dict[str, list[FileInfo]] = {}
    for file in sounds:
        stem = storage.name(file.path).rsplit(".", 1)[0]
        if re.fullmatch(NAME, stem):
            places.setdefault(stem, []).append(file)
    refuse_copies(root, places)
    return {name: files[0] for name, files in places.items()}


def _read_labels(files: Sequence[FileInfo], root: str, options: IndexOptions) -> dict[str, Label]:
    """Label of each utterance, from the summary lines of all dialogues."""
    labels: dict[str, Label] = {}
    places: dict[str, list[FileInfo]] = {}
    for file, line in _lines(files, "EmoEvaluation"):
        if match := _SUMMARY.match(line):
            name, *said = match.groups()
            labels[name] = Label(*said)
            places.setdefault(name, []).append(file)
    refuse_copies(root, places)
    unknown = sorted({label.raw for label in labels.values()} - CODES - options.labels.keys())
    if unknown:
        raise BadManifest(
            f"labels that IEMOCAP does not have in {root}: {', '.join(unknown)}. "
            f"Say what each means with --label {unknown[0]}=EMOTION, or drop it with =-."
        )
    return labels


def _read_texts(files: Sequence[FileInfo]) -> dict[str, str]:
    """The words of each utterance, where transcriptions lie beside: both actors read each script twice."""
    texts = {}
    for _, line in _lines(files, "transcriptions"):
        if match := _TURN.match(line):
            said = match[match.lastindex or 0].lower()
            words = re.sub(r"\[.*?\]", " ", said)  # [LAUGHTER], [BREATHING]
            texts[match[1]] = " ".join(re.findall(r"[a-z0-9']+", words) or re.findall(r"[a-z]+", said))
    return {name: text for name, text in texts.items() if text}


def _lines(files: Sequence[FileInfo], folder: str) -> Iterator[tuple[FileInfo, str]]:
    """The lines of all dialogue files that lie directly in a folder of that name."""
    for file in files:
        if re.search(rf"/{folder}/Ses[^/]*\.txt$", file.uri):
            # Names and labels are ASCII; remarks may be in any encoding, and Latin-1 reads them all.
            yield from ((file, line) for line in storage.read_bytes(file.uri).decode("latin-1").split("\n"))


VARIANTS = {name: selection.says for name, selection in SELECTIONS.items()}
ADAPTER = Adapter("iemocap", EXPECTS, _index, VARIANTS)
