"""Phones that come from the align stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from layersim.alignment.align import AlignConfig, align
from layersim.alignment.aligned import Alignment, Recording
from layersim.alignment.aligners import Aligned
from layersim.alignment.segments import Segment
from layersim.corpus.manifest import read_manifest, write_manifest
from layersim.errors import LayersimError, ProvenanceError
from layersim.features.dataset import open_corpus
from layersim.features.extract import extract
from layersim.settings import resolve_settings
from layersim.workspace import CorpusEntry, Progress, Workspace


class Fixed:
    """Hears the same two phones in everything."""

    name = "builtin"

    def __init__(self, second: str = "IY0") -> None:
        self.second = second

    def align(
        self, recordings: Sequence[Recording], folder: Path, language: str, progress: Progress
    ) -> Aligned:
        phones = (Segment(0.01, 0.08, "HH"), Segment(0.08, 0.18, self.second))
        words = (Segment(0.01, 0.18, "he"),)
        results = [Alignment(one.utterance_id, 0.2, words, phones, -60.0) for one in recordings]
        return Aligned(results, "arpabet", "a fixed one", "1")


@pytest.fixture
def workspace(tmp_path, make_corpus):
    made = make_corpus(tmp_path / "english", count=20, name="english")
    manifest = made.manifest.assign(text="he")
    write_manifest(manifest, made.folder / "manifest.csv")
    entry = CorpusEntry(manifest=made.folder / "manifest.csv", audio_root=made.folder)
    return Workspace.create(tmp_path / "study", "small", {"english": entry})


def align_all(workspace, second="IY0", force=False):
    return align(workspace, resolve_settings(AlignConfig), aligner=Fixed(second), force=force)


def test_aligned_phones_are_pooled_where_no_others_are_named(workspace, small, settings):
    align_all(workspace)
    (result,) = extract(workspace, settings(), encoder=small.SmallEncoder())
    assert (result.phone_set, result.phones.phones, result.phones.vowels) == ("arpabet", 40, 20)
    assert "phones from layersim align, by builtin" in result.notes
    corpus = open_corpus(workspace, "english")
    assert set(corpus.phones["phone"]) == {"IY0"}


def test_phones_that_the_corpus_names_come_before_aligned_ones(workspace, small, settings, tmp_path):
    align_all(workspace)
    named = workspace.corpora["english"].model_copy(
        update={"alignments": tmp_path / "english/phones.csv", "phone_set": "arpabet"}
    )
    workspace.corpora["english"] = named
    (result,) = extract(workspace, settings(), encoder=small.SmallEncoder())
    assert result.phones.phones == 4 * 15  # of the corpus's own table


def test_a_cache_of_other_alignments_is_refused(workspace, small, settings):
    align_all(workspace)
    extract(workspace, settings(), encoder=small.SmallEncoder())
    workspace.align_folder("english").joinpath("run.json").unlink()
    align_all(workspace, second="AA1")
    with pytest.raises(ProvenanceError, match="alignment_sha256: the cache has"):
        extract(workspace, settings(), encoder=small.SmallEncoder())


def test_alignments_of_other_texts_or_recordings_are_refused(workspace, small, settings):
    align_all(workspace)
    file = workspace.corpus("english").manifest
    write_manifest(read_manifest(file).assign(text="she"), file)
    with pytest.raises(
        LayersimError,
        match=r"texts have changed since english was aligned\. .*align --corpus english --force",
    ):
        extract(workspace, settings(), encoder=small.SmallEncoder())
    align_all(workspace, force=True)
    assert extract(workspace, settings(), encoder=small.SmallEncoder())[0].phones.phones == 40


def test_an_alignment_that_was_not_finished_does_not_count(workspace, small, settings):
    align_all(workspace)
    workspace.align_folder("english").joinpath("run.json").unlink()
    (result,) = extract(workspace, settings(), encoder=small.SmallEncoder())
    assert result.phones is None
