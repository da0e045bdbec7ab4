"""Checkpoints in the format of transformers: where they lie, and what they are, before they are loaded."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ser_ray import errors, storage
from ser_ray.features.checkpoint import digest
from ser_ray.features.inference import RATE

KINDS = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")  # `model_type` of those that we can run
WEIGHTS = (  # by preference, as transformers has it
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
EXTRACTOR = ("preprocessor_config.json", "processor_config.json")
# What differs between copies of one network and changes no value.
INCIDENTAL = {"transformers_version", "architectures", "dtype", "torch_dtype", "processor_class"}

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Source(NamedTuple):
    """One checkpoint.

    Attributes:
        place: absolute folder, or name on the Hugging Face hub.
        commit: on the hub; empty for a folder.
        folder: where its configuration is on this machine.
    """

    place: str
    commit: str
    folder: str


class Layout(NamedTuple):
    """What a configuration says of the network.

    Attributes:
        kind: one of `KINDS`.
        columns: width of its frames.
        blocks: number of its transformer blocks.
    """

    kind: str
    columns: int
    blocks: int


def locate(checkpoint: str, revision: str) -> Source:
    """Where a checkpoint is; of one on the hub, only the configuration is fetched.

    Args:
        checkpoint: folder, or name on the hub.
        revision: branch, tag or commit on the hub; empty for `main`, or for a folder.

    Raises:
        MissingInput: there is no such folder and no such name that can be reached.
        UsageError: a revision of a folder, or a remote folder.
    """
    if not storage.is_local(checkpoint):
        raise errors.UsageError(
            f"feature ssl cannot read {checkpoint} in place. Copy the folder to each machine, or give a name "
            "on the Hugging Face hub."
        )
    folder = storage.local_path(checkpoint)
    if folder.is_dir():
        if revision:
            raise errors.UsageError(
                f"{folder} is a folder: it has no revision {revision}. Leave the revision out."
            )
        return Source(str(folder.absolute()), "", str(folder.absolute()))
    if folder.exists():
        raise errors.MissingInput(f"{folder} is a file. Give the folder that holds it and its config.json.")
    if not _NAME.fullmatch(checkpoint):
        raise errors.MissingInput(f"checkpoint not found: {checkpoint}. Check the path of the folder.")
    return _on_hub(checkpoint, revision or "main")


def layout(source: Source) -> Layout:
    """Kind and size of a checkpoint, from its configuration alone.

    Raises:
        MissingInput: it has no `config.json`, or not the settings of its input.
        BadModel: they cannot be read, or are of another kind of network.
    """
    path = Path(source.folder) / "config.json"
    if not path.is_file():
        raise errors.MissingInput(
            f"{source.place} has no config.json. Give a folder that transformers saved."
        )
    return _layout(source, digest(str(path)))


def fetch(source: Source) -> None:
    """Bring the weights of a checkpoint on the hub to this machine, unless they are here."""
    if source.commit:
        for name in EXTRACTOR:
            _download(source.place, source.commit, name)
        for name in WEIGHTS:
            path = _download(source.place, source.commit, name)
            if path:
                for shard in _shards(path):
                    _download(source.place, source.commit, shard)
                break


def weight_files(source: Source) -> list[Path]:
    """The files of the weights; raises MissingInput where there is none, or one of several is missing."""
    folder = Path(source.folder)
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    files = [folder / name for name in _shards(found)] or [found] if found else []
    missing = [path.name for path in files if not path.is_file()]
    if not files or missing:
        raise errors.MissingInput(
            f"{source.place} lacks its weights ({', '.join(missing) or 'model.safetensors'}). Copy the whole "
            "checkpoint, or check the connection to the hub."
        )
    return files


def identity(source: Source) -> str:
    """What tells the network from others: hash of settings and weights, or name and commit on the hub."""
    if source.commit:
        return f"{source.place}@{source.commit}"
    settings = [_settings(Path(source.folder) / "config.json"), extractor_settings(source)]
    kept = [{k: v for k, v in part.items() if k not in INCIDENTAL and k[0] != "_"} for part in settings]
    files = [(path.name, digest(str(path))) for path in weight_files(source)]
    return hashlib.sha256(json.dumps([kept, files], sort_keys=True).encode()).hexdigest()


def extractor_settings(source: Source) -> dict[str, Any]:
    """How the waves are prepared for the network; raises MissingInput where no file says so."""
    for name in EXTRACTOR:
        path = Path(source.folder) / name
        if path.is_file() or (source.commit and _download(source.place, source.commit, name)):
            settings = _settings(path)
            found = settings if name == EXTRACTOR[0] else settings.get("feature_extractor")
            if isinstance(found, dict):
                return found
    raise errors.MissingInput(
        f"{source.place} has no {EXTRACTOR[0]}, which says how waves are normalised. Copy it from where the "
        "checkpoint was published."
    )


@lru_cache(maxsize=16)
def _layout(source: Source, digest_of_config: str) -> Layout:
    settings = _settings(Path(source.folder) / "config.json")
    kind = str(settings.get("model_type"))
    if kind not in KINDS:
        raise errors.BadModel(f"{source.place} is of type {kind}. Give one of type {', '.join(KINDS)}.")
    if settings.get("transformers_weights"):
        raise errors.BadModel(f"{source.place} renames its weights (transformers_weights). Save it again.")
    rate = extractor_settings(source).get("sampling_rate")
    if rate != RATE:
        raise errors.BadModel(f"{source.place} takes waves at {rate} Hz. Give a checkpoint for {RATE} Hz.")
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=False, local_files_only=True)
        return Layout(kind, int(config.hidden_size), int(config.num_hidden_layers))
    except Exception as error:
        raise errors.BadModel(
            f"the config.json of {source.place} is not one of {kind} ({type(error).__name__}). Copy it again."
        ) from error


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.BadModel(f"{path} is not JSON. Copy it again.") from error
    if not isinstance(settings, dict):
        raise errors.BadModel(f"{path} holds no settings. Copy it again.")
    return settings


def _shards(path: Path) -> list[str]:
    """The files that an index names; none for what is no index."""
    if path.suffix != ".json":
        return []
    weight_map = _settings(path).get("weight_map")
    if not isinstance(weight_map, dict):
        raise errors.BadModel(f"{path} names no files. Copy it again.")
    return sorted({Path(str(name)).name for name in weight_map.values()})


@lru_cache(maxsize=16)
def _on_hub(name: str, revision: str) -> Source:
    path = _download(name, revision, "config.json")
    if path is None:
        raise errors.MissingInput(
            f"{name} (revision {revision}) is no folder here, and the Hugging Face hub gives no config.json "
            "of it. Check the path or the name, the connection, and HF_TOKEN where the checkpoint is gated."
        )
    commit = path.parent.name
    if not _COMMIT.fullmatch(commit):
        raise errors.MissingInput(f"the hub does not say which commit {name} is at. Give revision=COMMIT.")
    return Source(name, commit, str(path.parent))


def _download(name: str, revision: str, file: str) -> Path | None:
    """The file in the local cache of the hub, fetched where it is not there; None where there is none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(name, file, revision=revision))
    except EntryNotFoundError:
        return None
    except Exception as error:  # of the network, of the hub, or of its client
        first = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        raise errors.MissingInput(
            f"{name} (revision {revision}) is no folder here, and cannot be had from the Hugging Face hub "
            f"({first}). Check the path or the name, the connection, and HF_TOKEN where it is gated."
        ) from error
