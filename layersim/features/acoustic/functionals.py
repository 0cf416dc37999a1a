"""openSMILE's functionals: one vector per utterance, of statistics over its low-level descriptors.

Conventions
-----------
- openSMILE reads 16-bit samples, and the package wraps round what lies beyond them: samples are clipped to
  -1 .. 32767/32768 first, since resampling overshoots a full-scale recording.
- A recording shorter than openSMILE's longest window (60 ms in eGeMAPSv02, about 35 ms in emobase) has no
  functionals. It comes back as NaN here, for the caller to refuse by name; no other value takes its place.
- Silence, and speech without a voiced frame, have functionals: openSMILE's own zeros.

References
----------
Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective
Computing", IEEE Transactions on Affective Computing 7, 2016 (eGeMAPS: 88 values).
Eyben, Wöllmer & Schuller, "openSMILE", ACM Multimedia 2010 (emobase: 988 values).
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from layersim.corpus.audio import SAMPLE_RATE
from layersim.errors import LayersimError

FeatureSet = Literal["eGeMAPSv02", "emobase"]

WIDTHS: dict[FeatureSet, int] = {"eGeMAPSv02": 88, "emobase": 988}

_LARGEST = 32767 / 32768  # the largest sample of 16 bits, full scale being 1


def functionals(wave: npt.NDArray[np.float32], feature_set: FeatureSet) -> npt.NDArray[np.float32]:
    """Compute one utterance's functionals.

    Parameters
    ----------
    wave : ndarray, shape (samples,), 16 kHz, full scale 1

    Returns
    -------
    ndarray, shape (1, F), float32
        In the order of `functional_names`; all NaN if the recording is too short.

    Raises
    ------
    LayersimError
        If openSMILE is not installed.
    """
    smile = _smile(feature_set)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Segment too short")  # the NaN say the same, and are looked at
        values = smile.process_signal(np.clip(wave, -1.0, _LARGEST), SAMPLE_RATE)
    return np.asarray(values.to_numpy(dtype=np.float32))


def functional_names(feature_set: FeatureSet) -> tuple[str, ...]:
    """Return openSMILE's names of the functionals, in their order.

    Raises
    ------
    LayersimError
        If openSMILE is not installed.
    """
    return tuple(map(str, _smile(feature_set).feature_names))


@lru_cache(maxsize=2)
def _smile(feature_set: FeatureSet) -> Any:
    try:
        import opensmile
    except ImportError:
        raise LayersimError(
            f"the functionals {feature_set} need openSMILE, which is not installed: "
            "pip install 'layersim[opensmile]' (free for research; see its licence for other use)."
        ) from None
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[feature_set], feature_level=opensmile.FeatureLevel.Functionals
    )
