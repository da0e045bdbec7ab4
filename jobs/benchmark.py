"""Speed and memory against a baseline in the same run.

python jobs/benchmark.py features manifest.parquet [--files 200] [--repeats 3]
python jobs/benchmark.py extract manifest.parquet [--feature mfcc_stats] [--hours 10] [--repeats 3]
python jobs/benchmark.py train manifest.parquet --store STORE [--family cnn1d] [--epochs 6] [--workers 1]
python jobs/benchmark.py tune manifest.parquet --store STORE [--trials 60]
python jobs/benchmark.py score CALLS -m ENSEMBLE [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ser_ray.corpora import read_manifest
from ser_ray.errors import SerRayError
from ser_ray.pipelines.benchmark import benchmark_extract, benchmark_features, benchmark_score
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.training_benchmark import benchmark_train
from ser_ray.pipelines.tuning_benchmark import benchmark_tune


def main() -> int:
    """Run one benchmark; its figures are printed one a line, and as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--address", help="Ray cluster; this machine without it")
    verbs = parser.add_subparsers(dest="verb", required=True)
    features = verbs.add_parser("features", help="our features beside librosa's and openSMILE's, one core")
    features.add_argument("manifest")
    features.add_argument("--files", type=int, default=200)
    extract = verbs.add_parser("extract", help="extraction on Ray beside a plain loop")
    extract.add_argument("manifest")
    extract.add_argument("--feature", default="mfcc_stats")
    extract.add_argument("--hours", type=float, default=10.0, help="of audio, by repeating the manifest")
    score = verbs.add_parser("score", help="scoring, by stage")
    score.add_argument("archive")
    score.add_argument("-m", "--model", required=True, help="ensemble directory")
    train = verbs.add_parser("train", help="a network's training beside a plain PyTorch loop")
    train.add_argument("manifest")
    train.add_argument("--store", required=True, help="feature store")
    train.add_argument("--family", default="cnn1d")
    train.add_argument("--epochs", type=int, default=6)
    train.add_argument("--workers", type=int, default=1)
    tune = verbs.add_parser("tune", help="trials of the svm beside a plain scikit-learn loop")
    tune.add_argument("manifest")
    tune.add_argument("--store", required=True, help="feature store")
    tune.add_argument("--trials", type=int, default=60)
    for verb in (features, extract, train, tune, score):
        verb.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    try:
        if given.verb != "features":
            connect(given.address)
        if given.verb == "features":
            figures = benchmark_features(read_manifest(given.manifest), given.files, given.repeats)
        elif given.verb == "extract":
            figures = benchmark_extract(
                read_manifest(given.manifest), given.feature, given.hours, given.repeats
            )
        elif given.verb == "train":
            manifest = read_manifest(given.manifest)
            figures = benchmark_train(
                manifest, given.store, given.family, given.epochs, given.repeats, given.workers
            )
        elif given.verb == "tune":
            manifest = read_manifest(given.manifest)
            figures = benchmark_tune(manifest, given.store, given.trials, given.repeats)
        else:
            figures = benchmark_score(given.archive, given.model, given.repeats)
    except SerRayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, value in figures.items():
        print(f"{name:36s} {_text(value)}")
    print(json.dumps(figures))
    return 0


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
