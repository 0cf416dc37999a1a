"""Find a checkpoint: a folder, the one that is shipped, or a model hub's repository. Safetensors only.

Weights in pickle files (``pytorch_model.bin``) are never read, since unpickling runs code. Several known
checkpoints (WavLM among them) keep only such files on their main branch, and a conversion to safetensors
by the hub's own bot beside it; that one is taken then, and named in the notes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layersim.errors import LayersimError
from layersim.workspace import files_sha256

EMBEDDED = "layersim-mini"  # shipped with the package, in a folder beside this file

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Not *.safetensors: some repositories keep the same weights several times, in other precisions.
_WANTED = ["*.json", "model.safetensors", "model-*.safetensors"]
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_CONVERSION_TITLE = "Adding `safetensors` variant of this model"
_CONVERSION_AUTHOR = "SFconvertbot"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this disk.

    Attributes
    ----------
    name : str
        Hub id, or the folder's name.
    folder : Path
        Where ``config.json`` and the weights lie.
    revision : str or None
        Commit of the hub's repository; None for a folder.
    weights_sha256 : str
        Of the weight files' bytes, in the order of their names; for a single file its own sha256.
    notes : tuple of str
        What is out of the ordinary about it.
    """

    name: str
    folder: Path
    revision: str | None
    weights_sha256: str
    notes: tuple[str, ...] = ()


def find_checkpoint(checkpoint: str) -> Checkpoint:
    """Find a local folder or ``layersim-mini``, or fetch a hub id (``owner/name``, ``owner/name@revision``).

    A local folder called ``layersim-mini`` goes before the one that is shipped.

    Raises
    ------
    LayersimError
        If there is no such checkpoint, the hub is out of reach, or there is no configuration or no
        safetensors file in it.
    """
    folder = Path(checkpoint).expanduser()
    if checkpoint == EMBEDDED and not folder.is_dir():
        folder = Path(__file__).with_name(EMBEDDED)
    if folder.is_dir():
        files = _weight_files(folder, checkpoint)
        return Checkpoint(folder.resolve().name, folder, None, files_sha256(files))
    name, _, revision = checkpoint.partition("@")
    if folder.exists() or not _HUB_ID.fullmatch(name):
        raise LayersimError(
            f"{checkpoint}: no such folder, and not a hub id. Give a folder that holds config.json and "
            f"model.safetensors, an id such as microsoft/wavlm-base-plus, or {EMBEDDED}."
        )
    folder, notes = _fetch(name, revision or None), list[str]()
    if not revision and not list(folder.glob("*.safetensors")):
        converted = _conversion(name)
        if converted:
            folder = _fetch(name, converted)
            notes.append(f"{name}: weights from the hub's safetensors conversion, {name}@{converted}")
    return Checkpoint(
        name, folder, folder.name, files_sha256(_weight_files(folder, checkpoint)), tuple(notes)
    )


def _weight_files(folder: Path, checkpoint: str) -> list[Path]:
    """The safetensors files of a folder, in the order of their names."""
    if not (folder / "config.json").is_file():
        raise LayersimError(
            f"{checkpoint}: no config.json, so this is not a checkpoint. Give the folder that "
            "save_pretrained wrote, or that the model hub shows."
        )
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise LayersimError(f"{index}: not an index of safetensors files: {error!r}.") from None
        lacking = [name for name in names if not (folder / name).is_file()]
        if lacking:
            raise LayersimError(f"{checkpoint}: weight files are missing: {', '.join(lacking)}. Fetch them.")
        return [folder / name for name in names]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    found = f"only pickle files ({', '.join(pickles)})" if pickles else "no weights"
    raise LayersimError(
        f"{checkpoint}: no model.safetensors, {found}. Weights are read from safetensors alone, since "
        "unpickling runs code. Name a revision that has them (OWNER/NAME@REVISION), or convert them where no "
        f'harm can be done: python -c "from transformers import AutoModel; '
        f"AutoModel.from_pretrained('{checkpoint}').save_pretrained('{folder}')\""
    )


def _fetch(name: str, revision: str | None) -> Path:
    """Fetch a repository's configuration and weights, or find them in the hub client's own cache."""
    import huggingface_hub
    from huggingface_hub import errors

    at = f"{name}@{revision}" if revision else name
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=_WANTED))
    except errors.GatedRepoError:
        raise LayersimError(
            f"{at}: the hub shows this checkpoint only to those who accepted its terms. Accept them on its "
            "page, then log in with: hf auth login."
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError):
        raise LayersimError(
            f"{at}: neither a folder here nor a checkpoint on the model hub. Check the spelling."
        ) from None
    except Exception as error:  # a broken network has another class in each version of the client
        raise LayersimError(
            f"{at}: not a folder here, not fetched before, and the model hub is out of reach "
            f"({type(error).__name__}). Connect, or fetch it elsewhere and give its folder."
        ) from error


def _conversion(name: str) -> str | None:
    """The revision where the hub's bot has put a repository's weights as safetensors."""
    import huggingface_hub

    try:
        discussions: list[Any] = list(huggingface_hub.HfApi().get_repo_discussions(name))
    except Exception as error:  # as above: no one class for a broken network
        raise LayersimError(
            f"{name}: its main branch has no safetensors, and the model hub is out of reach to look for a "
            f"conversion ({type(error).__name__}). Connect, or name the revision: {name}@refs/pr/NUMBER."
        ) from error
    for discussion in discussions:
        # The author is checked because anyone may open a pull request of that title.
        if (
            discussion.is_pull_request
            and discussion.author == _CONVERSION_AUTHOR
            and discussion.title == _CONVERSION_TITLE
        ):
            return f"refs/pr/{discussion.num}"
    return None
