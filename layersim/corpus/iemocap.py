"""IEMOCAP: labels from ``dialog/EmoEvaluation``, words from ``dialog/transcriptions``, one wav per turn.

Busso et al., Language Resources and Evaluation 42(4), 2008. In ``Ses01F_impro01_M003`` the first letter says
whose motion was captured, the last one who speaks: the speaker is Ses01M. The two speakers of a session
talk to each other, so that splits are made of whole sessions.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from layersim.corpus.folder import AudioFiles, Reading, Row, read_corpus_text

SESSIONS = {"1": "train", "2": "train", "3": "train", "4": "validation", "5": "test"}

_TURN = re.compile(r"Ses0([1-5])[FM]_.+_([FM])\d{3}$")
_LABEL = re.compile(r"^\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s+(\S+)\s+(\S+)\s+\[")
_WORDS = re.compile(r"^(\S+)\s+\[[^\]]*\]:\s*(.*)$")


def read_iemocap(folder: Path, files: AudioFiles) -> Reading:
    """Read the full release, or some of its sessions."""
    reading = Reading(
        looked_for="Session1/dialog/EmoEvaluation/Ses01F_impro01.txt and "
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        label_map="iemocap",
    )
    turns = {PurePosixPath(path).stem: path for path in files.paths if _TURN.match(PurePosixPath(path).stem)}
    labels = _matches(folder, "EmoEvaluation", _LABEL)
    words = _matches(folder, "transcriptions", _WORDS)
    whole = {found[1] for turn in labels if (found := _TURN.match(turn))} == set(SESSIONS)
    for turn, label in labels.items():
        found = _TURN.match(turn)
        if found is None:
            reading.left_out["labels of turns not named like Ses01F_impro01_F000"].append(turn)
        elif turn not in turns:
            reading.left_out["labels without audio"].append(turn)
        else:
            session, voice = found.groups()
            reading.rows.append(
                Row(
                    turn,
                    turns[turn],
                    f"Ses0{session}{voice}",
                    "en",
                    label,
                    words.get(turn, ""),
                    "female" if voice == "F" else "male",
                    SESSIONS[session] if whole else "",
                )
            )
    reading.left_out["audio files without label"] = [turns[turn] for turn in turns if turn not in labels]
    if whole:
        reading.notes.append("sessions are the folds: 1-3 train, 4 is validation, 5 is test")
    return reading


def _matches(folder: Path, kind: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """Collect turn -> value from the text files directly in every ``dialog/KIND``."""
    found = {}
    for file in sorted(folder.rglob(f"{kind}/*.txt")):
        if not file.name.startswith("."):
            for line in read_corpus_text(file, "cp1252").splitlines():
                if match := pattern.match(line):
                    found[match[1]] = match[2].strip()
    return found
