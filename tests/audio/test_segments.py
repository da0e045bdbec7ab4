import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray.audio.segments import Segmenter, SegmentRules
from ser_ray.audio.vad import LaneVad
from ser_ray.errors import UsageError

CORPORA = Path(os.environ.get("SER_RAY_CORPORA", Path(__file__).parents[3] / "shared" / "data"))
HOP = 0.032
FUZZ = 1e-9  # s, of sums of floats


def segments_of(probabilities, rules, duration_s=None):
    segmenter = Segmenter(HOP, rules)
    probabilities = np.asarray(probabilities, np.float32)
    segments = segmenter.push(probabilities)
    duration_s = len(probabilities) * HOP if duration_s is None else duration_s
    return segments + segmenter.finish(duration_s), segmenter


def frames(*runs):
    """Probabilities from runs of (probability, frames)."""
    return np.concatenate([np.full(count, probability, np.float32) for probability, count in runs])


@st.composite
def speech(draw):
    """Probabilities in runs, of values around the default thresholds, with some jitter."""
    levels = st.sampled_from([0.01, 0.2, 0.36, 0.45, 0.55, 0.9, 1.0])
    runs = draw(st.lists(st.tuples(levels, st.integers(1, 120)), max_size=25))
    jitter = np.random.default_rng(draw(st.integers(0, 99))).uniform(-0.02, 0.02, sum(n for _, n in runs))
    steady = frames((0.0, 0), *runs)
    return np.clip(steady + draw(st.sampled_from([0.0, 1.0, 10.0])) * jitter, 0, 1).astype(np.float32)


@st.composite
def rules(draw):
    min_silence_s = draw(st.floats(2 * HOP, 0.8))
    pad_s = draw(st.floats(0.0, 0.5)) * min_silence_s
    min_s = draw(st.floats(0.0, 1.0))
    max_s = 2 * (min_s + pad_s) + 6 * HOP + draw(st.floats(0.0, 6.0)) + FUZZ
    return SegmentRules(min_silence_s=min_silence_s, pad_s=pad_s, min_s=min_s, max_s=max_s)


@settings(deadline=None)  # a loaded machine is no failure
@given(speech(), rules(), st.floats(0.0, 0.99))
def test_segments_are_sorted_apart_within_the_leg_and_of_allowed_length(probabilities, rules, missing):
    duration_s = max(0.0, (len(probabilities) - missing) * HOP)
    segments, segmenter = segments_of(probabilities, rules, duration_s)
    for start, end in segments:
        assert 0 <= start < end <= duration_s
        assert rules.min_s - FUZZ <= end - start <= rules.max_s + FUZZ
    for (_, end), (start, _) in pairwise(segments):
        assert end <= start + FUZZ
    assert 0 <= segmenter.speech_s <= duration_s + FUZZ
    assert segmenter.speech_s >= sum(e - s for s, e in segments) - 2 * rules.pad_s * len(segments) - FUZZ


@settings(deadline=None)  # a loaded machine is no failure
@given(speech(), rules())
def test_every_frame_of_speech_is_in_a_segment_where_nothing_is_too_short(probabilities, rules):
    greedy = SegmentRules(min_silence_s=rules.min_silence_s, pad_s=rules.pad_s, min_s=0.0, max_s=rules.max_s)
    segments, segmenter = segments_of(probabilities, greedy)
    for frame in np.flatnonzero(probabilities >= greedy.threshold):
        covered = sum(max(0, min(e, (frame + 1) * HOP) - max(s, frame * HOP)) for s, e in segments)
        assert covered == pytest.approx(HOP)
    assert segmenter.speech_s >= np.count_nonzero(probabilities >= greedy.threshold) * HOP - FUZZ


@settings(deadline=None)  # a loaded machine is no failure
@given(speech(), rules(), st.data())
def test_segments_do_not_depend_on_how_the_probabilities_are_pushed(probabilities, rules, data):
    whole, segmenter = segments_of(probabilities, rules)
    size = data.draw(st.integers(1, 200))
    pieces, pushed = Segmenter(HOP, rules), []
    for first in range(0, len(probabilities), size):
        pushed += pieces.push(probabilities[first : first + size])
    assert pushed + pieces.finish(len(probabilities) * HOP) == whole
    assert pieces.speech_s == segmenter.speech_s


@settings(deadline=None)  # a loaded machine is no failure
@given(speech(), rules(), st.integers(1, 60))
def test_audio_still_needed_is_bounded_and_never_given_up(probabilities, rules, size):
    segmenter, pending_s, heard_s = Segmenter(HOP, rules), 0.0, 0.0
    for first in range(0, len(probabilities), size):
        piece = probabilities[first : first + size]
        heard_s += len(piece) * HOP
        for start, end in segmenter.push(piece):
            assert pending_s - FUZZ <= start
            assert end <= heard_s + FUZZ
        assert pending_s - FUZZ <= segmenter.pending_s <= heard_s + FUZZ
        pending_s = segmenter.pending_s
        assert heard_s - pending_s <= rules.max_s + rules.min_silence_s + rules.pad_s + FUZZ
    assert all(pending_s - FUZZ <= start for start, _ in segmenter.finish(heard_s))


def test_memory_does_not_grow_with_the_leg():
    for pad_s in (0.0, 0.03):
        segmenter = Segmenter(HOP, SegmentRules(pad_s=pad_s))
        for _ in range(50):
            segmenter.push(frames((0.9, 800), (0.1, 200)))
        segmenter.push(frames((0.9, 100)))
        assert len(segmenter._recent) <= (15 + 0.3 + 0.03) / HOP + 1


def test_a_segment_is_the_speech_with_its_padding():
    segments, segmenter = segments_of(frames((0.1, 50), (0.9, 100), (0.1, 50)), SegmentRules())
    assert segments == [pytest.approx((50 * HOP - 0.03, 150 * HOP + 0.03))]
    assert segmenter.speech_s == pytest.approx(100 * HOP)


def test_between_release_and_threshold_speech_goes_on_but_does_not_start():
    segments, _ = segments_of(frames((0.4, 40), (0.6, 20), (0.4, 40), (0.3, 40)), SegmentRules(pad_s=0))
    assert segments == [pytest.approx((40 * HOP, 100 * HOP))]


def test_a_short_pause_does_not_end_a_segment_and_a_long_one_does():
    rules = SegmentRules(pad_s=0.0, min_silence_s=10 * HOP)
    short = frames((0.9, 30), (0.1, 9), (0.9, 30))
    long = frames((0.9, 30), (0.1, 10), (0.9, 30))
    assert segments_of(short, rules)[0] == [pytest.approx((0, 69 * HOP))]
    assert segments_of(long, rules)[0] == [pytest.approx((0, 30 * HOP)), pytest.approx((40 * HOP, 70 * HOP))]


def test_a_burst_too_short_for_a_segment_still_counts_as_speech():
    segments, segmenter = segments_of(frames((0.1, 50), (0.9, 8), (0.1, 50)), SegmentRules())
    assert segments == []
    assert segmenter.speech_s == pytest.approx(8 * HOP)


def test_long_speech_is_split_at_its_quietest_point():
    probabilities = frames((0.9, 1000))
    probabilities[[300, 350, 420]] = 0.6, 0.52, 0.7  # 350 * 32 ms lies in the later half of 15 s
    segments, _ = segments_of(probabilities, SegmentRules())
    assert segments[0] == pytest.approx((0, 350.5 * HOP))
    assert segments[1][0] == segments[0][1]
    assert segments[-1][1] == pytest.approx(1000 * HOP)


@settings(deadline=None)
@given(rules(), st.integers(1, 700), st.floats(0.0, 0.99))
def test_splitting_leaves_no_piece_too_short_to_be_kept(rules, count, missing):
    duration_s = (count - missing) * HOP
    probabilities = np.linspace(1.0, 0.5, count)  # falling, so that every split is as late as may be
    segments, _ = segments_of(probabilities, rules, duration_s)
    if duration_s < rules.min_s:
        assert segments == []
    else:
        assert (segments[0][0], segments[-1][1]) == pytest.approx((0, duration_s))
        assert all(end == start for (_, end), (start, _) in pairwise(segments))


def test_a_recording_that_ends_while_speaking_ends_the_segment():
    segments, segmenter = segments_of(frames((0.1, 10), (0.9, 90)), SegmentRules(), duration_s=99.5 * HOP)
    assert segments == [pytest.approx((10 * HOP - 0.03, 99.5 * HOP))]
    assert segmenter.speech_s == pytest.approx(89.5 * HOP)


def test_a_leg_without_probabilities_has_no_segments():
    segments, segmenter = segments_of([], SegmentRules())
    assert segments == []
    assert segmenter.speech_s == segmenter.pending_s == 0


@pytest.mark.parametrize(
    "wrong",
    [{"release": 0.6}, {"threshold": 1.2}, {"pad_s": 0.2}, {"pad_s": -0.1}, {"max_s": 1.0}, {"min_s": -1.0}],
    ids=str,
)
def test_contradicting_rules_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SegmentRules(**wrong)


@pytest.mark.parametrize("wrong", [{"max_s": 1.2}, {"min_silence_s": 0.06}], ids=str)
def test_rules_too_tight_for_the_hop_are_refused(wrong):
    rules = SegmentRules(**wrong)
    with pytest.raises(UsageError, match=next(iter(wrong)) + r" \S+ is too short for hops of 0\.032 s"):
        Segmenter(HOP, rules)


@pytest.fixture(scope="module")
def emodb_leg():
    """Probabilities of forty sentences of EMO-DB as one leg, each followed by a pause of 0.05-1.5 s."""
    paths = sorted(CORPORA.glob("emodb/wav/*.wav"))[::13][:40]
    if not paths:
        pytest.skip(f"no EMO-DB at {CORPORA}/emodb/wav: set SER_RAY_CORPORA")
    rng = np.random.default_rng(3)
    parts = []
    for path in paths:
        parts += [
            soundfile.read(path, dtype="float32")[0],
            np.zeros(int(16000 * rng.uniform(0.05, 1.5)), "f4"),
        ]
    wave = np.concatenate([*parts, np.zeros(16000, np.float32)])
    return LaneVad(16000, 1).push(wave[np.newaxis, : len(wave) // 512 * 512])[0]


def instants(segments, duration_s):
    """Whether each 10 ms of the leg is within a segment."""
    time = np.arange(0, duration_s, 0.01)
    return np.any([(start <= time) & (time < end) for start, end in segments], axis=0)


@pytest.mark.parametrize("min_silence_s", [0.1, 0.3, 0.5])
def test_real_speech_is_segmented_as_by_silero(min_silence_s, emodb_leg):
    """Same rules, but two: Silero measures a pause to the start of its last frame, we to its end (so it
    is asked for a hop less), and it lets probabilities between release and threshold put off the end of
    a pause. For that, one pause of the leg may be judged otherwise (two segments for one), and 0.3 % of
    its time."""
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    duration_s = len(emodb_leg) * HOP
    rules = SegmentRules(min_silence_s=min_silence_s, min_s=0.25 + 2 * 0.03, max_s=1000.0)
    ours, _ = segments_of(emodb_leg, rules)
    stamps = get_speech_timestamps_from_probs(
        emodb_leg.tolist(),
        16000,
        min_silence_duration_ms=1000 * (min_silence_s - HOP),
        min_speech_duration_ms=250,
        speech_pad_ms=30,
    )
    theirs = [(stamp["start"] / 16000, stamp["end"] / 16000) for stamp in stamps]
    assert len(theirs) > 25
    assert np.mean(instants(ours, duration_s) != instants(theirs, duration_s)) < 0.003
    unmatched = [s for s in ours if min(max(abs(s[0] - t), abs(s[1] - e)) for t, e in theirs) > 0.002]
    assert len(unmatched) <= 2
