"""Load a speech encoder from a folder or a model hub, and refuse what cannot be trusted.

torch and transformers are imported when an encoder is loaded, not when this module is.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Literal, get_args

from layersim.corpus.audio import SAMPLE_RATE
from layersim.encoders.checkpoint import Checkpoint, find_checkpoint
from layersim.errors import LayersimError

if TYPE_CHECKING:
    import torch

    from layersim.encoders.encoder import Encoder
    from layersim.encoders.families import Body

log = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
Stack = Literal["encoder", "decoder", "both"]
WhisperWindow = Literal["full", "trim"]

DEFAULT_SECONDS = 30.0  # Whisper's window; for the others a bound on attention's quadratic memory
MINIMUM_SECONDS = 1.0  # a shorter window leaves its frames next to no context

# Made for masking in training and not used otherwise; many checkpoints do not store it.
_UNUSED_WEIGHTS = ("masked_spec_embed",)


def load_encoder(
    checkpoint: str,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    stack: Stack = "encoder",
    max_seconds: float | None = None,
    whisper_window: WhisperWindow = "full",
) -> Encoder:
    """Load a speech transformer whose layers, frames and batching keep the contracts.

    Parameters
    ----------
    checkpoint : str
        A folder with ``config.json``, ``preprocessor_config.json`` and safetensors weights; or a hub id,
        ``owner/name`` or ``owner/name@revision``.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    precision : {"fp32", "bf16", "fp16"}
        Of the computation (autocast); weights and results are float32.
    stack : {"encoder", "decoder", "both"}
        Whose blocks are the layers; only Whisper has a decoder.
    max_seconds : float, optional
        Longest stretch that is encoded in one piece, at least 1; default 30, or what the model holds.
    whisper_window : {"full", "trim"}
        ``"trim"``: Whisper's windows are as long as their audio, not padded to 30 s. Much faster on short
        clips, and *other features*; only Whisper has such windows.

    Returns
    -------
    Encoder
        In evaluation mode, without gradients.

    Raises
    ------
    LayersimError
        If the checkpoint cannot be found or read, is no speech encoder, lacks weights or holds NaN; if it
        fails the self-check; if an installed torchaudio is broken; if the device is not there.
    ValueError
        If ``precision``, ``stack`` or ``whisper_window`` is none of those above.
    """
    for name, value, known in (
        ("precision", precision, Precision), ("stack", stack, Stack),
        ("whisper_window", whisper_window, WhisperWindow),
    ):  # fmt: skip
        if value not in get_args(known):
            raise ValueError(f"{name}: expected one of {get_args(known)}, got {value!r}")
    refuse_broken_torchaudio()

    from layersim.encoders.check import self_check
    from layersim.encoders.encoder import Encoder

    place = find_device(device)
    with quiet():
        source = find_checkpoint(checkpoint)
        body, model_type = _load_body(source, stack, whisper_window, place)
    notes = [*source.notes, *_notes(body, model_type, place, precision)]
    seconds, frames = _window_limit(body, max_seconds, source.name)

    def encoder(precision: str) -> Encoder:
        return Encoder(
            body, source, model_type=model_type, device=place, precision=precision, stack=stack,
            max_seconds=seconds, max_frames=frames, whisper_window=whisper_window, notes=notes,
        )  # fmt: skip

    self_check(encoder("fp32"))
    for note in notes:
        log.warning(note)
    return encoder(precision)


def refuse_broken_torchaudio() -> None:
    """Recognise a torchaudio that is installed and cannot load, before transformers trips over it.

    transformers imports torchaudio beside its speech models, and an error there reads as if those models
    did not exist.

    Raises
    ------
    LayersimError
        If ``import torchaudio`` fails; says how to mend it.
    """
    if importlib.util.find_spec("torchaudio") is None:
        return
    try:
        import_module("torchaudio")
    except Exception as error:  # OSError from a library of another build, but also ImportError, RuntimeError
        found = {}
        for package in ("torchaudio", "torch"):
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                found[package] = "of unknown version"
        raise LayersimError(
            f"torchaudio {found['torchaudio']} is installed and cannot load beside torch {found['torch']} "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}); it "
            "would take transformers' speech models down with it. It is not needed: pip uninstall "
            "torchaudio. Or install the build that belongs to this torch."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' and the hub client's own bars and log lines, which are put back afterwards."""
    from transformers.utils import logging as transformers_logging

    hub: Any = import_module("huggingface_hub.utils")  # a lazy module, which types do not see through
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    hub_bars = not hub.are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            hub.enable_progress_bars()


def find_device(name: str) -> torch.device:
    """Return a device of torch by its name.

    Raises
    ------
    LayersimError
        If torch does not know it or does not see it.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise LayersimError(f"device {name!r}: not known here. Use cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LayersimError(
            f"device {name!r}: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices. Use "
            "cpu, or install a CUDA build of torch."
        )
    return device


def _load_body(source: Checkpoint, stack: str, whisper_window: str, device: torch.device) -> tuple[Body, str]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

    from layersim.encoders.families import find_family

    name, folder = source.name, str(source.folder)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder, **local)
    except (OSError, ValueError, KeyError) as error:
        raise LayersimError(
            f"{name}: config.json cannot be read by transformers {metadata.version('transformers')}: "
            f"{first_line(error)} Code that comes with a checkpoint is not run."
        ) from error
    family = find_family(config, name, stack, whisper_window)
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, **local)
    except (OSError, ValueError, KeyError) as error:
        raise LayersimError(
            f"{name}: its feature extractor cannot be read: {first_line(error)} Put the checkpoint's "
            "preprocessor_config.json beside config.json."
        ) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise LayersimError(
            f"{name}: reads audio at {extractor.sampling_rate} Hz, and features here are at {SAMPLE_RATE} "
            "Hz. Take a 16 kHz encoder."
        )
    try:
        model, info = AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **local,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise LayersimError(
            f"{name}: its weights cannot be loaded: {first_line(error)} Fetch the checkpoint "
            "again, configuration and weights together."
        ) from error
    refuse_wrong_weights(name, model, info)
    model.eval().requires_grad_(False)
    body = family(model, extractor, stack)
    model.to(device)
    return body, config.model_type


def refuse_wrong_weights(name: str, model: Any, info: dict[str, Any]) -> None:
    """Refuse weights that are missing (they would be random) and surplus (left out), and NaN, which spreads.

    Raises
    ------
    LayersimError
    """
    missing = sorted(key for key in info["missing_keys"] if key.rpartition(".")[2] not in _UNUSED_WEIGHTS)
    if missing:
        raise LayersimError(
            f"{name}: {len(missing)} weights are missing from the checkpoint and would be random "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}). Take a complete checkpoint."
        )
    surplus = sorted(
        key for key in info["unexpected_keys"] if "encoder.layers." in key or "decoder.layers." in key
    )
    if surplus:
        raise LayersimError(
            f"{name}: the checkpoint holds {len(surplus)} weights of blocks that its config.json does not "
            f"describe ({', '.join(surplus[:3])}{', ...' if len(surplus) > 3 else ''}). Take the config.json "
            "that belongs to it."
        )
    for key, values in [*model.named_parameters(), *model.named_buffers()]:
        if key.rpartition(".")[2] in _UNUSED_WEIGHTS:  # where it is missing, it is whatever stood in memory
            continue
        if values.is_floating_point() and not values.isfinite().all():
            raise LayersimError(f"{name}: weight {key} holds NaN or infinite values. Fetch the file again.")


def _window_limit(body: Body, max_seconds: float | None, name: str) -> tuple[float, int]:
    """The longest window in seconds and in frames."""
    held = body.held_frames and body.held_frames * body.grid.hop / SAMPLE_RATE
    seconds = float(max_seconds if max_seconds is not None else min(DEFAULT_SECONDS, held or DEFAULT_SECONDS))
    if held and seconds > held:
        raise LayersimError(f"{name}: max_seconds is {seconds:g} and the model holds {held:g}. Lower it.")
    if max_seconds is not None and not seconds >= MINIMUM_SECONDS:
        raise LayersimError(f"{name}: max_seconds is {seconds:g}; at least {MINIMUM_SECONDS:g} is needed.")
    return seconds, body.grid.count(round(seconds * SAMPLE_RATE))


def _notes(body: Body, model_type: str, device: torch.device, precision: str) -> list[str]:
    notes = []
    if not body.exact_batching:
        notes.append(
            f"{model_type!r} is not among the families whose padding is kept out: "
            "utterances run one at a time"
        )
    if device.type == "cpu" and precision != "fp32":
        notes.append(
            f"precision {precision} on a CPU: 10 to 30 times slower than fp32 where the CPU lacks the "
            "instructions, and less exact"
        )
    return notes


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, as a sentence."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return first if first.endswith((".", "!", "?")) else f"{first}."
