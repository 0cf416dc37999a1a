"""The corpora that the tests of adaptation have: in memory, and as a study of tones with a tiny encoder."""

from __future__ import annotations

from tests.adaptation.conftest import corpus_of, settings_of
from tests.adaptation.finetune.conftest import extracted, pretrained, write_corpus

__all__ = ["corpus_of", "extracted", "pretrained", "settings_of", "write_corpus"]
