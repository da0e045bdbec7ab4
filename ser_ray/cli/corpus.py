"""Verbs about labelled speech: index, audit, augment, simulate."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from ser_ray.cli.options import Folds, Json, Manifest, Seed, app, console, listing, pairs, print_json
from ser_ray.errors import BadManifest


def _corpora() -> dict[str, str]:
    from ser_ray.corpora import CORPORA

    variants = {
        c.name: "".join(f"\n    --variant {n}: {w}" for n, w in c.variants.items()) for c in CORPORA.values()
    }
    return {c.name: c.expects + variants[c.name] for c in CORPORA.values()}


def _augmentations() -> dict[str, str]:
    from ser_ray.audio.augmentation import AUGMENTATIONS
    from ser_ray.parameters import describe

    return describe(AUGMENTATIONS)


@app.command(epilog="Example: ser-ray index emodb ~/corpora/emodb -o emodb.parquet")
def index(
    corpus: Annotated[
        str, typer.Argument(help="Its name, such as emodb (--list tells all), or csv for a table.")
    ],
    root: Annotated[str, typer.Argument(help="The corpus's folder; for csv the CSV or Parquet file.")],
    out: Annotated[str, typer.Option("--output", "-o", help="Manifest to write.")],
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="csv, kesdy18: our column=yours, such as speaker=who.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="Your label=emotion; label=- leaves it out.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="A published selection, such as 4class or all of iemocap.")
    ] = None,
    known: Annotated[  # it prints and leaves before anything else is looked at
        bool,
        typer.Option("--list", callback=listing(_corpora), is_eager=True, help="Tell all corpora and leave."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Read a labelled corpus into a manifest."""
    from ser_ray import corpora

    options = corpora.IndexOptions(pairs("--map", columns), pairs("--label", labels), variant)
    table = corpora.index(corpus, root, options)
    corpora.write_manifest(table, out)
    emotions = Counter(emotion or "unlabelled" for emotion in table["emotion"].to_pylist())
    classes = Counter(table["raw_label"].to_pylist()) if set(emotions) == {"unlabelled"} else Counter()
    speakers = len(set(table["speaker"].to_pylist()) - {None})
    summary = {"manifest": out, "utterances": len(table), "speakers": speakers, "emotions": dict(emotions)}
    if as_json:
        return print_json({**summary, **({"classes": dict(classes)} if classes else {})})
    console.print(f"{len(table)} utterances of {speakers} speakers -> {out}")
    console.print(", ".join(f"{name} {n}" for name, n in (classes or emotions).most_common()))
    return None


@app.command(epilog="Example: ser-ray audit ravdess.parquet --protocol random70")
def audit(
    manifest: Manifest,
    protocol: Annotated[
        str | None,
        typer.Option(help="As for evaluate; without it, all that can divide the corpus."),
    ] = None,
    folds: Folds = 5,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say what leaks under a protocol: speakers, sentences, twins, identical audio."""
    from ser_ray.corpora import read_manifest
    from ser_ray.corpora.audit import audio_hashes
    from ser_ray.corpora.audit import audit as look
    from ser_ray.corpora.manifest import labelled
    from ser_ray.corpora.splits import PROTOCOLS, check_protocol, split
    from ser_ray.reports.audits import print_audits

    if protocol:
        check_protocol(protocol)
    table = labelled(read_manifest(manifest), "an audit")
    sounds = audio_hashes(table)
    found, refused = [], {}
    for name in [protocol] if protocol else PROTOCOLS:
        try:
            found.append(look(table, split(name, table, seed, folds), name, sounds))
        except BadManifest as error:
            if protocol:
                raise
            refused[name] = str(error)
    if as_json:
        return print_json({"audits": [each.to_dict() for each in found], "not_possible": refused})
    print_audits(console, found, refused)
    return None


@app.command(epilog="Example: ser-ray augment emodb.parquet -o more.parquet -a 'speed(factor=.9) + noise'")
def augment(
    manifest: Manifest,
    out: Annotated[str, typer.Option("--output", "-o", help="Manifest to write, copies included.")],
    augmentation: Annotated[
        list[str],
        typer.Option(
            "--augmentation", "-a", help="speed, pitch, noise, reverb, telephone, gain; several joined by +."
        ),
    ],
    copies: Annotated[int, typer.Option(min=1, help="Copies of each utterance by each augmentation.")] = 1,
    seed: Seed = 0,
    known: Annotated[
        bool,
        typer.Option("--list", callback=listing(_augmentations), is_eager=True, help="Tell all and leave."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Add augmented copies to a manifest: they train where their source trains, and are never tested."""
    from ser_ray.corpora import read_manifest, write_manifest
    from ser_ray.corpora.augmented import augment as add_copies

    table = read_manifest(manifest)
    more = add_copies(table, augmentation, copies, seed)
    write_manifest(more, out)
    summary = {"manifest": out, "utterances": len(table), "copies": len(more) - len(table)}
    if as_json:
        return print_json(summary)
    console.print(f"{len(table)} utterances and {summary['copies']} copies -> {out}")
    return None


@app.command(epilog="Example: ser-ray simulate emodb.parquet -o calls --calls 60 --damaged 10")
def simulate(
    manifest: Manifest,
    out: Annotated[str, typer.Option("--output", "-o", help="Folder of the archive.")],
    calls: Annotated[int, typer.Option(help="How many.")] = 20,
    seconds: Annotated[float, typer.Option(help="Mean length of a call, s.")] = 60.0,
    rate: Annotated[int, typer.Option(help="Sampling rate, Hz.")] = 8000,
    codec: Annotated[str, typer.Option(help="mulaw, alaw, pcm16, flac or mp3.")] = "mulaw",
    layout: Annotated[str, typer.Option(help="stereo, mono or dual_mono.")] = "stereo",
    noise_db: Annotated[float | None, typer.Option(help="Speech-to-noise ratio, dB.")] = None,
    negative: Annotated[float, typer.Option(help="Share of customers' moods that are negative.")] = 0.35,
    packet_loss: Annotated[float, typer.Option(help="Share of the 20 ms packets that are lost.")] = 0.0,
    level_db: Annotated[float, typer.Option(help="By which the recordings are louder, dB.")] = 0.0,
    level_jump_db: Annotated[
        float, typer.Option(help="The farthest that levels jump up or down within a call, dB.")
    ] = 0.0,
    anger: Annotated[
        float | None,
        typer.Option(help="Share of the calls with an angry stretch of the customer; no anger elsewhere."),
    ] = None,
    damaged: Annotated[int, typer.Option(help="Calls to damage, each in another way.")] = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Build a call archive with truth.parquet from labelled utterances, to check a deployment with."""
    from ser_ray.corpora import read_manifest
    from ser_ray.corpora.simulate import SimulateOptions
    from ser_ray.corpora.simulate import simulate as build

    options = SimulateOptions(
        calls=calls,
        seconds=seconds,
        rate=rate,
        codec=codec,
        layout=layout,
        noise_db=noise_db,
        negative=negative,
        packet_loss=packet_loss,
        level_db=level_db,
        level_jump_db=level_jump_db,
        anger=anger,
        damaged=damaged,
        seed=seed,
    )
    truth = build(read_manifest(manifest), out, options)
    if as_json:
        return print_json({"archive": out, "calls": calls, "damaged": damaged, "utterances": len(truth)})
    console.print(
        f"{calls} calls, {damaged} of them damaged, {len(truth)} utterances -> {out} (truth.parquet)"
    )
    return None
