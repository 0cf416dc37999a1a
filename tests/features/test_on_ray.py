"""Extraction on a Ray cluster gives the bytes of one process, whatever dies on the way."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

SCRIPT = Path(__file__).with_name("ray_cluster.py")
UTTERANCES, SHARD = 40, 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is an extra: pip install 'layersim[ray]'"
    ),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimpleNamespace]:
    """Two nodes of one CPU each; ``address``, and ``kill(folder)`` for the second node."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    address = process.stdout.readline().strip()

    def kill(folder: Path) -> list[str]:
        process.stdin.write(f"{folder}\n")
        return json.loads(process.stdout.readline())

    yield SimpleNamespace(address=address, kill=kill)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A workspace with a random WavLM and 40 utterances of 6 to 8 seconds, most of which have phones."""
    import torch
    import transformers

    root = tmp_path_factory.mktemp("ray") / "study"
    torch.manual_seed(0)
    config = transformers.WavLMConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, conv_dim=(8,) * 7,
        num_feat_extract_layers=7, feat_extract_norm="group",
    )  # fmt: skip
    transformers.WavLMModel(config).save_pretrained(root / "encoder")
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(root / "encoder")
    rows, phones = (
        ["corpus,utterance_id,path,start,end,speaker,language,emotion,split,text,source_label"],
        ["utterance_id,start,end,phone"],
    )
    (root / "audio").mkdir()
    for number in range(UTTERANCES):
        wave = 0.1 * np.random.default_rng(number).standard_normal(16_000 * (6 + number % 3))
        soundfile.write(root / f"audio/u{number}.wav", wave.astype("float32"), 16_000)
        emotion = ("anger", "sadness")[number % 2]
        rows.append(f"tones,u{number},u{number}.wav,,,s{number % 5},en,{emotion},train,,{emotion}")
        if number % 7:
            phones += [f"u{number},{start},{start + 0.2},AA1" for start in (0.1, 0.5, 2.0)]
    (root / "phones.csv").write_text("\n".join(phones) + "\n")
    (root / "tones.csv").write_text("\n".join(rows) + "\n")
    (root / "layersim.toml").write_text(
        f'encoder = "encoder"\n[extract]\nshard_size = {SHARD}\n[corpora.tones]\nmanifest = "tones.csv"\n'
        'audio_root = "audio"\nalignments = "phones.csv"\nphone_set = "arpabet"\n'
    )
    return root


@pytest.fixture
def study(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "study"))


def cache(study: Path) -> Path:
    return study / "cache" / "encoder" / "tones"


def shards(study: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(cache(study).glob("part-*.h5"))}


def begin(study: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``layersim extract`` in a group of its own, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "layersim_cli.main", "extract", "--json", *arguments],
        cwd=study, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(template: Path, tmp_path_factory) -> dict[str, bytes]:
    """The shards that one process makes."""
    study = Path(shutil.copytree(template, tmp_path_factory.mktemp("whole") / "study"))
    process = begin(study)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return shards(study)


def test_ctrl_c_ends_workers_and_leaves_whole_shards_only(cluster, study, whole):
    process = begin(study, "--engine", "ray", "--address", cluster.address)
    while len(shards(study)) < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), said
    left = shards(study)
    assert 2 <= len(left) < UTTERANCES // SHARD
    assert left == {name: whole[name] for name in left}
    assert sorted(file.name for file in cache(study).iterdir()) == list(left)


def test_interrupted_while_a_shard_is_handed_out_nothing_of_it_is_left(cluster, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), cluster.address, str(tmp_path), "interrupt"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"] == "KeyboardInterrupt"
    assert not list(tmp_path.iterdir())


def test_a_shard_whose_worker_dies_each_time_is_given_up_and_named(cluster, tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), cluster.address, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert "part-00002.h5: 4 workers died while they made this shard" in said["error"]
    assert said["done"] == 3.0  # seconds: the others were made
    assert done.stderr.count("died while it made shard 2") == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"part-0000{index}.h5" for index in (0, 1, 3)]


def test_a_killed_node_costs_its_shard_only_and_the_bytes_are_those_of_one_process(cluster, study, whole):
    process = begin(study, "--engine", "ray", "--address", cluster.address)
    torn = cluster.kill(cache(study))
    out, said = process.communicate(timeout=120)
    assert len(torn) == 1  # it was at work
    assert process.returncode == 0, said
    (result,) = json.loads(out)
    assert result["utterances"] == UTTERANCES
    assert round(result["computed_hours"] * 3600) == sum(6 + number % 3 for number in range(UTTERANCES))
    assert said.count("died while it made shard") == 1
    assert "(raylet)" not in said
    assert shards(study) == whole
    assert sorted(file.name for file in cache(study).iterdir()) == [*whole, "run.json"]


def test_a_bad_recording_is_reported_as_without_ray_and_what_is_there_is_not_made_again(study, whole):
    cache(study).mkdir(parents=True)
    for name in list(whole)[:-1]:
        (cache(study) / name).write_bytes(whole[name])
    silent = study / f"audio/u{UTTERANCES - 1}.wav"
    soundfile.write(silent, np.zeros(soundfile.info(silent).frames), 16_000)
    before = {file: file.stat().st_mtime_ns for file in cache(study).glob("part-*.h5")}
    process = begin(study, "--engine", "ray")  # of this machine alone
    out, said = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert said.count("error: ") == 1
    assert f"error: 1 recordings cannot be used:\n  {silent}" in said
    assert "Traceback" not in said
    assert {file: file.stat().st_mtime_ns for file in cache(study).iterdir()} == before
