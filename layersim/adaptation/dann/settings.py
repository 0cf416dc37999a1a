"""The settings of domain-adversarial training.

The poster says which encoders, which inputs, and that a gradient-reversal layer stands before the domain
head; it says that optimiser, learning rate (with a scheduler) and regularisation were tuned, and to what
values it does not. Schedules come from Ganin et al. 2016, which the poster builds on, but it does not say
that it kept them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt, model_validator

from layersim.adaptation.dann.schedules import LambdaSchedule, RateSchedule
from layersim.adaptation.settings import NetworkMethodConfig
from layersim.settings import setting

POSTER = "poster on unsupervised domain adaptation, ESD"

EncoderName = Literal["features", "conv1d", "resnet50"]

RESNET50 = {"resnet_depths": (3, 4, 6, 3), "resnet_widths": (256, 512, 1024, 2048)}  # He et al. 2016, table 1


class DannConfig(NetworkMethodConfig):
    """What `layersim.adaptation.dann.learn.learn_dann` can be told."""

    section: ClassVar[str] = "train.dann"
    paper: ClassVar[str] = POSTER
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"adversarial": True, **RESNET50}}

    encoder: EncoderName = setting(
        "features",
        "features: a small network on cached encoder features. conv1d: a 1-D CNN on sequences of spectral "
        "features. resnet50: a ResNet-50 with random weights on planes of them",
    )
    adversarial: bool = setting(
        True,
        "train the domain head, with reversal; false: the same encoder on the source alone, no target",
        paper=POSTER,
    )
    lambda_schedule: LambdaSchedule = setting(
        "ganin",
        "the weight of the reversed gradient over the run's progress p: ganin = lambda_end · "
        "(2 / (1 + exp(-10 p)) - 1); constant = lambda_end (not in source)",
    )
    lambda_end: float = setting(
        1.0,
        "lambda at the end of the run, the only weight that the domain loss has (not in source)",
        ge=0,
        allow_inf_nan=False,
    )
    choose_from: float = setting(
        0.5,
        "share of the epochs before any can be kept. While lambda rises, source validation is best where the "
        "target has counted least, so it would choose a network that is not adapted (not in source)",
        ge=0,
        lt=1,
    )
    optimiser: Literal["adamw", "sgd"] = setting(  # type: ignore[assignment]  # one more than the others have
        "adamw", "AdamW, or SGD with momentum 0.9 as in Ganin et al. (not in source)"
    )
    rate_schedule: RateSchedule = setting(
        "annealing",
        "learning rate over the run's progress p: annealing = learning_rate / (1 + 10 p)^0.75 as in Ganin et "
        "al.; cosine = down to 0; step = a tenth from p = 1/2 on and again from 3/4 on; constant "
        "(not in source)",
    )
    projection: int = setting(
        128,
        "dimensions of what both heads read; resnet50 has the last of resnet_widths instead (not in source)",
        ge=1,
    )
    domain_hidden: int = setting(64, "hidden units of the domain head (not in source)", ge=1)
    conv_channels: tuple[PositiveInt, ...] = setting(
        (64, 128, 128), "conv1d: channels of each convolution, all of stride 2 (not in source)", min_length=1
    )
    conv_kernel: int = setting(5, "conv1d: frames that a convolution covers (not in source)", ge=1)
    resnet_depths: tuple[PositiveInt, ...] = setting(
        RESNET50["resnet_depths"], "resnet50: bottlenecks in each stage", paper=POSTER, min_length=1
    )
    resnet_widths: tuple[PositiveInt, ...] = setting(
        RESNET50["resnet_widths"],
        "resnet50: channels that each stage gives; multiples of 4",
        paper=POSTER,
        min_length=1,
    )
    plane_bins: int = setting(64, "resnet50: rows that every plane is brought to (not in source)", ge=1)
    plane_frames: int = setting(
        128,
        "resnet50: columns that every plane is brought to, whatever the frames were (not in source)",
        ge=1,
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> DannConfig:
        if len(self.resnet_depths) != len(self.resnet_widths):
            raise ValueError(
                f"resnet_depths has {len(self.resnet_depths)} stages, resnet_widths {len(self.resnet_widths)}"
            )
        if odd := [width for width in self.resnet_widths if width % 4]:
            raise ValueError(f"resnet_widths: a bottleneck has a quarter of them, got {odd[0]}")
        return self
