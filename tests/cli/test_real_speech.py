from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from layersim.corpus.manifest import read_manifest, write_manifest

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.slow

KEPT = {"train": 4, "validation": 1, "test": 2}  # utterances per split and emotion: half a minute of Whisper


def test_the_main_job_runs_on_real_speech_with_a_real_encoder(
    run_cli: Run, shared: Path, tmp_path: Path
) -> None:
    """The commands of the README on Emo-DB and RAVDESS with Whisper, cut down to a few utterances a cell."""
    data = shared / "data"
    arguments = ["init", "ws", "--encoder", str(shared / "models/whisper-base")]
    arguments += ["--corpus", f"emodb={data / 'emodb'}", "--corpus", f"ravdess={data / 'ravdess'}"]
    arguments += ["--alignments", f"emodb={data / 'emodb/phones_merged.csv'}"]
    code, out, err = run_cli(arguments, tmp_path)
    assert code == 0, err
    assert "387 utterances, 10 speakers" in out
    assert "phone set sampa-de" in out
    workspace = tmp_path / "ws"
    for file in (workspace / "manifests").glob("*.csv"):
        manifest = read_manifest(file)
        manifest = manifest[manifest["emotion"].isin(["anger", "happiness", "neutral", "sadness"])]
        place = manifest.groupby(["split", "emotion"]).cumcount()
        write_manifest(manifest[place < manifest["split"].map(KEPT)], file)

    code, out, err = run_cli(["extract"], workspace, timeout=900)
    assert code == 0, err
    assert "emodb: 28 utterances" in out
    assert "vowels)" in out
    assert "7 layers x 512" in out

    code, out, err = run_cli(["rank", "--paper", "--json"], workspace)
    assert code == 0, err
    ranking = json.loads(out)
    assert [layer["layer"] for layer in ranking["layers"]] == list("0123456")
    # Raw cosine of a pretrained encoder is high whatever the emotion: what all speech has in common.
    assert all(layer["score"] > 0.8 for layer in ranking["layers"])
    assert len(ranking["group"]) == len(ranking["worst"]) == 3

    code, out, err = run_cli(["rank", "--level", "phoneme"], workspace)
    assert code == 1
    assert "ravdess: its features hold no phones" in err

    code, out, err = run_cli(["train", "--anchors", "auto", "--seeds", "1", "--epochs", "5"], workspace)
    assert code == 0, err
    assert "la-auto" in out

    code, out, err = run_cli(["report"], workspace)
    assert code == 0, err
    assert "Emotion recognition on ravdess" in Path(out.strip()).read_text("utf-8")
