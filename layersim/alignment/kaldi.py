"""Kaldi's parts as pip packages them, imported when first used.

kaldi-hmm-gmm and kaldifst exchange transducers as C++ objects: kaldi-hmm-gmm 1.1.4 works with kaldifst 1.7.15
to 1.7.17 and raises TypeError with others. All three belong to the extra ``align``.
"""

from __future__ import annotations

from typing import Any

from layersim.errors import LayersimError

_ADVICE = "Install what the built-in aligner needs: pip install 'layersim[align]'"


def native_fbank() -> Any:
    """Return the module kaldi_native_fbank.

    Raises
    ------
    LayersimError
        If it is not installed.
    """
    try:
        import kaldi_native_fbank
    except ImportError as error:
        raise LayersimError(f"kaldi-native-fbank cannot be imported ({error}). {_ADVICE}") from None
    return kaldi_native_fbank


def hmm_gmm() -> Any:
    """Return the module kaldi_hmm_gmm.

    Raises
    ------
    LayersimError
        If it is not installed.
    """
    try:
        import kaldi_hmm_gmm
    except ImportError as error:
        raise LayersimError(f"kaldi-hmm-gmm cannot be imported ({error}). {_ADVICE}") from None
    return kaldi_hmm_gmm


def fst() -> Any:
    """Return the module kaldifst.

    Raises
    ------
    LayersimError
        If it is not installed.
    """
    try:
        import kaldifst
    except ImportError as error:
        raise LayersimError(f"kaldifst cannot be imported ({error}). {_ADVICE}") from None
    return kaldifst
