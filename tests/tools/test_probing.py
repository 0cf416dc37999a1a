"""The evidence that layersim-mini knows more than random weights: how it is gathered and written."""

import numpy as np
import pytest

from layersim.figures.save import save
from mini_probes.evidence import CEPSTRA, ENCODER, PHONES, RANDOM, gather
from mini_probes.figure import draw_layers
from mini_probes.probes import gain
from mini_probes.tables import to_markdown


@pytest.mark.slow
def test_evidence_is_gathered_written_and_drawn(tmp_path):
    said = []
    document = gather(
        "layersim-mini",
        tmp_path,
        {},
        languages=("english",),
        tasks=(PHONES,),
        twins=1,
        seed=0,
        say=said.append,
    )
    (result,) = document["results"]
    assert result["layers"] == [str(number) for number in range(13)]
    best = result[ENCODER]["best layer on the test"]
    assert best["low"] <= best["uar"] <= best["high"]
    assert best["uar"] > result[RANDOM]["best layer on the test"]["uar"] + 0.2
    assert 0.3 < result[CEPSTRA]["uar"] < 0.9
    text = to_markdown(document)
    assert document["encoder"]["weights_sha256"][:16] in text
    assert sum(line.startswith("| phones, balanced accuracy |") for line in text.splitlines()) == 1
    assert sum(line.startswith("| MFCC |") for line in text.splitlines()) == 1
    png, _ = save(draw_layers(document), tmp_path / "layers")
    assert png.stat().st_size > 10_000
    assert said


def test_a_gain_counts_the_same_speakers_on_both_sides():
    rng = np.random.default_rng(0)
    speakers = np.repeat([f"s{number}" for number in range(8)], 40)
    truth = np.tile(["x", "y"], 160)
    ours = np.where(rng.random(320) < 0.8, truth, "z")
    theirs = np.where(rng.random(320) < 0.5, truth, "z")
    found = gain(truth, ours, [theirs], speakers)
    right = [np.mean([(guess == truth)[truth == name].mean() for name in "xy"]) for guess in (ours, theirs)]
    assert found["value"] == pytest.approx(right[0] - right[1])
    assert 0.1 < found["low"] < found["value"] < found["high"] < 0.5
