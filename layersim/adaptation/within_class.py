"""Within-class covariance normalisation: features in which emotions vary alike in every direction.

Directions in which utterances of *one* emotion differ (speaker, sentence, room) are shrunk, so that what is
left tells emotions apart. `plain_wccn` measures this once, on fixed features; `DeepWccn` follows the features
of a network in training, mini-batch by mini-batch.

Conventions
-----------
- ``S_c = (1/N_c) Σ_i (x_i − μ_c)(x_i − μ_c)ᵀ`` of class c; ``S_w`` is the mean of ``S_c`` over the classes,
  each with equal weight; ``Ŝ_w = (1 − λ) S_w + λ I`` with the smoothing λ in [0, 1].
- The transform B is the lower Cholesky factor of the inverse, ``B Bᵀ = Ŝ_w⁻¹``, and a feature x becomes
  ``Bᵀ x``: a row per utterance is multiplied from the right, ``features @ B``. Nothing is centred.
- A class with fewer than two rows shows no spread: its 1/N_c covariance would be 0/0, or exactly zero
  whatever the truth. It is left out of the mean, instead of pulling it towards zero.
- λ I is in the features' own units. With fewer rows than dimensions S_w is singular, and only λ > 0 helps.

References
----------
Tang, Kuppens, Geurts & van Waterschoot, arXiv 2311.13678 (Deep-WCCN). The plain form is older: Hatch,
Kajarekar & Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", Interspeech
2006.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from layersim.errors import LayersimError


class DeepWccn(nn.Module):
    """Whitening of a network's embeddings by their within-class covariance, without a trainable parameter.

    In training, each mini-batch first updates a streaming average per class,
    ``S_c ← S_c + (S_c(batch) − S_c) / t``, then B, then passes through the new B. In evaluation B is the
    stored one and nothing changes. B is a constant to the gradient: what comes back to ``x`` is ``B`` times
    what came in, and no gradient flows through the covariances.

    The source lets t count mini-batches. Here it counts, class by class, those that had at least *two* rows
    of the class; other mini-batches leave the class as it is. Where every class has two rows in every
    mini-batch, the two are the same. Where one has not, a common t would weigh the class's first covariance
    by 1/t against a zero that was never measured, and a single row would add an exact zero: rare emotions
    would look tighter than they are. (With 14 rows of four equally frequent emotions, some emotion has a
    single row in about every third mini-batch.) S_w is the mean over the classes measured so far; before the
    first, B is the identity.

    A mini-batch that is not finite is not averaged in: it would stay in S_c for ever. What it gives is not
    finite either, so that the training loop sees it.

    Parameters
    ----------
    width : int, E >= 1
        Dimensions of an embedding.
    classes : int, C >= 1
    smoothing : float, 0..1
        λ of the module.

    Attributes
    ----------
    covariances : Tensor, shape (C, E, E), float64
        S_c, zeros for a class not measured yet.
    measured : Tensor, shape (C,), int64
        t of each class.
    transform : Tensor, shape (E, E), float64
        B. All three are buffers: they are saved and loaded with the network's weights.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Tang et al., arXiv 2311.13678, Deep-WCCN.

    >>> layer = DeepWccn(width=2, classes=1, smoothing=0.0)
    >>> rows = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # variances 2 and 1/2
    >>> layer(rows, torch.zeros(4, dtype=torch.int64)).square().mean(dim=0)
    tensor([1.0000, 1.0000])
    """

    covariances: Tensor
    measured: Tensor
    transform: Tensor

    def __init__(self, width: int, classes: int, smoothing: float) -> None:
        super().__init__()
        if width < 1 or classes < 1:
            raise ValueError(f"width and classes must be at least 1, got {width} and {classes}")
        _require_smoothing(smoothing)
        self.smoothing = smoothing
        self.register_buffer("covariances", torch.zeros(classes, width, width, dtype=torch.float64))
        self.register_buffer("measured", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("transform", torch.eye(width, dtype=torch.float64))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return ``Bᵀ x`` of every row; in training, update B by these rows first.

        Parameters
        ----------
        x : Tensor, shape (n, E), float
        labels : Tensor, shape (n,), int64, 0..C-1, optional
            Needed in training, not read in evaluation.

        Returns
        -------
        Tensor, shape (n, E), the dtype of ``x``
            Computed in float32 at least, also inside autocast.

        Raises
        ------
        ValueError
            If shapes do not fit, a label is out of range, or training gives no labels.
        LayersimError
            If the covariance cannot be inverted: λ is too small for what has been seen.
        """
        if x.ndim != 2 or x.shape[1] != self.transform.shape[0]:
            raise ValueError(f"x must have shape (n, {self.transform.shape[0]}), got {tuple(x.shape)}")
        if self.training:
            if labels is None:
                raise ValueError(
                    "in training, Deep-WCCN needs the labels of x; call .eval() to use it as it is"
                )
            self._update(x.detach(), labels)
        with torch.autocast(device_type=x.device.type, enabled=False):
            precise = x if x.dtype == torch.float64 else x.float()
            return (precise @ self.transform.to(precise.dtype)).to(x.dtype)

    def _update(self, x: Tensor, labels: Tensor) -> None:
        classes = len(self.measured)
        if labels.shape != x.shape[:1]:
            raise ValueError(f"labels must have shape ({len(x)},), got {tuple(labels.shape)}")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ValueError(
                f"labels must lie in 0..{classes - 1}, got {int(labels.min())} to {int(labels.max())}"
            )
        rows = x.double()
        if not torch.isfinite(rows).all():
            return
        covariances, measured = list(self.covariances.double()), self.measured.clone()
        for number in range(classes):
            own = rows[labels == number]
            if len(own) > 1:
                centred = own - own.mean(dim=0)
                measured[number] += 1
                change = centred.T @ centred / len(own) - covariances[number]
                covariances[number] = covariances[number] + change / measured[number]
        if not measured.any():
            return
        # New tensors, not changes in place: a backward pass may still need the B that its forward pass used.
        self.covariances, self.measured = torch.stack(covariances), measured
        within = self.covariances[measured > 0].mean(dim=0)  # (E, E)
        self.transform = _inverse_factor(within, self.smoothing)


def plain_wccn(
    features: NDArray[np.floating], labels: Sequence[str] | NDArray[np.generic], smoothing: float = 0.1
) -> NDArray[np.float64]:
    """Measure the transform B of fixed features; ``features @ B`` are the normalised ones.

    Parameters
    ----------
    features : ndarray, shape (N, F), finite
        Of a train split, standardised: λ I is in their units.
    labels : sequence, length N
        Emotions, or whatever the classes are.
    smoothing : float, 0..1
        λ of the module (0.1 is not in source). F > N needs more than 0.

    Returns
    -------
    ndarray, shape (F, F), float64
        Lower triangular. Use it unchanged on other splits and corpora.

    Raises
    ------
    ValueError
        If shapes do not fit, a feature is not finite, or the smoothing is out of range.
    LayersimError
        If no class has two rows, or the covariance cannot be inverted.

    >>> features = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # variances 2 and 1/2
    >>> plain_wccn(features, ["sad"] * 4, smoothing=0.0) ** 2
    array([[0.5, 0. ],
           [0. , 2. ]])
    """
    rows, names = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if rows.ndim != 2 or names.shape != rows.shape[:1] or not rows.size:
        raise ValueError(
            f"features and labels must have shapes (N, F) and (N,), got {rows.shape}, {names.shape}"
        )
    if not np.isfinite(rows).all():
        raise ValueError("features must be finite")
    _require_smoothing(smoothing)
    own = [rows[names == name] for name in np.unique(names)]
    covariances = [
        np.cov(part, rowvar=False, bias=True).reshape(rows.shape[1], -1) for part in own if len(part) > 1
    ]
    if not covariances:
        raise LayersimError(
            f"within-class covariance: none of {len(own)} classes has two utterances. Use more utterances of "
            "each emotion, or leave WCCN out."
        )
    return np.asarray(_inverse_factor(torch.from_numpy(np.mean(covariances, axis=0)), smoothing).numpy())


def _require_smoothing(smoothing: float) -> None:
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must lie in 0..1, got {smoothing}")


def _inverse_factor(within: Tensor, smoothing: float) -> Tensor:
    """Lower B with positive diagonal and ``B Bᵀ = Ŝ_w⁻¹``, of float64 S_w (E, E), without inverting it.

    With rows and columns in reverse order (J), ``J Ŝ J = L Lᵀ``, so ``Ŝ⁻¹ = (J L⁻ᵀ J)(J L⁻ᵀ J)ᵀ``, and
    ``J L⁻ᵀ J`` is lower triangular: the Cholesky factor of the inverse, which is unique.
    """
    size = len(within)
    smooth = (1 - smoothing) * within + smoothing * torch.eye(size, dtype=within.dtype, device=within.device)
    factor, failed = torch.linalg.cholesky_ex(smooth.flip(0, 1))
    # A squared diagonal entry is what a dimension has left when the others are known: rounding, if singular.
    rounding = size * torch.finfo(within.dtype).eps * smooth.diagonal().max()
    if int(failed) or bool(factor.diagonal().square().min() <= rounding):
        raise LayersimError(
            f"the within-class covariance of {size} dimensions cannot be inverted with smoothing "
            f"{smoothing:g}: there are too few utterances per class, or dimensions that do not vary. Set a "
            "larger smoothing (at most 1)."
        )
    identity = torch.eye(size, dtype=within.dtype, device=within.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.T.flip(0, 1).contiguous()
