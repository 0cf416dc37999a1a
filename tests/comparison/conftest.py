"""The corpora in memory that the tests of adaptation have."""

from __future__ import annotations

from tests.adaptation.conftest import corpus_of, settings_of

__all__ = ["corpus_of", "settings_of"]
