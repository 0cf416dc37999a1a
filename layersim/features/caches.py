"""The caches of a workspace, whatever state they are in: of its encoders, and of acoustic features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from layersim.encoders.checkpoint import EMBEDDED
from layersim.errors import LayersimError
from layersim.features.shard_heads import read_head
from layersim.features.shards import part_files
from layersim.workspace import Workspace, encoder_slug


@dataclass(frozen=True)
class CacheFolder:
    """Where one corpus's features are or will be."""

    corpus: str
    features: str  # the encoder's name in paths, or the set of acoustic features
    folder: Path
    manifest: Path
    command: str  # that makes it

    def advise(self, message: str) -> str:
        """Let a message that advises ``layersim extract`` advise the command that makes this cache."""
        return message.replace("layersim extract", self.command)


def find_caches(
    workspace: Workspace, corpora: Sequence[str] | None = None, encoder: str | None = None
) -> list[CacheFolder]:
    """List the caches of a workspace, by corpus, then by encoder or set.

    Parameters
    ----------
    corpora : sequence of str, optional
        Their names; None: all of the workspace.
    encoder : str, optional
        Only this encoder's; None: those of all, and acoustic features.

    Raises
    ------
    LayersimError
        If the workspace has no corpus of a name.
    """
    found = []
    for name in workspace.corpora if corpora is None else corpora:
        manifest = workspace.corpus(name).manifest
        named = encoder or workspace.encoder or None
        slugs = {encoder_slug(named)} if named else set()
        if encoder is None:
            slugs |= {folder.parent.name for folder in workspace.root.glob(f"cache/*/{name}")}
        for slug in sorted(slugs):
            folder = workspace.root / "cache" / slug / name
            own = named is not None and slug == encoder_slug(named)
            command = "layersim extract" if own else f"layersim extract --encoder {_encoder(folder, slug)}"
            found.append(CacheFolder(name, slug, folder, manifest, command))
        for folder in sorted(workspace.root.glob(f"acoustic/*/{name}")) if encoder is None else []:
            features = folder.parent.name
            command = f"layersim extract --acoustic {features}"
            found.append(CacheFolder(name, features, folder, manifest, command))
    return found


def _encoder(folder: Path, slug: str) -> str:
    """How to name the encoder that a cache is of, by what its shards say, or by its folder."""
    for file in part_files(folder):
        with suppress(LayersimError, OSError):
            described = read_head(file).provenance.get("encoder")
            if isinstance(described, dict) and isinstance(name := described.get("checkpoint"), str):
                if "/" not in name and name != EMBEDDED:  # it was a folder, of which only the name is known
                    return f"FOLDER/{name}"
                revision = described.get("revision")
                return f"{name}@{revision}" if isinstance(revision, str) else name
    return slug
