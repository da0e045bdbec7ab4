"""Jitter, line spectra, sub-harmonic summation and functionals on signals with known answers."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.linalg import solve_toeplitz

from ser_ray.features.functionals import functionals
from ser_ray.features.jitter import jitter_shimmer
from ser_ray.features.line_spectrum import line_spectra
from ser_ray.features.subharmonic import _LANES, _resample, octave_scale, strongest_pitch


def pulses(periods, heights) -> np.ndarray:
    """A damped pulse at the start of each period, in samples."""
    wave = np.zeros(int(np.sum(periods)) + 200)
    shape = np.exp(-np.arange(160) / 12) * np.cos(np.arange(160) / 4)
    for place, height in zip(np.cumsum(periods), heights, strict=True):
        wave[place : place + 160] += height * shape[: len(wave) - place]
    return wave.astype(np.float32)


def of_frames(wave, period: float) -> np.ndarray:
    f0 = np.full(len(wave) // 160 - 8, 16000 / period, np.float32)
    f0[0] = 0
    return jitter_shimmer(wave, f0, 16000, 160)


def test_jitter_of_periods_that_alternate_is_their_difference_over_their_mean():
    periods = np.tile([98, 102], 40)
    found = of_frames(pulses(periods, np.ones(80)), 100.0)
    settled = found[10:-5]
    assert np.median(settled[:, 0]) == pytest.approx(0.04, abs=0.01)
    assert of_frames(pulses(np.full(80, 100), np.ones(80)), 100.0)[10:-5, 0].max() < 1e-3


def test_shimmer_of_heights_that_alternate_is_their_difference_over_their_mean():
    found = of_frames(pulses(np.full(80, 100), np.tile([0.4, 0.5], 40)), 100.0)
    assert np.median(found[10:-5, 2]) == pytest.approx(0.1 / 0.45, rel=0.1)


def test_jitter_is_zero_where_unvoiced_and_of_silence():
    wave = pulses(np.full(80, 100), np.ones(80))
    f0 = np.zeros(40, np.float32)
    assert not jitter_shimmer(wave, f0, 16000, 160).any()
    f0[10:20] = 160
    found = jitter_shimmer(wave, f0, 16000, 160)
    assert not found[:10].any()
    assert not found[20:].any()
    assert not jitter_shimmer(np.zeros(8000, np.float32), f0, 16000, 160).any()


def test_line_spectra_are_the_angles_of_the_roots_of_both_polynomials():
    rng = np.random.default_rng(0)
    frames = np.stack([np.convolve(rng.normal(size=275), rng.normal(size=6), "same") for _ in range(40)])
    frames = frames.astype(np.float32)
    for frame, found in zip(frames.astype(np.float64), line_spectra(frames), strict=True):
        r = [frame[: 275 - lag] @ frame[lag:] for lag in range(9)]
        a = np.concatenate([[1.0], solve_toeplitz(r[:8], -np.array(r[1:])), [0.0]])
        angles = np.angle(np.concatenate([np.roots(a + a[::-1]), np.roots(a - a[::-1])]))
        expected = np.sort(angles[(angles > 1e-3) & (angles < np.pi - 1e-3)])
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_line_spectra_of_silence_are_evenly_spaced():
    np.testing.assert_allclose(
        line_spectra(np.zeros((2, 275), np.float32)), np.pi * np.tile(np.arange(1, 9) / 9, (2, 1)), rtol=1e-5
    )


def test_the_octave_scale_is_a_natural_spline_over_the_logarithm_of_frequency():
    scale = octave_scale(16000, 1024)
    spectra = np.abs(np.random.default_rng(1).normal(size=(513, _LANES))).astype(np.float32)
    places = np.log2(np.maximum(np.arange(513), 0.5) * 15.625)
    expected = CubicSpline(places, spectra, bc_type="natural")(np.linspace(np.log2(25), np.log2(8000), 513))
    np.testing.assert_allclose(_resample(spectra, *scale[:4]), expected, atol=1e-4)


@pytest.mark.parametrize("hz", [110.0, 200.0, 333.0, 580.0])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_strongest_pitch_is_that_of_the_harmonics(hz, rate):
    n_fft = rate * 64 // 1000
    t = np.arange(n_fft) / rate
    wave = sum(np.cos(2 * np.pi * k * hz * t) for k in range(1, 16) if k * hz < rate / 2)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(n_fft), n_fft))[None].astype(np.float32)
    ((found, voicing),) = strongest_pitch(spectrum, octave_scale(rate, n_fft))
    assert found == pytest.approx(hz, rel=0.02)
    assert voicing > 0.5
    assert not strongest_pitch(np.zeros_like(spectrum), octave_scale(rate, n_fft)).any()


def test_functionals_of_a_line():
    (found,) = functionals(np.arange(101, dtype=np.float32)[None] * 2 + 5)
    expected = [100, 0, 105, 2, 5, 0, 0, 2 * np.sqrt((101**2 - 1) / 12), 0, 1.7998, 55, 105, 155, 50, 50, 100]
    np.testing.assert_allclose(found[:16], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[16:19], [7, 203, 196], rtol=1e-6)
    np.testing.assert_allclose(found[19:], [25 / 101, 10 / 101], rtol=1e-6)


def test_functionals_agree_with_numpy_and_leave_zeros_out():
    rng = np.random.default_rng(2)
    contours = rng.normal(size=(5, 300)).astype(np.float32)
    contours[:, 40:200] *= rng.random((5, 160)) > 0.5
    for contour, found in zip(contours, functionals(contours, skip_zeros=True), strict=True):
        left = contour[contour != 0].astype(np.float64)
        t = np.arange(len(left))
        slope, offset = np.polyfit(t, left, 1)
        error = left - slope * t - offset
        assert (found[0], found[1]) == (left.argmax(), left.argmin())
        expected = [left.mean(), slope, offset, np.abs(error).mean(), np.square(error).mean(), left.std()]
        np.testing.assert_allclose(found[2:8], expected, rtol=1e-4, atol=1e-6)
        shares = np.percentile(left, [25, 50, 75, 1, 99])
        np.testing.assert_allclose(found[[10, 11, 12, 16, 17]], shares, rtol=1e-5, atol=1e-6)


def test_functionals_of_constants_and_of_nothing():
    same, none = functionals(np.array([[0.3] * 20, [0.0] * 20], np.float32), skip_zeros=True)
    np.testing.assert_allclose(same[[2, 10, 11, 12, 16, 17]], 0.3, rtol=1e-6)
    np.testing.assert_allclose(same[[5, 6, 7, 8, 9, 13, 14, 15, 18]], 0, atol=1e-7)
    assert not none.any()
