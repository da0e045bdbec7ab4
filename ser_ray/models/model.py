"""A trained model and its directory.

MODEL/model.json     family, settings, features with fingerprints, labels in order, rate, band,
                     calibration, normalisation, metrics, corpora, seed, versions
     /*.safetensors, *.json, *.skops     weights; none executes code when loaded
     /normalisation.safetensors          its statistics, where features are normalised
     /profile.safetensors                where its features lay in training
     /oof.parquet    out-of-fold probabilities of the training utterances, copies left out
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ser_ray import features, storage
from ser_ray.corpora.manifest import EMOTION
from ser_ray.errors import BadModel, SerRayError, UsageError
from ser_ray.features import Feature
from ser_ray.models.calibration import Calibration, read_temperature
from ser_ray.models.family import Classifier, Family
from ser_ray.models.learner import spread
from ser_ray.models.normalisation import read_normaliser, write_normaliser
from ser_ray.models.normaliser import Groups, Normalisation, Normaliser, normalised
from ser_ray.models.profile import Profile, read_profile, write_profile
from ser_ray.models.registry import family

FORMAT = 1


@dataclass(frozen=True)
class OutOfFold:
    """Calibrated probabilities of training utterances by a model that did not hear their speaker.

    Attributes:
        ids: utterances [rows].
        speakers: speaker of each, or None [rows].
        y: index of the true label [rows].
        probabilities: [rows, labels].
    """

    ids: list[str]
    speakers: list[str | None]
    y: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Model:
    """A calibrated classifier with all that is needed to use it on new audio.

    `card` holds what a reader wants to know of its making: corpora, counts, metrics, seed, versions;
    `profile`, where its features lay.
    """

    family: str
    settings: Mapping[str, Any]
    features: tuple[Feature, ...]
    labels: tuple[str, ...]
    classifier: Classifier
    calibration: Calibration
    out_of_fold: OutOfFold
    card: Mapping[str, Any] = field(default_factory=dict)
    normaliser: Normaliser | None = None
    profile: Profile | None = None

    @property
    def rate(self) -> int:
        """Sampling rate of the audio it reads, Hz."""
        return self.features[0].rate

    @property
    def band(self) -> str:
        """`wide` or `telephone`: the audio it learned from."""
        return self.features[0].band

    @property
    def label(self) -> str:
        """The column of the manifest that it learned, `emotion` or `raw_label`."""
        return str(self.card.get("label", EMOTION))

    @property
    def normalisation(self) -> Normalisation | None:
        """What is done to its features first; None: nothing."""
        return self.normaliser.specification if self.normaliser else None

    def predict_proba(self, X: np.ndarray, groups: Groups | None = None) -> np.ndarray:
        """Calibrated probabilities [rows, labels].

        Args:
            X: joined features [rows, columns], not normalised.
            groups: speaker of each row, for a normalisation of scope `speaker`.

        Raises:
            UsageError: the normalisation needs the speakers, and they are not known.
        """
        X = normalised(self.normaliser, X, groups)
        return self.calibration(spread(self.classifier, X, len(self.labels)))


def check_features(family_name: str, chosen: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """`chosen`, if one model can read them together.

    Raises:
        UsageError: bands or rates differ, or a frame sequence meets a family that needs vectors.
    """
    if len({(f.band, f.rate) for f in chosen}) > 1:
        raise UsageError(
            f"features of one model must share rate and band: {', '.join(f.spec for f in chosen)}."
        )
    kind = family(family_name)
    others = [f.spec for f in chosen if len(f.shape) != 1]
    if others and not (kind.deep or kind.frames):
        raise UsageError(
            f"{family_name} reads vectors; {others[0]} gives frames or images. Use mfcc_stats, or a network."
        )
    if kind.frames and chosen:
        _check_frames(kind, chosen)
    return chosen


def check_source(
    kind: Family,
    settings: Mapping[str, Any],
    chosen: tuple[Feature, ...],
    normalisation: Normalisation | None,
) -> None:
    """Refuse to start from a saved model that reads something else.

    Args:
        kind: what is trained.
        settings: all its hyperparameters.
        chosen: the features that it is to read.
        normalisation: of these features.

    Raises:
        UsageError: the features differ, or a normalisation stands before the standardisation.
        MissingInput, BadModel: the saved model is not there, or corrupt.
    """
    source = kind.source(settings) if kind.source else None
    if source is None:
        return
    if [f.fingerprint for f in source.features] != [f.fingerprint for f in chosen]:
        theirs, ours = (", ".join(f.spec for f in each) for each in (source.features, chosen))
        raise UsageError(
            f"{kind.name} is to start from a model that reads {theirs}, and to read {ours} itself. Give it "
            "the same --feature and --band, or train the source anew."
        )
    if normalisation or source.normalisation:
        raise UsageError(
            f"{kind.name} keeps the standardisation of the model that it starts from. Train both without "
            "--normalise."
        )


def _check_frames(kind: Family, chosen: Sequence[Feature]) -> None:
    """Raise UsageError unless features are like the family's own: frames where those are, or vectors."""
    given, own = ([len(f.shape) for f in some] for some in (chosen, map(features.get, kind.features)))
    vectors = len(own) == 1 and set(given) == {1}
    if any(len(f.shape) == 2 and f.shape[0] for f in chosen) or not (vectors or given == own):
        raise UsageError(
            f"{kind.name} does not read {', '.join(f.spec for f in chosen)}. "
            f"Give it features such as {', '.join(kind.features)}."
        )


def save_model(model: Model, uri: str) -> None:
    """Write a model directory, whole or not at all."""
    with storage.new_directory(uri) as folder:
        write_model(model, folder)


def write_model(model: Model, folder: Path) -> None:
    """Write a model's files into an existing local folder."""
    family(model.family).save(model.classifier, folder)
    oof = model.out_of_fold
    table = pa.table(
        {
            "id": pa.array(oof.ids, pa.string()),
            "speaker": pa.array(oof.speakers, pa.string()),
            "emotion": pa.array([model.labels[k] for k in oof.y], pa.string()),
            **{f"p_{label}": oof.probabilities[:, k] for k, label in enumerate(model.labels)},
        }
    )
    pq.write_table(table, folder / "oof.parquet", compression="zstd")
    if model.profile:
        write_profile(model.profile, folder)
    description = {
        "format": FORMAT,
        "family": model.family,
        "settings": dict(model.settings),
        "features": [{"spec": f.spec, "fingerprint": f.fingerprint} for f in model.features],
        "labels": list(model.labels),
        "rate": model.rate,
        "band": model.band,
        "calibration": asdict(model.calibration),
        **({"normalisation": write_normaliser(model.normaliser, folder)} if model.normaliser else {}),
        **model.card,
    }
    storage.write_json(str(folder / "model.json"), description)


def load_model(uri: str) -> Model:
    """Read a model directory. No code in it is executed.

    Raises:
        MissingInput: there is nothing at `uri`.
        BadModel: files are missing or corrupt, a type is not trusted, or a feature has changed since.
    """
    uri = storage.require(uri, "model")
    with storage.local_copy(uri) as folder:
        return read_model(folder)


def read_model(folder: Path) -> Model:
    """Read a model from a local folder; see `load_model`."""
    try:
        description = json.loads((folder / "model.json").read_bytes())
        check_format(description["format"], folder)
        labels = tuple(description["labels"])
        known = (
            "format", "family", "settings", "features", "labels", "rate", "band", "calibration",
            "normalisation",
        )  # fmt: skip
        chosen = tuple(_feature(f["spec"], f["fingerprint"]) for f in description["features"])
        columns = sum(len(f.names) for f in chosen)
        model = Model(
            family=description["family"],
            settings=dict(description["settings"]),
            features=chosen,
            labels=labels,
            classifier=family(description["family"]).load(folder),
            calibration=read_temperature(description["calibration"]),
            out_of_fold=_read_out_of_fold(folder, labels),
            card={k: v for k, v in description.items() if k not in known},
            normaliser=read_normaliser(description.get("normalisation"), folder, columns),
            profile=read_profile(folder, len(labels), columns),
        )
        check_features(model.family, model.features)
        classes = set(np.asarray(model.classifier.classes_).tolist())
        if not (labels and model.features and classes and classes <= set(range(len(labels)))):
            raise BadModel(f"the weights in {folder} are not those of its model.json. Train the model again.")
        return model
    except SerRayError:
        raise
    except FileNotFoundError as error:
        raise BadModel(f"not a model directory, a file is missing in {folder}: {error}.") from error
    except Exception as error:  # whatever a corrupt file makes a parser raise
        raise BadModel(f"the model in {folder} is corrupt: {first_line(error)}. Train it again.") from error


def check_format(found: Any, folder: Path) -> None:
    """Raise `BadModel` where a directory is of another format than ours."""
    if found != FORMAT:
        raise BadModel(f"{folder} has format {found!r}; this version reads {FORMAT}.")


def first_line(error: Exception) -> str:
    """Kind and first line of what a parser says, which may be a page."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0].rstrip('.')}"


def directory_fingerprint(folder: Path) -> str:
    """Hash of all files below a folder, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _feature(spec: str, fingerprint: str) -> Feature:
    feature = features.get(spec)
    if feature.fingerprint != fingerprint:
        raise BadModel(
            f"the model learned from {spec} of another version of the code or of other weights "
            f"({fingerprint}, here {feature.fingerprint}). Train it again, or use the version "
            "named in its model.json."
        )
    return feature


def _read_out_of_fold(folder: Path, labels: tuple[str, ...]) -> OutOfFold:
    table = pq.read_table(folder / "oof.parquet")
    index = {label: k for k, label in enumerate(labels)}
    return OutOfFold(
        ids=table["id"].to_pylist(),
        speakers=table["speaker"].to_pylist(),
        y=np.array([index[e] for e in table["emotion"].to_pylist()], dtype=np.int64),
        probabilities=np.column_stack([table[f"p_{label}"].to_numpy() for label in labels]),
    )
