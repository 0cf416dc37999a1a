"""The acoustic sets by name: what each is called in a provenance, its shape, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from layersim.errors import LayersimError
from layersim.features.acoustic.functionals import WIDTHS, FeatureSet, functionals
from layersim.features.acoustic.sequences import FRAMES, PARAMETERS, WIDTH, recorded_frames, sequences

SetName = Literal["egemaps", "emobase", "sequences"]
Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AcousticSet:
    """One kind of acoustic features.

    Attributes
    ----------
    checkpoint : str
        Stands in a provenance where a cache of hidden states names its encoder.
    shape : (int, int)
        Of one utterance: (1, F) functionals, (channels, frames) sequences.
    parameters : mapping
        What was decided of how they are computed, JSON-ready.
    libraries : tuple of str
        Distributions, beside those that read audio, whose versions decide the numbers.
    compute : callable
        A wave at 16 kHz to an array of this shape; not finite where there is no value.
    frames : callable
        Samples at 16 kHz to the number of frames that hold some of the recording.
    """

    name: SetName
    checkpoint: str
    shape: tuple[int, int]
    parameters: Mapping[str, Any]
    libraries: tuple[str, ...]
    compute: Callable[[Wave], npt.NDArray[np.float32]]
    frames: Callable[[int], int]

    def describe(self) -> dict[str, Any]:
        """Return what a provenance says in place of an encoder."""
        return {"checkpoint": self.checkpoint, "parameters": dict(self.parameters)}

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that decide the numbers.

        Raises
        ------
        LayersimError
            If one is not installed.
        """
        found = {}
        for library in (*self.libraries, "soundfile", "soxr", "numpy", "h5py"):
            try:
                found[library] = metadata.version(library)
            except metadata.PackageNotFoundError:
                extra = "[opensmile]" if library == "opensmile" else ""
                raise LayersimError(
                    f"acoustic features {self.name}: {library} is not installed. "
                    f"Install it: pip install 'layersim{extra}'."
                ) from None
        return found


def _functionals(name: SetName, feature_set: FeatureSet) -> AcousticSet:
    return AcousticSet(
        name=name,
        checkpoint=f"opensmile:{feature_set}",
        shape=(1, WIDTHS[feature_set]),
        parameters={"feature_level": "Functionals", "samples": "16 bit, clipped"},
        libraries=("opensmile",),
        compute=partial(functionals, feature_set=feature_set),
        frames=_no_frames,
    )


def _no_frames(samples: int) -> int:  # noqa: ARG001 - functionals are of the whole
    return 0


def _recorded(samples: int) -> int:
    return int(recorded_frames(samples).sum())


SETS: Mapping[SetName, AcousticSet] = {
    "egemaps": _functionals("egemaps", "eGeMAPSv02"),
    "emobase": _functionals("emobase", "emobase"),
    "sequences": AcousticSet(
        name="sequences",
        checkpoint="librosa:mel+mfcc+contrast+zero-crossings",
        shape=(WIDTH, FRAMES),
        parameters=PARAMETERS,
        libraries=("librosa", "scipy"),
        compute=sequences,
        frames=_recorded,
    ),
}


def acoustic_set(name: str) -> AcousticSet:
    """Return a set by its name.

    Raises
    ------
    LayersimError
        If there is none of that name.
    """
    if name not in SETS:
        raise LayersimError(f"no acoustic features {name!r}. Known: {', '.join(SETS)}.")
    return SETS[cast("SetName", name)]
