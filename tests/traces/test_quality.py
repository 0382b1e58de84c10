"""The assessment finds what was put into a made-up set."""

import numpy as np
import pandas as pd
import pytest

from meshgym.cli.main import main
from meshgym.traces.quality import assess, group_by_setting, noise_share, pure_error
from meshgym.types import SETTING_NAMES


@pytest.fixture(scope="module")
def made_up():
    """P503 grows with threads alone; a quarter of QPS' variance is noise; half the settings are repeated."""
    rng = np.random.default_rng(0)
    distinct = np.column_stack(
        [
            rng.integers(1, 8, 300),
            *np.ones((4, 300)),
            np.ones(300),
            np.ones(300),
            rng.integers(1, 11, 300),
            rng.permutation(300) + 100,
        ]
    )
    settings = rng.permutation(np.concatenate([distinct, distinct[:150]]))
    frame = pd.DataFrame(settings, columns=list(SETTING_NAMES))
    signal = frame["http1_max_pending_requests"].to_numpy(float)
    frame["qps"] = 100 + signal + rng.normal(0, signal.std() / np.sqrt(3), len(frame))
    frame["p503"] = (frame["threads"] - 1) / 9
    frame["p200"] = 1 - frame["p503"]
    frame["lane"] = rng.integers(0, 2, len(frame))
    return frame


def test_what_was_put_in_is_found(made_up):
    quality = assess(made_up)
    assert (quality.rows, quality.repeats) == (450, 150)
    assert quality.mean_p503 == pytest.approx(0.5, abs=0.05)
    assert quality.low_end == pytest.approx(0.1, abs=0.05)
    assert quality.high_end == pytest.approx(0.1, abs=0.05)
    assert quality.noise["p503"] == pytest.approx(0, abs=1e-9)
    assert quality.noise["qps"] == pytest.approx(0.25, abs=0.08)
    assert quality.lane_noise["qps"] == pytest.approx(0.25, abs=0.1)
    assert abs(quality.autocorrelation["p503"]) < 0.1
    assert set(quality.effects["p503"]) == {"http1_max_pending_requests", "threads", "calls"}
    assert quality.effects["p503"]["threads"] > 1
    assert abs(quality.effects["p503"]["calls"]) < 0.01
    assert quality.effects["qps"]["http1_max_pending_requests"] > 0.8
    assert quality.explained["p503"] > 0.95


def test_order_shows_in_the_autocorrelation(made_up):
    assert assess(made_up.sort_values("threads")).autocorrelation["p503"] > 0.9


@pytest.mark.slow
def test_a_drift_shows_where_the_settings_are_taken_off(made_up):
    pace = made_up.assign(p503=made_up["p503"] * 0.9 + np.linspace(0, 0.1, len(made_up)))
    assert assess(pace).residual_autocorrelation["p503"] > 0.8
    assert abs(assess(pace).autocorrelation["p503"]) < 0.15
    assert abs(assess(made_up).residual_autocorrelation["qps"]) < 0.15


def test_without_repeats_the_noise_is_not_known():
    assert np.isnan(noise_share(np.arange(4.0), np.arange(4)))
    assert np.isnan(pure_error(np.ones((4, 2)), np.arange(4))).all()


def test_pure_error_is_the_variance_within_settings():
    values, group = np.array([1.0, 3.0, 10.0, 16.0, 7.0]), np.array([0, 0, 1, 1, 2])
    assert pure_error(values, group) == (2 + 18) / 2
    assert pure_error(np.column_stack([values, 2 * values]), group).tolist() == [10, 40]


def test_settings_are_numbered():
    settings = np.array([[2.0] * 9, [1.0] * 9, [2.0] * 9])
    assert group_by_setting(settings).tolist() == [1, 0, 1]


def test_the_command_prints_it(made_up, tmp_path, capsys):
    path = tmp_path / "made_up.csv"
    made_up.to_csv(path, index=False)
    assert main(["traces", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "450, 150 of them repeats" in shown
    assert "effects of" in shown


def test_an_outcome_that_few_runs_have_is_left_out(made_up):
    some = made_up.assign(latency_p50_s=np.nan)
    some.loc[some.index[:4], "latency_p50_s"] = [0.1, 0.2, 0.3, 0.4]
    assert set(assess(some).noise) == {"qps", "p503"}
