"""Kaldi's parts as pip packages them, imported when first used.

kaldi-hmm-gmm and kaldifst exchange transducers as C++ objects: kaldi-hmm-gmm 1.1.4 works with kaldifst 1.7.15
to 1.7.17 and raises TypeError with others.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from layersim.errors import LayersimError


def native_fbank() -> Any:
    """Return the module kaldi_native_fbank: cepstra."""
    return _package("kaldi_native_fbank")


def hmm_gmm() -> Any:
    """Return the module kaldi_hmm_gmm: models and alignment."""
    return _package("kaldi_hmm_gmm")


def fst() -> Any:
    """Return the module kaldifst: transducers."""
    return _package("kaldifst")


def _package(name: str) -> Any:
    """Import a package.

    Raises
    ------
    LayersimError
        If it is missing, or a broken build.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise LayersimError(
            f"{name.replace('_', '-')} cannot be imported ({error}). The built-in aligner needs it, and it "
            "comes with layersim: install layersim again, or take --aligner mfa."
        ) from None
