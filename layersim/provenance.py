"""How an output was made: the ``run.json`` beside it, and whether it would be made the same way now."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from layersim.documents import require_form
from layersim.settings import FLAG, Settings
from layersim.workspace import read_json, write_json

RUN = "run.json"


def library_versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("layersim", "torch", "transformers", "numpy", "pandas", "h5py", "soundfile", "soxr",
             "scikit-learn", "scipy", "kaldi-hmm-gmm", "kaldifst", "kaldi-native-fbank", "espeakng-loader",
             "pypinyin", "optuna")  # fmt: skip
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_run(
    folder: Path,
    stage: str,
    study: Mapping[str, str],
    settings: Settings[Any],
    inputs: Mapping[str, str],
    results: Mapping[str, Any],
    notes: Iterable[str] = (),
) -> None:
    """Write ``run.json`` beside a stage's output; written last, it marks the output as complete.

    Parameters
    ----------
    stage : str
        ``align``, ``extract``, ``rank``, ``train``; with its argument where it has one, ``tune la:best``.
    study : mapping
        What the stage worked on: ``encoder``, and ``corpus`` or ``source`` and ``target``.
    settings : Settings
        Written as one row per setting: name, value, origin, meaning.
    inputs : mapping
        What was read: a name and its hash.
    results, notes
        A small summary, and everything that was counted rather than used.
    """
    write_json(
        folder / RUN,
        {
            "command": command_line(stage, study, settings),
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **study,
            "settings": settings.as_rows(),
            "inputs": dict(inputs),
            "versions": library_versions(),
            "results": dict(results),
            "notes": list(notes),
        },
    )


def run_changes(
    folder: Path, settings: Settings[Any], inputs: Mapping[str, str], but: Collection[str] = ()
) -> list[str] | None:
    """Say what is different now from the finished run that stands in a folder.

    Parameters
    ----------
    but : collection of str
        Settings that do not count, since they change no result.

    Returns
    -------
    list of str or None
        Every setting and input that differs; empty if nothing does. None if no finished run stands there.
    """
    if not (folder / RUN).exists():  # written last: without it the run was never finished
        return None
    previous = read_json(folder / RUN)
    form = {"settings": ([{"name": str, "value": object}], ...), "inputs": (dict, ...)}
    require_form(previous, form, str(folder / RUN), "Delete it: then what stands beside it is made again.")
    before = {row["name"]: row["value"] for row in previous.get("settings", [])}
    now = {row["name"]: row["value"] for row in settings.as_rows()}
    changes = [
        f"{name}: {before.get(name)} there, {now.get(name)} now"
        for name in sorted({*before, *now})
        if name not in but and before.get(name) != now.get(name)
    ]
    was = previous.get("inputs", {})
    return changes + [
        f"input {name!r} has changed" for name in sorted({*was, *inputs}) if was.get(name) != inputs.get(name)
    ]


def command_line(stage: str, study: Mapping[str, str], settings: Settings[Any]) -> str:
    """Say which command asks for this run: the stage, what it works on, and the settings given as flags."""
    options: dict[str, Any] = dict(study)
    values = settings.config.model_dump(mode="json")
    options |= {name: values[name] for name, origin in settings.origins.items() if origin == FLAG}
    words = ["layersim", *stage.split()]
    for name, value in options.items():
        method = settings.config.section_of(name).partition(".")[2]  # of a method's own table
        if method and settings.origins.get(name) == FLAG:
            words += ["--set", f"{method}.{name}={json.dumps(value)}"]
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, list) else str(value))
    return shlex.join(words)
