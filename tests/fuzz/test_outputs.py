"""Spoilt outputs that later stages read: rankings, runs, metrics, predictions, models; and recordings."""

from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save

from layersim.adaptation.model_file import ModelDescription, TrainedModel, save_model
from layersim.adaptation.network import AnchoredClassifier
from layersim.adaptation.standardise import Statistics
from mutations import mutated, mutated_bytes, mutated_json, nested, whole_files
from reading import ReaderProcess
from spoiling import refuse_faults

EMOTION = {
    "emotion": "anger",
    "utterances": 3,
    "aligned": 2,
    "failed": 1,
    "flagged": 0,
    "share_failed": 0.25,
    "share_flagged": 0.0,
    "log_likelihood_median": -60.5,
    "speech_share_mean": 0.75,
}
ALIGNED = {
    "corpus": "a",
    "folder": "/a",
    "aligner": "builtin",
    "aligner_version": "1",
    "phone_set": "arpabet",
    "pronunciations": {"en": "espeak-ng"},
    "utterances": 3,
    "aligned": 0,
    "failed": 1,
    "flagged": 0,
    "machine_texts": 0,
    "hours": 0.25,
    "phones": 30,
    "words": 9,
    "words_unknown": 1,
    "unknown": {"ö": 1},
    "log_likelihood_median": -60.5,
    "flags": {},
    "failures": {"no text": 1},
    "by_emotion": [EMOTION],
    "elapsed_seconds": 2.5,
    "notes": ["a note"],
    "real_time": None,
    "files": ["ranking.json"],
}
RUN = {
    "command": "layersim align",
    "when": "2026-01-01T00:00:00+00:00",
    "corpus": "a",
    "settings": [{"name": "seed", "value": 0, "origin": "default", "meaning": "of what is random"}],
    "inputs": {"recordings": "ab", "texts": "cd"},
    "versions": {"python": "3.11"},
    "notes": [],
    "results": {name: value for name, value in ALIGNED.items() if name != "files"},
}
RANKING = {
    "source": "a",
    "target": "b",
    "metric": "pairwise",
    "features": "centred",
    "emotions": ["anger", "fear"],
    "group": ["1", "2"],
    "best": "1",
    "worst": ["3"],
    "resolved": False,
    "results": {"files": ["layers.csv"]},
}
METRICS = {
    "method": "la",
    "seed": 0,
    "layers": ["1", "2"],
    "best_epoch": 3,
    "epochs": 5,
    "target_test": {
        "uar": 0.5,
        "wa": 0.5,
        "macro_f1": 0.5,
        "speakers": 2,
        "utterances": 8,
        "chance": {"uar": 0.25},
        "recalls": {"anger": 0.5, "fear": None},
        "uar_interval": {"low": 0.25, "high": 0.75},
    },
    "source_validation": {"uar": 0.5, "counts": {"anger": 3}},
    "domain": {"domain_accuracy": 0.5},
    "details": {},
}
DOCUMENTS: dict[str, Any] = {"run_json": RUN, "ranking": RANKING, "metrics": METRICS}


@pytest.mark.parametrize("reader", DOCUMENTS)
def test_a_spoilt_document_is_read_or_refused(reader: str, process: ReaderProcess) -> None:
    good = json.dumps(DOCUMENTS[reader], indent=1).encode()
    refuse_faults(process, reader, [good], whole_files(good), mutated([good]), examples=60)
    refuse_faults(process, reader, [good], nested(), mutated_json(DOCUMENTS[reader]), examples=300)


def test_a_spoilt_prediction_table_is_read_or_refused(process: ReaderProcess) -> None:
    good = b"utterance,speaker,emotion,predicted,anger,fear\n"
    good += b'a/u1,01,anger,fear,0.25,0.75\n"a/u,2",02,fear,fear,0,1\n'
    refuse_faults(process, "predictions", [good], whole_files(good), mutated([good]))


def test_spoilt_published_figures_are_read_or_refused(process: ReaderProcess) -> None:
    file = resources.files("layersim_data").joinpath("published", "layer-anchoring.csv")
    good = file.read_bytes()
    refuse_faults(process, "published_figures", [good], whole_files(good), mutated([good]), examples=60)


def model(folder: Path) -> Path:
    torch.manual_seed(0)
    network = AnchoredClassifier(layers=2, width=6, classes=3, projection=4, dropout=0.0)
    description = ModelDescription(
        "la", ("anger", "fear", "sadness"), ("1", "2"), 6, 4, "a", "b", {"checkpoint": "small"}
    )
    statistics = Statistics(torch.zeros(2, 6), torch.ones(2, 6))
    save_model(folder / "model.safetensors", TrainedModel(description, network, statistics))
    return folder / "model.safetensors"


def test_a_spoilt_model_is_read_or_refused(process: ReaderProcess, tmp_path: Path) -> None:
    file = model(tmp_path)
    good = file.read_bytes()
    cut = [good[:size] for size in (0, 4, 8, 9, 500, len(good) - 1)]
    claims = [b"\xff" * 8 + good[8:], (10**12).to_bytes(8, "little") + good[8:], *nested()]
    answers = refuse_faults(process, "model", [good], cut + claims, mutated_bytes([good]))
    assert all(answer.startswith("refused") for answer in answers[: len(cut + claims)])


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("width", 10**12),
        ("projection", 10**12),
        ("width", -6),
        ("layers", ["1"] * 10**5),
        ("layers", []),
        ("classes", []),
        ("classes", "abc"),
        ("encoder", None),
        ("format", "1"),
        ("format", 2),
        ("nobody", 1),
    ],
)
def test_a_model_whose_description_is_of_another_is_refused(
    entry: str, value: Any, process: ReaderProcess, tmp_path: Path
) -> None:
    file = model(tmp_path)
    refuse_faults(process, "model", [file.read_bytes()], [], None)
    tensors = load_file(file)
    described = description_of(file)
    file.write_bytes(save(tensors, {"layersim": json.dumps({**described, entry: value})}))
    answer = process.read("model", file)
    assert answer.startswith("read" if entry == "nobody" else "refused"), answer


def description_of(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(json.loads(header["__metadata__"]["layersim"]))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_spoilt_recording_is_read_or_refused(kind: str, process: ReaderProcess) -> None:
    stream = io.BytesIO()
    wave = 0.3 * np.sin(np.arange(4000) / 7)
    soundfile.write(stream, np.stack([wave, wave / 2], axis=1), 22_050, format=kind)
    good = stream.getvalue()
    cut = [good[:size] for size in (0, 4, 12, 44, len(good) // 2)]
    head = mutated_bytes([good[:120]]).map(lambda start: start + good[120:])
    refuse_faults(process, "audio", [good], cut, head | mutated_bytes([good]), examples=150)
