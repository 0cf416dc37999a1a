"""The sets on real speech, and a real run that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from layersim.corpus.importers import import_corpus
from layersim.corpus.manifest import write_manifest
from layersim.features.acoustic.extract import extract_acoustic
from layersim.features.acoustic.functionals import functional_names
from layersim.features.acoustic.sequences import SILENCE, SPAN, recorded_frames
from layersim.features.acoustic.sets import SETS
from layersim.features.acoustic.store import open_acoustic
from layersim.workspace import CorpusEntry, Workspace

pytest.importorskip("opensmile", reason="openSMILE is an extra: pip install 'layersim[opensmile]'")

SCRIPT = """
import sys
from pathlib import Path
from layersim.features.acoustic.extract import extract_acoustic
from layersim.workspace import Workspace

def wait(label, done, total):
    if label.startswith("extracting") and done > total / 2:
        print("here", flush=True)
        sys.stdin.read()

extract_acoustic(Workspace.read(Path(sys.argv[1])), "emobase", progress=wait, n_jobs=1, shard_size=2)
"""


@pytest.fixture
def workspace(shared: Path, tmp_path: Path) -> Callable[[str, dict[str, int]], Workspace]:
    """Make a workspace of a few utterances: ``workspace(name, {corpus: utterances a speaker})``."""

    def make(name: str, corpora: dict[str, int]) -> Workspace:
        entries = {}
        for corpus, count in corpora.items():
            found = import_corpus(corpus, shared / "data" / corpus)
            manifest = found.manifest[found.manifest["emotion"] == "neutral"]
            few = manifest.groupby("speaker", sort=True).head(count).head(4 * count).reset_index(drop=True)
            entries[corpus] = CorpusEntry(
                manifest=tmp_path / name / f"{corpus}.csv", audio_root=found.audio_root.resolve()
            )
            write_manifest(few, entries[corpus].manifest)
        return Workspace.create(tmp_path / name, "small", entries)

    return make


def parts(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.root / "acoustic/emobase/emodb"
    return {file.name: file.read_bytes() for file in sorted(folder.glob("part-*"))}


def test_every_set_has_finite_values_on_three_languages(workspace):
    few = workspace("few", {"emodb": 1, "ravdess": 1, "casia": 1})
    for name, features in SETS.items():
        extract_acoustic(few, name, n_jobs=1)
        for corpus in few.corpora:
            opened = open_acoustic(few, corpus, name)
            values = opened.cache.vectors((name,), opened.rows)
            assert values.shape == (4, *features.shape)
            assert np.isfinite(values).all()
            assert (values.std(axis=0) > 0).any()


def test_women_speak_higher_than_men_and_padding_stands_beside_speech(workspace):
    few = workspace("pitch", {"emodb": 2})
    extract_acoustic(few, "egemaps", n_jobs=1)
    extract_acoustic(few, "sequences", n_jobs=1)
    corpus = open_acoustic(few, "emodb", "egemaps")
    place = functional_names("eGeMAPSv02").index("F0semitoneFrom27.5Hz_sma3nz_amean")
    pitch = corpus.cache.vectors((), corpus.rows)[:, 0, place]
    women = (corpus.table["gender"] == "female").to_numpy()
    assert 0 < women.sum() < len(women)
    assert pitch[women].min() > pitch[~women].max() + 3

    pictures = open_acoustic(few, "emodb", "sequences").cache
    mel = pictures.vectors((), corpus.rows)[:, :64]
    assert (pictures.table["samples"] < SPAN - 3000).any()
    for samples, values in zip(pictures.table["samples"].tolist(), mel, strict=True):
        recorded = recorded_frames(samples)
        assert (values[:, ~recorded] <= SILENCE[0] + 1e-3).all()
        assert np.median(values[:, recorded]) > SILENCE[0] + 30


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_bytes_of_an_undisturbed_one_in_any_number_of_processes(workspace):
    killed, undisturbed = workspace("killed", {"emodb": 2}), workspace("whole", {"emodb": 2})
    extract_acoustic(undisturbed, "emobase", n_jobs=2, shard_size=2)
    expected = parts(undisturbed)
    assert len(expected) == 4
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(killed.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = parts(killed)
    assert any(name.endswith(".tmp") for name in left)
    whole = {name: content for name, content in left.items() if name.endswith(".h5")}
    assert 0 < len(whole) < 4
    assert whole == {name: expected[name] for name in whole}
    assert not (killed.root / "acoustic/emobase/emodb/run.json").exists()
    extract_acoustic(killed, "emobase", n_jobs=1, shard_size=2)
    assert parts(killed) == expected
