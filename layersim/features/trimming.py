"""How far the features of Whisper's trimmed windows are from those of its full ones, on a sample of a corpus.

Trimming changes the numbers, by how much depends on encoder, layer and recordings: so every run that trims
measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from layersim.corpus.audio import SAMPLE_RATE, read_audio

if TYPE_CHECKING:
    from layersim.encoders.encoder import Encoder
    from layersim.features.decoding import Clip

SAMPLE = 8  # utterances: they cost full windows, which the run was meant to save


@dataclass(frozen=True)
class Trimming:
    """Utterance means under trimmed windows against those under full ones.

    Attributes
    ----------
    utterances : tuple of str
        The sample: one drawn from each of as many groups of similar length.
    seconds : (float, float)
        Its shortest and longest.
    layers : tuple of str
    relative : tuple of float, one per layer, >= 0
        Median over the sample of |trimmed - full| / |full|.
    cosine : tuple of float, one per layer, -1..1
        Median over the sample. Blind to what all utterances share, which is most of a raw vector.
    of_spread : tuple of float, one per layer, >= 0
        Both centred on the sample, so that a shift which all utterances share does not count: root mean
        square of |trimmed - full| by that of |full|. At 1 an utterance is as far from itself as from others.
        A sample that does not spread gives 0.
    """

    utterances: tuple[str, ...]
    seconds: tuple[float, float]
    layers: tuple[str, ...]
    relative: tuple[float, ...]
    cosine: tuple[float, ...]
    of_spread: tuple[float, ...]

    def note(self) -> str:
        """Return it as one sentence for people."""
        by_layer = ", ".join(
            f"{layer}: {relative:.1%} ({cosine:.3f}; {spread:.2f})"
            for layer, relative, cosine, spread in zip(
                self.layers, self.relative, self.cosine, self.of_spread, strict=True
            )
        )
        return (
            "windows are trimmed to the audio, which changes the features. By how much the means of "
            f"{len(self.utterances)} utterances of {self.seconds[0]:.1f} to {self.seconds[1]:.1f} s differ "
            "from those of full windows, by layer (cosine; difference without the shift that all share, by "
            f"the spread between utterances): {by_layer}"
        )


def measure_trimming(clips: Sequence[Clip], encoder: Encoder, seed: int) -> Trimming:
    """Encode a sample of a corpus both ways.

    Parameters
    ----------
    clips : sequence of Clip
        Of the whole corpus, at least one.
    encoder : Encoder
        A Whisper with trimmed windows.
    seed : int
        Of the sample.
    """
    sample = spread_sample([clip.samples for clip in clips], SAMPLE, seed)
    ours, whole = [], []
    full = encoder.in_full_windows()
    for place in sample:
        wave = read_audio(clips[place].path, clips[place].start, clips[place].end)
        ours.append(_means(encoder, wave))
        whole.append(_means(full, wave))
    relative, cosine, of_spread = compare_means(np.stack(ours), np.stack(whole))
    lengths = [clips[place].samples / SAMPLE_RATE for place in sample]
    return Trimming(
        tuple(clips[place].key for place in sample),
        (min(lengths), max(lengths)),
        encoder.layers,
        tuple(relative.tolist()),
        tuple(cosine.tolist()),
        tuple(of_spread.tolist()),
    )


def spread_sample(lengths: Sequence[int], count: int, seed: int) -> list[int]:
    """Draw places spread over lengths: one from each of ``count`` groups of neighbours in length.

    All of them where there are no more than ``count``. The shortest group comes first.

    >>> spread_sample([50, 10, 40], 8, seed=0)
    [1, 2, 0]
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    rng = np.random.default_rng(seed)
    return [int(rng.choice(group)) for group in np.array_split(order, min(count, len(order)))]


def compare_means(
    ours: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compare vectors (N, layers, D) of the same utterances, by layer; see `Trimming` for the three numbers.

    >>> ours = np.array([[[3.0, 0.0]], [[0.0, 5.0]]])
    >>> whole = np.array([[[4.0, 0.0]], [[0.0, 4.0]]])
    >>> [part.round(3).tolist() for part in compare_means(ours, whole)]  # 1/4; parallel; sqrt 0.5 / sqrt 8
    [[0.25], [1.0], [0.25]]
    """
    size, own = np.linalg.norm(whole, axis=2), np.linalg.norm(ours, axis=2)  # (N, layers)
    apart = np.linalg.norm(ours - whole, axis=2)
    tiny = np.finfo(np.float64).tiny
    left, spread = (part.std(axis=0) for part in (ours - whole, whole))  # (layers, D)
    left, spread = np.linalg.norm(left, axis=1), np.linalg.norm(spread, axis=1)
    return (
        np.median(apart / np.maximum(size, tiny), axis=0),
        np.median((ours * whole).sum(axis=2) / np.maximum(size * own, tiny), axis=0),
        np.divide(left, spread, out=np.zeros(len(spread)), where=spread > 0),
    )


def _means(encoder: Encoder, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Pool one utterance as the features are: (layers, D)."""
    from layersim.features.pooling import pool_layers

    states = encoder.encode([wave])
    mean, _ = pool_layers(states.frames, states.counts, states.prompt)
    return mean[0].double().cpu().numpy()
