"""Speed and memory against a baseline in the same run, by a YAML (the job `benchmark`) or by options.

python jobs/benchmark.py CONFIG.yaml
python jobs/benchmark.py features manifest.parquet [--files 200] [--repeats 3]
python jobs/benchmark.py is10 manifest.parquet [--files 200] [--repeats 3]
python jobs/benchmark.py extract manifest.parquet [--feature mfcc_stats] [--hours 10] [--repeats 3]
python jobs/benchmark.py train manifest.parquet --store STORE [--family cnn1d] [--epochs 6] [--workers 1]
python jobs/benchmark.py tune manifest.parquet --store STORE [--trials 60]
python jobs/benchmark.py score CALLS -m ENSEMBLE [--peers 4] [--repeats 3]
python jobs/benchmark.py growth CALLS -m ENSEMBLE [--sizes 1,10] [--long 8] [--repeats 3]
python jobs/benchmark.py plan [--objects 1000000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ser_ray.pipelines.benchmark_job import BenchmarkJob
from ser_ray.pipelines.job import run_file, run_job


def main(arguments: list[str]) -> int:
    """Run one benchmark; its figures are printed one a line, and as JSON on the last line."""
    if not arguments or arguments[0].endswith((".yaml", ".yml")):
        return run_file(BenchmarkJob, arguments, _print_figures)
    given = _parser().parse_args(arguments)
    return run_job(lambda: BenchmarkJob.of(**vars(given)), _print_figures)


def _parser() -> argparse.ArgumentParser:
    """Options as those of the job; what is not given is left to it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--address", help="Ray cluster; this machine without it")
    parts = parser.add_subparsers(dest="part", required=True)
    helps = {
        "features": "our features beside librosa's and openSMILE's, one core",
        "is10": "our IS10 beside openSMILE's, numbers and speed, one core",
        "extract": "extraction on Ray beside a plain loop",
        "train": "a network's training beside a plain PyTorch loop",
        "tune": "trials of the svm beside a plain scikit-learn loop",
        "score": "scoring, by stage, beside loops that users would write",
        "growth": "scoring of more and more calls, and of one long call among them",
        "plan": "listing and planning of an inventory beside a plain loop",
    }
    for part, what in helps.items():
        options = parts.add_parser(part, help=what, argument_default=argparse.SUPPRESS)
        if part != "plan":
            options.add_argument("archive" if part in ("score", "growth") else "manifest")
        if part in ("score", "growth"):
            options.add_argument("-m", "--model", dest="ensemble", help="ensemble directory")
        elif part in ("train", "tune"):
            options.add_argument("--store", help="feature store")
        for name in (*BenchmarkJob.takes[part], "repeats"):
            field = BenchmarkJob.model_fields[name]
            options.add_argument(f"--{name}", type=type(field.default), help=f"{field.default} without it")
    return parser


def _print_figures(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        print(f"{name:36s} {_text(value)}")
    print(json.dumps(figures), flush=True)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
