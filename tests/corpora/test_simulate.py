import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from ser_ray.audio.decode import read_audio
from ser_ray.corpora.damage import DAMAGES, damage
from ser_ray.corpora.labels import NEGATIVE
from ser_ray.corpora.manifest import from_rows
from ser_ray.corpora.simulate import CODECS, LEGS, SimulateOptions, simulate
from ser_ray.corpora.synthetic import make_corpus
from ser_ray.corpora.tape import Line, Tape
from ser_ray.errors import BadManifest, OutputConflict, UnknownName, UnreadableAudio, UsageError

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[2] / "../shared/data"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_corpus(str(tmp_path_factory.mktemp("corpus")), speakers=3, per_emotion=2)


@pytest.fixture(scope="module")
def archive(manifest, tmp_path_factory):
    """Four calls of about 25 s, and their truth."""
    folder = tmp_path_factory.mktemp("calls")
    return folder, simulate(manifest, str(folder), SimulateOptions(calls=4, seconds=25.0))


def rows_of(truth, call, leg=None):
    return [row for row in truth.to_pylist() if row["call"] == call and leg in (None, row["leg"])]


def spoken(rows, samples, rate):
    """Where the truth says that somebody speaks [samples]."""
    mask = np.zeros(samples, bool)
    for row in rows:
        mask[round(row["start_s"] * rate) : round(row["end_s"] * rate)] = True
    return mask


def level_db(wave):
    return 10 * np.log10(np.mean(np.square(wave)) + 1e-12)


def test_calls_are_stereo_mulaw_of_the_wanted_length(archive):
    folder, truth = archive
    calls = sorted(path.name for path in folder.glob("call-*"))
    assert calls == [f"call-{n:04d}.wav" for n in range(1, 5)] == sorted(set(truth["call"].to_pylist()))
    for call in calls:
        info = sf.info(folder / call)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 2, "ULAW")
        assert 0.85 * 25 <= info.duration <= 1.15 * 25 + 8
    assert pq.read_table(folder / "truth.parquet").equals(truth)


def test_each_leg_is_one_speaker_who_is_heard_when_the_truth_says(archive):
    folder, truth = archive
    for call in sorted(set(truth["call"].to_pylist())):
        wave, rate = sf.read(folder / call)
        speakers = [{row["speaker"] for row in rows_of(truth, call, leg)} for leg in LEGS]
        assert [len(names) for names in speakers] == [1, 1]
        assert speakers[0] != speakers[1]
        for channel, leg in enumerate(LEGS):
            mask = spoken(rows_of(truth, call, leg), len(wave), rate)
            assert -40 < level_db(wave[mask, channel]) < -14
            assert level_db(wave[~mask, channel]) < -60


def test_turns_alternate_and_a_leg_never_speaks_over_itself(archive):
    _, truth = archive
    changes = 0
    for call in sorted(set(truth["call"].to_pylist())):
        rows = rows_of(truth, call)
        changes += sum(before["leg"] != after["leg"] for before, after in pairwise(rows))
        assert [row["start_s"] for row in rows] == sorted(row["start_s"] for row in rows)
        for leg in LEGS:
            legs = rows_of(truth, call, leg)
            assert all(a["end_s"] <= b["start_s"] for a, b in pairwise(legs))
    assert 0.4 < changes / (len(truth) - 4) < 0.95


def test_the_truth_names_utterances_of_the_manifest(archive, manifest):
    _, truth = archive
    labels = {row["id"]: (row["speaker"], row["emotion"]) for row in manifest.to_pylist()}
    assert all(labels[row["utterance"]] == (row["speaker"], row["emotion"]) for row in truth.to_pylist())


def test_agents_are_composed_and_negative_sets_the_customers_moods(manifest, tmp_path):
    options = {"calls": 12, "seconds": 20.0}
    dark = simulate(manifest, str(tmp_path / "dark"), SimulateOptions(negative=1.0, **options)).to_pylist()
    light = simulate(manifest, str(tmp_path / "light"), SimulateOptions(negative=0.0, **options)).to_pylist()
    assert all(row["emotion"] in NEGATIVE for row in dark if row["leg"] == "customer")
    assert not any(row["emotion"] in NEGATIVE for row in light if row["leg"] == "customer")
    agents = Counter(row["emotion"] for row in dark + light if row["leg"] == "agent")
    assert agents["neutral"] > 0.7 * agents.total()


def test_moods_linger(manifest, tmp_path):
    truth = simulate(manifest, str(tmp_path / "calls"), SimulateOptions(calls=12, seconds=40.0, negative=0.5))
    kept = []
    for call in set(truth["call"].to_pylist()):
        moods = [row["emotion"] for row in rows_of(truth, call, "customer")]
        kept += [before == after for before, after in pairwise(moods)]
    assert 0.7 < np.mean(kept) < 0.95


def test_the_seed_makes_the_archive(manifest, tmp_path):
    def archive_bytes(name, seed):
        simulate(manifest, str(tmp_path / name), SimulateOptions(calls=2, seconds=5.0, damaged=1, seed=seed))
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    assert archive_bytes("a", 5) == archive_bytes("b", 5) != archive_bytes("c", 6)


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("layout", ["stereo", "mono", "dual_mono"])
def test_codecs_and_layouts_carry_the_same_conversation(manifest, archive, tmp_path, codec, layout):
    options = SimulateOptions(calls=1, seconds=25.0, codec=codec, layout=layout)
    truth = simulate(manifest, str(tmp_path / "calls"), options)
    (path,) = (tmp_path / "calls").glob("call-*")
    wave, rate = sf.read(path, always_2d=True)
    assert (sf.info(path).format, sf.info(path).subtype, rate) == (*CODECS[codec], 8000)
    assert wave.shape[1] == (1 if layout == "mono" else 2)
    assert (layout == "dual_mono") == (wave.shape[1] == 2 and np.array_equal(wave[:, 0], wave[:, 1]))
    expected = rows_of(archive[1], "call-0001.wav")
    assert [row["utterance"] for row in truth.to_pylist()] == [row["utterance"] for row in expected]
    assert truth["start_s"].to_pylist() == pytest.approx([row["start_s"] for row in expected], abs=0.01)


def test_g711_calls_are_narrowed_to_the_telephone_band(manifest, tmp_path):
    def share_below_200_hz(codec):
        simulate(manifest, str(tmp_path / codec), SimulateOptions(calls=1, seconds=10.0, codec=codec))
        wave, rate = sf.read(tmp_path / codec / "call-0001.wav")
        power = np.abs(np.fft.rfft(wave[:, 0])) ** 2
        return power[: 200 * len(wave) // rate].sum() / power.sum()

    assert 10 * share_below_200_hz("mulaw") < share_below_200_hz("pcm16")


def test_noise_lies_the_wanted_distance_below_speech(manifest, tmp_path):
    simulate(manifest, str(tmp_path / "calls"), SimulateOptions(calls=1, seconds=20.0, noise_db=15.0))
    wave, rate = sf.read(tmp_path / "calls" / "call-0001.wav")
    rows = pq.read_table(tmp_path / "calls" / "truth.parquet")
    for channel, leg in enumerate(LEGS):
        mask = spoken(rows_of(rows, "call-0001.wav", leg), len(wave), rate)
        assert 9 < level_db(wave[mask, channel]) - level_db(wave[~mask, channel]) < 22


def test_parts_of_long_recordings_are_cut_out_by_channel_and_time(tmp_path):
    tones = [np.sin(2 * np.pi * hz * np.arange(24000) / 8000) * 0.3 for hz in (500, 1500)]
    sf.write(tmp_path / "long.wav", np.stack(tones, axis=1), 8000)
    rows = [
        {"id": f"{n}", "uri": str(tmp_path / "long.wav"), "start_s": 1.0, "end_s": 2.0, "channel": n}
        | {"speaker": f"s{n}", "emotion": ("anger", "neutral")[n]}
        for n in (0, 1)
    ]
    truth = simulate(from_rows(rows), str(tmp_path / "calls"), SimulateOptions(calls=1, seconds=4.0))
    wave, rate = sf.read(tmp_path / "calls" / "call-0001.wav")
    for row in truth.to_pylist():
        assert row["end_s"] - row["start_s"] == pytest.approx(1.0)
        part = wave[round(row["start_s"] * rate) : round(row["end_s"] * rate), LEGS.index(row["leg"])]
        assert np.abs(np.fft.rfft(part)).argmax() == pytest.approx(
            500 if row["utterance"] == "0" else 1500, abs=2
        )


def test_a_bad_line_changes_how_a_conversation_sounds_and_not_what_is_said(manifest, archive, tmp_path):
    folder, truth = archive
    line = {"noise_db": 20.0, "packet_loss": 0.1, "level_db": -6.0, "level_jump_db": 3.0}
    again = simulate(manifest, str(tmp_path / "calls"), SimulateOptions(calls=4, seconds=25.0, **line))
    assert again.equals(truth)
    (clean, _), (bad, _) = (sf.read(place / "call-0001.wav") for place in (folder, tmp_path / "calls"))
    assert clean.shape == bad.shape
    for channel, leg in enumerate(LEGS):
        mask = spoken(rows_of(truth, "call-0001.wav", leg), len(clean), 8000)
        assert -9.5 < level_db(bad[mask, channel]) - level_db(clean[mask, channel]) < -2.5


def test_packets_are_lost_in_bursts_and_the_one_before_is_repeated_at_half_its_level(tmp_path):
    packet, packets = 160, 20_000
    line = Line([0.0, 0.0], packet_loss=0.1)
    with sf.SoundFile(tmp_path / "call.wav", "w", 8000, 2, "FLOAT") as file:
        tape = Tape(file, False, line, np.random.default_rng(0))
        for start in range(0, packets * packet, 50_000):
            tape.lay(np.full(min(50_000, packets * packet - start), 0.5, np.float32), 0, start)
        tape.end_at(packets * packet)
    wave, _ = sf.read(tmp_path / "call.wav")
    assert not wave[:, 1].any()
    heard = wave[:, 0].reshape(packets, packet)
    assert (heard == heard[:, :1]).all()
    halvings = -np.log2(heard[:, 0] / 0.5)  # 0: arrived; n: the n-th that was lost in a row
    assert 0.09 < np.mean(halvings > 0) < 0.11
    assert halvings[0] in (0, np.inf)  # nothing came before the first
    assert all(n in (0, before + 1) for before, n in pairwise(halvings[np.flatnonzero(halvings == 0)[0] :]))
    assert 1.8 < np.sum(halvings > 0) / np.sum(halvings == 1) < 2.2


def test_levels_jump_within_the_wanted_range_and_at_sudden(tmp_path):
    packet, seconds = 160, 1000
    with sf.SoundFile(tmp_path / "call.wav", "w", 8000, 2, "FLOAT") as file:
        tape = Tape(file, False, Line([0.0, 0.0], level_db=-20.0, jump_db=10.0), np.random.default_rng(0))
        for start in range(0, seconds * 8000, 80_000):
            for leg in (0, 1):
                tape.lay(np.full(80_000, 0.5, np.float32), leg, start)
        tape.end_at(seconds * 8000)
    wave, _ = sf.read(tmp_path / "call.wav")
    levels = 20 * np.log10(wave[::packet] / 0.5)
    assert -30 <= levels.min() < -28
    assert -12 < levels.max() <= -10
    for leg in (0, 1):
        changes = np.flatnonzero(np.diff(levels[:, leg]))
        assert 6 < seconds / len(changes) < 11  # 8 s, give or take the luck of 125 changes
    assert len(np.intersect1d(*(np.flatnonzero(np.diff(levels[:, leg])) for leg in (0, 1)))) < 10


def test_planted_anger_is_a_stretch_of_some_customers_and_nobody_else_is_angry(manifest, tmp_path):
    options = SimulateOptions(calls=12, seconds=20.0, negative=0.8, anger=0.25)
    truth = simulate(manifest, str(tmp_path / "calls"), options)
    turns = Counter(row["call"] for row in truth.to_pylist() if row["emotion"] == "anger")
    assert len(turns) == 3
    assert set(turns.values()) <= {2, 3, 4}
    for call in turns:
        moods = [row["emotion"] for row in rows_of(truth, call, "customer")]
        assert "anger" not in [row["emotion"] for row in rows_of(truth, call, "agent")]
        first = moods.index("anger")
        assert moods[first : first + turns[call]] == ["anger"] * turns[call]
    none = simulate(manifest, str(tmp_path / "none"), SimulateOptions(calls=3, seconds=20.0, anger=0.0))
    assert "anger" not in none["emotion"].to_pylist()


def test_anger_is_planted_in_speakers_who_have_it(manifest, tmp_path):
    rows = manifest.to_pylist()
    calm = from_rows([row for row in rows if row["emotion"] != "anger" or row["speaker"] == "speaker01"])
    with pytest.raises(BadManifest, match="with anger and another emotion name 1"):
        simulate(calm, str(tmp_path / "calls"), SimulateOptions(calls=1, anger=0.5))


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_a_damaged_call_reads_as_its_status_says(archive, tmp_path, name):
    path = tmp_path / "call.wav"
    path.write_bytes((archive[0] / "call-0001.wav").read_bytes())
    if damage(str(path), name) == "no_speech":
        wave, rate = read_audio(str(path))
        assert len(wave) / rate == pytest.approx(sf.info(archive[0] / "call-0001.wav").duration)
        assert not wave.any()
    else:
        with pytest.raises(UnreadableAudio, match=r"call\.wav"):
            read_audio(str(path))


def test_damaged_calls_are_listed_apart_from_the_truth(manifest, tmp_path):
    folder = tmp_path / "calls"
    whole = simulate(manifest, str(folder), SimulateOptions(calls=14, seconds=3.0)).to_pylist()
    truth = simulate(manifest, str(folder), SimulateOptions(calls=14, seconds=3.0, damaged=13)).to_pylist()
    damaged = pq.read_table(folder / "damaged.parquet").to_pylist()
    assert [row["damage"] for row in damaged].count("truncated") == 2
    assert {row["damage"]: row["status"] for row in damaged} == {name: DAMAGES[name][1] for name in DAMAGES}
    calls = {path.name for path in folder.glob("call-*")}
    assert {row["call"] for row in damaged} | {row["call"] for row in truth} == calls
    assert truth == [row for row in whole if row["call"] not in {row["call"] for row in damaged}]


def test_an_archive_is_replaced_and_anything_else_is_left_alone(manifest, tmp_path):
    options = SimulateOptions(calls=2, seconds=3.0)
    simulate(manifest, str(tmp_path / "calls"), options)
    simulate(manifest, str(tmp_path / "calls"), SimulateOptions(calls=1, seconds=3.0))
    assert not (tmp_path / "calls" / "call-0002.wav").exists()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".keys").write_text("precious")
    for occupied in ("home", "home/.keys"):
        with pytest.raises(OutputConflict, match="Choose a new folder"):
            simulate(manifest, str(tmp_path / occupied), options)
    assert (tmp_path / "home" / ".keys").read_text() == "precious"


def test_manifests_that_make_no_call_are_refused(manifest, tmp_path):
    rows = manifest.to_pylist()
    one_speaker = from_rows([row for row in rows if row["speaker"] == "speaker01"])
    unlabelled = from_rows([{**row, "emotion": None} for row in rows])
    lost = from_rows([{**row, "uri": f"{row['uri']}.lost"} for row in rows])
    for table, cause in (
        (one_speaker, "two speakers"),
        (unlabelled, "two emotions"),
        (lost, "cannot be read"),
    ):
        with pytest.raises(BadManifest, match=cause):
            simulate(table, str(tmp_path / "calls"), SimulateOptions(calls=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        {"calls": 0},
        {"seconds": 0.0},
        {"rate": 1},
        {"codec": "amr"},
        {"layout": "left"},
        {"damaged": 21},
        {"negative": 2.0},
        {"packet_loss": 0.6},
        {"anger": 1.5},
        {"level_db": 100.0},
        {"level_jump_db": -1.0},
    ],
)
def test_impossible_options_are_refused(values):
    with pytest.raises(UsageError):
        SimulateOptions(**values)


def test_an_unknown_damage_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="truncated"):
        damage(str(tmp_path / "call.wav"), "trunkated")


@pytest.mark.skipif(not (CORPORA / "emodb").is_dir(), reason=f"no EMO-DB in {CORPORA}")
def test_real_speech_is_spoken_on_each_leg(tmp_path):
    emotions = {"W": "anger", "N": "neutral", "T": "sadness"}
    files = [path for path in sorted((CORPORA / "emodb" / "wav").glob("*.wav")) if path.stem[5] in emotions]
    rows = [
        {"id": path.stem, "uri": str(path), "speaker": path.stem[:2], "emotion": emotions[path.stem[5]]}
        for path in files
    ]
    truth = simulate(from_rows(rows), str(tmp_path / "calls"), SimulateOptions(calls=1, seconds=30.0))
    wave, rate = sf.read(tmp_path / "calls" / "call-0001.wav")
    for channel, leg in enumerate(LEGS):
        mask = spoken(rows_of(truth, "call-0001.wav", leg), len(wave), rate)
        assert level_db(wave[mask, channel]) > level_db(wave[~mask, channel]) + 25
