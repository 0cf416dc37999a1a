"""The encoder: waves in, the hidden states of every layer out, valid frames only.

Layer convention
----------------
``"0"`` is what enters block 1; ``"k"`` is what block k outputs, before any final layer norm; ``"d1"`` ..
``"dM"`` are a Whisper decoder's blocks on the start-of-transcript token. All are taken by hooks on the
blocks, never from a library's ``hidden_states``, whose last entry has changed its meaning.

Frames of all utterances of a batch are laid end to end ("packed"): padding never leaves the encoder.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layersim.corpus.audio import MINIMUM_SAMPLES
from layersim.encoders.checkpoint import Checkpoint
from layersim.encoders.families import Body
from layersim.encoders.listening import on_input, on_output
from layersim.encoders.waveform import Wave, to_device
from layersim.encoders.wavlm import ATTENTION
from layersim.encoders.whisper import SPECTROGRAMS, WhisperBody
from layersim.encoders.windows import cut_windows
from layersim.errors import AudioError, LayersimError

LAYER_RULE = (
    "0 = what enters block 1; k = what block k outputs, before any final layer norm; "
    "dk = what decoder block k outputs for the start-of-transcript token"
)

_AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class HiddenStates:
    """What `Encoder.encode` returns: inference tensors, to be cloned before autograd may see them.

    Attributes
    ----------
    frames : Tensor, shape (K, F, D), float32, on the encoder's device
        K frame layers; the valid frames of all utterances end to end, F = sum(counts).
    counts : list of int
        Frames of each utterance.
    prompt : Tensor, shape (M, B, D), float32, or None
        Decoder layers, one vector an utterance (the mean over its windows); None without a decoder stack.
    """

    frames: Tensor
    counts: list[int]
    prompt: Tensor | None


@dataclass(frozen=True)
class Pass:
    """One batch of windows through the model: the states kept, and what the model itself returned."""

    frames: Tensor  # (K, F, D)
    prompt: Tensor  # (M, B, D)
    last_hidden_state: Tensor  # (B, T, D)
    decoder_last_hidden_state: Tensor | None  # (B, 1, D)


class Encoder:
    """A loaded speech transformer; make one with `layersim.encoders.load.load_encoder`.

    Attributes
    ----------
    checkpoint : str
        Hub id or folder name.
    revision : str or None
        Commit of the hub; None for a folder.
    weights_sha256 : str
        Of the safetensors file(s).
    model_type : str
        The family, as the checkpoint's configuration names it.
    width : int
        D, features per frame.
    layers, frame_layers : tuple of str
        All layer names; those that have frames (without the decoder's).
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
        Of the computation; weights and results are float32.
    stack : {"encoder", "decoder", "both"}
    max_seconds : float
        Longest window; longer audio is encoded in balanced windows.
    whisper_window : {"full", "trim"}
        ``"trim"``: Whisper's windows are as long as their audio. ``"full"`` for every other encoder.
    exact_batching : bool
        Whether utterances share batches inside. Results are exact either way: a model whose padding is
        not known to be kept out runs one window at a time.
    scales : bool
        Whether utterances are scaled first (`layersim.corpus.audio.scaled`), as the checkpoint asks for.
    notes : tuple of str
        What the user should know of this encoder.
    """

    def __init__(
        self,
        body: Body,
        source: Checkpoint,
        *,
        model_type: str,
        device: torch.device,
        precision: str,
        stack: str,
        max_seconds: float,
        max_frames: int,
        whisper_window: str = "full",
        notes: Sequence[str] = (),
    ) -> None:
        self.body = body
        self.checkpoint = source.name
        self.revision = source.revision
        self.weights_sha256 = source.weights_sha256
        self.model_type = model_type
        self.width = body.width
        blocks = len(body.blocks)
        self.frame_layers = tuple(str(layer) for layer in range(blocks + 1)) if blocks else ()
        decoder_layers = tuple(f"d{layer + 1}" for layer in range(len(body.decoder_blocks)))
        self.layers = self.frame_layers + decoder_layers
        self.device = device
        self.precision = precision
        self.stack = stack
        self.max_seconds = max_seconds
        self.whisper_window = whisper_window
        self.exact_batching = body.exact_batching
        self.scales = body.scales
        self.notes = tuple(notes)
        self._max_frames = max_frames

    def frame_count(self, samples: int) -> int:
        """How many frames an utterance of ``samples`` samples at 16 kHz gives."""
        return self.body.grid.count(samples)

    def frame_centres(self, frames: int) -> npt.NDArray[np.float64]:
        """Return the centres of an utterance's frames in seconds, shape (frames,)."""
        return self.body.grid.centres(frames)

    def window_count(self, samples: int) -> int:
        """In how many windows audio of this length is encoded; 1 unless it is over ``max_seconds``."""
        return len(cut_windows(samples, self.body.grid, self._max_frames))

    def cost(self, samples: int) -> int:
        """Frames that an utterance occupies in a batch: its own, or whole windows where those are padded."""
        if self.body.padded_frames is not None:
            return self.window_count(samples) * self.body.padded_frames
        return self.frame_count(samples)

    def describe(self) -> dict[str, Any]:
        """What the features depend on, for provenance; JSON-ready.

        ``whisper_window`` is there only where it is not full, ``attention`` only for WavLM and
        ``spectrograms`` only for Whisper, so that caches of other encoders that are older than these entries
        stay valid.
        """
        described = {
            "checkpoint": self.checkpoint,
            "revision": self.revision,
            "weights_sha256": self.weights_sha256,
            "model_type": self.model_type,
            "layers": list(self.layers),
            "layer_rule": LAYER_RULE,
            "stack": self.stack,
            "precision": self.precision,
            "max_seconds": self.max_seconds,
        }
        if self.whisper_window != "full":
            described["whisper_window"] = self.whisper_window
        if self.model_type == "wavlm":
            described["attention"] = ATTENTION
        if self.model_type == "whisper":
            described["spectrograms"] = SPECTROGRAMS
        return described

    def in_full_windows(self) -> Encoder:
        """Return a Whisper encoder of the same weights (shared) whose windows are not trimmed."""
        other, body = copy.copy(self), copy.copy(self.body)
        if not isinstance(body, WhisperBody):
            raise ValueError(f"{self.checkpoint}: only Whisper's windows can be trimmed or full")
        body.trim = False
        other.body, other.whisper_window = body, "full"
        return other

    def encode(self, waves: Sequence[npt.NDArray[Any]]) -> HiddenStates:
        """Encode a batch of utterances; each comes out as if it had been encoded alone.

        Audio over ``max_seconds`` is cut into balanced windows on the frame grid and comes out as one
        utterance. Memory grows with the longest window times the number of waves: no more windows run at
        a time than there are waves.

        Parameters
        ----------
        waves : sequence of ndarray, shape (n,), float
            Mono audio at 16 kHz, at least 400 samples each.

        Returns
        -------
        HiddenStates

        Raises
        ------
        AudioError
            If a wave is under 400 samples or not finite; it is named by its place in the batch.
        ValueError
            If there is no wave, or one is not a vector of floats.
        """
        if len(waves) == 0:
            raise ValueError("waves: expected at least one wave, got none")
        return self.encode_prepared(
            [self.body.prepare(_checked(wave, place)) for place, wave in enumerate(waves)]
        )

    def encode_prepared(self, prepared: Sequence[Wave]) -> HiddenStates:
        """As `encode`, of waves that have been checked already and, where the encoder `scales`, scaled."""
        windows, owner, counts = [], [], []
        for place, wave in enumerate(prepared):
            cut = cut_windows(len(wave), self.body.grid, self._max_frames)
            windows += [wave[window.start : window.stop] for window in cut]
            owner += [place] * len(cut)
            counts.append(sum(window.frames for window in cut))
        at_once = len(prepared) if self.exact_batching else 1
        passes = [self.run_windows(windows[start : start + at_once])
                  for start in range(0, len(windows), at_once)]  # fmt: skip
        with torch.inference_mode():
            frames = passes[0].frames if len(passes) == 1 else torch.cat([p.frames for p in passes], dim=1)
            prompt = torch.cat([one.prompt for one in passes], dim=1) if self.body.decoder_blocks else None
            if prompt is not None and len(windows) > len(prepared):
                places = torch.tensor(owner, device=prompt.device)
                prompt = torch.stack(
                    [prompt[:, places == place].mean(dim=1) for place in range(len(prepared))], dim=1
                )
        return HiddenStates(frames, counts, prompt)

    def run_windows(self, windows: Sequence[Wave]) -> Pass:
        """Run one batch of prepared windows through the model, keeping every layer's valid frames."""
        counts = [self.body.grid.count(len(window)) for window in windows]
        length = self.body.padded_frames or max(counts)
        valid = None  # positions of valid frames in a batch laid end to end; None: all are
        if set(counts) != {length}:
            valid = torch.cat([torch.arange(count) + row * length for row, count in enumerate(counts)])
            valid = to_device(self.device, valid)
        with torch.inference_mode(), self._arithmetic():
            frames = torch.empty((len(self.frame_layers), sum(counts), self.width), device=self.device)
            prompt = torch.empty(
                (len(self.body.decoder_blocks), len(windows), self.width), device=self.device
            )
            heard: set[str] = set()

            def keep_frames(layer: int, hidden: Tensor) -> None:
                if hidden.shape[1] != length:
                    raise LayersimError(
                        f"{self.checkpoint}: layer {layer} has {hidden.shape[1]} frames where its "
                        f"convolutions give {length}, so when its frames happen is unknown. Take an encoder "
                        "whose blocks run at the rate of its convolutions."
                    )
                laid = hidden.flatten(0, 1)
                frames[layer] = laid if valid is None else laid[valid]
                heard.add(str(layer))

            def keep_prompt(layer: int, hidden: Tensor) -> None:
                prompt[layer - 1] = hidden[:, 0]
                heard.add(f"d{layer}")

            with ExitStack() as hooks:
                for layer, block in enumerate(self.body.blocks, start=1):
                    if layer == 1:
                        hooks.enter_context(on_input(block, partial(keep_frames, 0)))
                    hooks.enter_context(on_output(block, partial(keep_frames, layer)))
                for layer, block in enumerate(self.body.decoder_blocks, start=1):
                    hooks.enter_context(on_output(block, partial(keep_prompt, layer)))
                last, decoder_last = self.body.run(windows)
        if missed := [layer for layer in self.layers if layer not in heard]:
            raise LayersimError(f"{self.checkpoint}: the model does not run its layers {', '.join(missed)}.")
        return Pass(frames, prompt, last, decoder_last)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """The precision asked for, whatever the caller's autocast; no TF32 in a GPU's fp32 convolutions."""
        dtype = _AUTOCAST[self.precision]
        on_gpu = self.device.type == "cuda"
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if on_gpu else nullcontext()
        with exact, torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            yield


def _checked(wave: npt.NDArray[Any], place: int) -> Wave:
    array = np.asarray(wave)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"waves[{place}]: expected a vector of floats, got shape {array.shape} of {array.dtype}"
        )
    if len(array) < MINIMUM_SAMPLES:
        raise AudioError(
            f"wave {place} of the batch: {len(array)} samples are under the {MINIMUM_SAMPLES} (25 ms at "
            "16 kHz) that one frame needs. Remove this utterance."
        )
    if not np.isfinite(array).all():
        raise AudioError(f"wave {place} of the batch: holds NaN or infinite samples. Repair or remove it.")
    return np.ascontiguousarray(array, dtype=np.float32)
