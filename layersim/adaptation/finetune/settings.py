"""What training the encoder can be told; no source states any of it, unless it says so."""

from __future__ import annotations

from typing import ClassVar, Literal

from layersim.adaptation.coral import Form
from layersim.adaptation.settings import LAYER_ANCHORING, Mode, NetworkMethodConfig
from layersim.settings import setting

Compare = Literal["pooled", "projected"]
Measure = Literal["once", "epoch"]
Reduction = Literal["mean", "sum"]


class FinetuneConfig(NetworkMethodConfig):
    """Settings of ``--finetune``: of layer anchoring (la), and of what Deep-WCCN (wccn) does to its encoder.

    The layer-anchoring paper does not say whether its encoder is frozen; Deep-WCCN's trains it whole. wccn
    takes from here ``epochs``, ``patience`` and what is marked "wccn" or concerns the encoder alone;
    everything else is in its own table. Of ``[train]``, flags alone bear on these settings: what its table
    says is meant for small networks on cached features.
    """

    section: ClassVar[str] = "train.finetune"
    paper: ClassVar[str] = LAYER_ANCHORING

    epochs: int = setting(10, "most passes over the source's train split (not in source)", ge=1)
    patience: int = setting(
        3,
        "epochs without a better source validation UAR (or the same UAR at a lower validation "
        "cross-entropy) after which a run ends (not in source)",
        ge=1,
    )
    batch: int = setting(
        8,
        "la: utterances per step from each corpus; as many as both train splits have where they are smaller "
        "(not in source)",
        ge=2,
    )
    accumulate: int = setting(
        1,
        "steps whose gradients are added up before the weights move; CORAL and Deep-WCCN see one step's "
        "utterances (not in source)",
        ge=1,
    )
    learning_rate: float = setting(
        1e-3, "la: AdamW step size of the classifier (not in source)", gt=0, allow_inf_nan=False
    )
    encoder_learning_rate: float = setting(
        1e-5, "la: AdamW step size of the encoder, mode full (not in source)", gt=0, allow_inf_nan=False
    )
    lora_learning_rate: float = setting(
        1e-4, "la: AdamW step size of the adapters, mode lora (not in source)", gt=0, allow_inf_nan=False
    )
    clip: float = setting(
        1.0,
        "la: largest norm of a step's gradient, of encoder and classifier each; a larger one is scaled down "
        "(not in source)",
        gt=0,
    )
    mode: Mode = setting(
        "lora",
        "full: all weights below the highest anchor. lora: low-rank adapters on the attention's projections "
        "alone (not in source)",
    )
    freeze_feature_extractor: bool = setting(
        True, "leave the convolutions that read the sound as they are, mode full (not in source)"
    )
    lora_rank: int = setting(8, "dimensions of an adapter (not in source)", ge=1)
    lora_alpha: float = setting(
        16.0, "an adapter's output is scaled by alpha / rank (not in source)", gt=0, allow_inf_nan=False
    )
    lora_dropout: float = setting(
        0.05, "share of an adapter's input dropped in training (not in source)", ge=0, lt=1
    )
    lora_targets: tuple[str, ...] | None = setting(
        None,
        "names of the linear modules in a block that get an adapter; none given: query, key, value and "
        "output of the attention (not in source)",
        min_length=1,
    )
    gamma: float = setting(
        # Measured with layersim-mini, Emo-DB to RAVDESS, three anchors, 8 and 16 utterances a side: CORAL's
        # gradient to the encoder was 900 and 650 times that of cross-entropy (projected: 140 and 100 times).
        1e-3,
        "la: weight of the summed CORAL losses; 0.001 makes the two losses' gradients alike in size where "
        "pooled outputs are compared, 0.01 where projections are (not in source)",
        ge=0,
        allow_inf_nan=False,
    )
    coral: Form = setting(
        "frobenius",
        "la: frobenius = ||Cs - Ct||_F as the anchoring paper writes it; squared = ||Cs - Ct||_F^2 / (4 D^2) "
        "of Deep CORAL",
        paper=LAYER_ANCHORING,
    )
    compare: Compare = setting(
        "pooled",
        "la: what CORAL compares. pooled: the blocks' pooled and standardised outputs. projected: each "
        "layer's projection in the classifier, as on cached features (not in source)",
    )
    standardise: Literal["corpus", "source"] = setting(
        "corpus",
        "la: corpus = each corpus by its own unlabelled train statistics; source = both by the source's "
        "(not in source)",
    )
    measure: Measure = setting(
        "once",
        "la: when those statistics are measured. once: with the encoder as it comes. epoch: anew after every "
        "epoch, for one more pass over the train splits (not in source)",
    )
    crop_seconds: float = setting(
        6.0,
        "la: longest stretch of an utterance that a training step hears, cut at random, s; evaluation hears "
        "utterances whole (not in source)",
        ge=0.1,
        allow_inf_nan=False,
    )
    mask_probability: float = setting(
        0.65,
        "wccn: share of the frames that the encoder's own loss hides, overlaps counted twice: that of "
        "wav2vec 2.0's pretraining (not in source)",
        gt=0,
        le=1,
    )
    mask_frames: int = setting(
        10, "wccn: frames that are hidden at a stretch, as in wav2vec 2.0's pretraining (not in source)", ge=1
    )
    reduction: Reduction = setting(
        "mean",
        "wccn: the encoder's own loss per hidden frame (mean), or summed over a step's hidden frames as "
        "transformers gives it (sum), some hundreds of times as much (not in source)",
    )
    checkpointing: bool = setting(
        False, "compute a block's inner values again in the backward pass: less memory, a third slower"
    )
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", "arithmetic of the encoder; bf16 on a GPU only. Pooling and losses are always fp32"
    )
