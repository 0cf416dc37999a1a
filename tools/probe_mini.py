"""Measure what the layers of layersim-mini know: phones, speakers, emotions; beside random weights, MFCCs.

Usage::

    python tools/probe_mini.py [--encoder layersim-mini] [--real FOLDER_OF_CORPORA] [--seed 0] [--out FOLDER]

``--real`` names a folder with the corpora ``emodb``, ``ravdess`` and ``casia`` in folders of these names, as
``layersim corpus import`` reads them; those that are there are used. Without it only synthetic speech is
probed. Writes ``evidence.json``, ``evidence.md``, ``layers.png`` and ``layers.svg``. Features are kept in the
folder and computed again only for other weights or other sound. ``--quick`` asks for phones and emotions in
English and the emotions of Emo-DB alone, with one random network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from layersim.errors import LayersimError
from layersim.figures.save import save as save_figure
from layersim.workspace import write_json, write_text
from mini_probes.evidence import EMOTIONS, PHONES, TASKS, Task, gather
from mini_probes.figure import draw_layers
from mini_probes.speech import LANGUAGES, REAL
from mini_probes.tables import to_markdown


def main() -> None:
    """Probe, print the tables, write the files."""
    parser = argparse.ArgumentParser(description="Probe what the layers of an encoder know.")
    parser.add_argument("--encoder", default="layersim-mini", help="name or folder of the encoder")
    parser.add_argument("--real", type=Path, help="folder that holds emodb, ravdess and casia")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic speech and random networks")
    parser.add_argument("--twins", type=int, default=3, help="networks with random weights to compare with")
    parser.add_argument("--out", type=Path, default=Path("mini-evidence"), help="folder to write to")
    parser.add_argument("--quick", action="store_true", help="English, and Emo-DB's emotions, only")
    arguments = parser.parse_args()
    corpora: dict[str, Path] = {}
    languages: Sequence[str] = tuple(LANGUAGES)
    tasks: Sequence[Task] = TASKS
    twins = arguments.twins
    if arguments.real is not None:
        corpora = {name: arguments.real / name for name in REAL if (arguments.real / name).is_dir()}
        if not corpora:
            sys.exit(f"error: {arguments.real}: holds none of the folders {', '.join(REAL)}.")
    if arguments.quick:
        corpora = {name: folder for name, folder in corpora.items() if name == "emodb"}
        languages, tasks, twins = ("english",), (PHONES, EMOTIONS), min(twins, 1)
    try:
        document = gather(
            arguments.encoder,
            arguments.out,
            corpora,
            languages=languages,
            tasks=tasks,
            twins=twins,
            seed=arguments.seed,
            say=lambda words: print(words, file=sys.stderr, flush=True),
        )
    except LayersimError as error:
        sys.exit(f"error: {error}")
    text = to_markdown(document)
    print(text)
    write_json(arguments.out / "evidence.json", document)
    write_text(arguments.out / "evidence.md", text)
    save_figure(draw_layers(document), arguments.out / "layers")


if __name__ == "__main__":
    main()
