"""Corpora whose file names say speaker, emotion and sentence: one small class for each.

A class has the pattern that a file's path without its suffix must fit (searched from the right end), an
example for messages, and ``row``, which turns a match into a `Row` or into the reason why the file is left
out. What else the corpus says of its files (transcripts, demographics) is read once, by the constructor.
The labels of a row are the corpus's own codes; `layersim.corpus.labels` maps them.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath
from typing import ClassVar, Protocol

from layersim.corpus.folder import AudioFiles, Reading, Row, read_corpus_text, without_suffix
from layersim.errors import LayersimError


class NamedFiles(Protocol):
    """A corpus whose file names carry its labels."""

    pattern: ClassVar[re.Pattern[str]]
    example: ClassVar[str]

    def __init__(self, folder: Path) -> None: ...

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Return the utterance of a file, or why the file is none."""
        ...


def read_named_files(layout: type[NamedFiles], folder: Path, files: AudioFiles) -> Reading:
    """Read a corpus by its file names; files that do not fit are listed with the reason."""
    corpus = layout(folder)
    reading = Reading(looked_for=f"audio files named like {layout.example}")
    for path in files.paths:
        match = layout.pattern.search(without_suffix(path))
        found = corpus.row(match, path) if match else f"files not named like {layout.example}"
        if isinstance(found, Row):
            reading.rows.append(found)
        else:
            reading.left_out[found].append(path)
    return reading


class EmoDb:
    """Berlin Database of Emotional Speech: speaker, sentence, emotion letter, version.

    Burkhardt et al., Interspeech 2005, and the corpus's documentation. Sentence a05 is printed there as
    "Das schwarze Stück Papier ..."; the speakers say "Blatt Papier".
    """

    pattern: ClassVar = re.compile(r"(?:^|/)(\d{2})([ab]\d{2})([A-Z])[a-z]?$")
    example: ClassVar = "03a01Fa.wav"
    women = frozenset({"08", "09", "13", "14", "16"})
    sentences: ClassVar[dict[str, str]] = {
        "a01": "Der Lappen liegt auf dem Eisschrank.",
        "a02": "Das will sie am Mittwoch abgeben.",
        "a04": "Heute Abend könnte ich es ihm sagen.",
        "a05": "Das schwarze Blatt Papier befindet sich da oben neben dem Holzstück.",
        "a07": "In sieben Stunden wird es soweit sein.",
        "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
        "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
        "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
        "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
        "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
    }

    def __init__(self, folder: Path) -> None:
        """Nothing beside the file names is read."""

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Read one file's name."""
        speaker, sentence, letter = match.groups()
        return Row(
            PurePosixPath(path).stem, path, speaker, "de", letter, self.sentences.get(sentence, ""),
            "female" if speaker in self.women else "male",
        )  # fmt: skip


class Ravdess:
    """RAVDESS: modality, vocal channel, emotion, intensity, statement, repetition, actor.

    Livingstone & Russo, PLoS ONE 13(5), 2018. Song and the sound tracks of the videos are left out.
    """

    pattern: ClassVar = re.compile(r"(?:^|/)(\d\d)-(\d\d)-(\d\d)-\d\d-(\d\d)-\d\d-(\d\d)$")
    example: ClassVar = "03-01-05-01-02-01-12.wav"
    statements: ClassVar[dict[str, str]] = {
        "01": "Kids are talking by the door.",
        "02": "Dogs are sitting by the door.",
    }

    def __init__(self, folder: Path) -> None:
        """Nothing beside the file names is read."""

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Read one file's name."""
        modality, channel, emotion, statement, actor = match.groups()
        if channel != "01":
            return "files of song (vocal channel 02)"
        if modality != "03":
            return "files of video (only modality 03, audio-only, is taken)"
        return Row(
            PurePosixPath(path).stem, path, actor, "en", emotion, self.statements.get(statement, ""),
            "male" if int(actor) % 2 else "female",
        )  # fmt: skip


class Esd:
    """Emotional Speech Dataset: speakers 0001-0010 in Mandarin, 0011-0020 in English.

    Zhou et al., ICASSP 2021, and the corpus's readme. Its own train, evaluation and test sets hold the same
    speakers, so that they are not taken over.
    """

    pattern: ClassVar = re.compile(r"(?:^|/)(\d{4})/([^/]+)/(?:(?:train|evaluation|test)/)?(\d{4})_(\d{6})$")
    example: ClassVar = "0001/Angry/0001_000351.wav"
    speakers = range(1, 21)
    women = frozenset({1, 2, 3, 7, 9, 15, 16, 17, 18, 19})

    def __init__(self, folder: Path) -> None:
        self._texts: dict[str, str] = {}
        for file in sorted(folder.rglob("[0-9][0-9][0-9][0-9].txt")):
            self._texts |= esd_transcript(file)

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Read one file's name and folders."""
        folder, emotion, speaker, _ = match.groups()
        if folder != speaker:
            return "files in another speaker's folder"
        if int(speaker) not in self.speakers:
            return "files of other speakers" if int(speaker) in Esd.speakers else "files of unknown speakers"
        name = PurePosixPath(path).stem
        return Row(
            name, path, speaker, "zh" if int(speaker) <= 10 else "en", emotion, self._texts.get(name, ""),
            "female" if int(speaker) in self.women else "male",
        )  # fmt: skip


class EsdMandarin(Esd):
    """The Mandarin half of ESD."""

    speakers = range(1, 11)


class EsdEnglish(Esd):
    """The English half of ESD."""

    speakers = range(11, 21)


def esd_transcript(file: Path) -> dict[str, str]:
    """Read one speaker's transcript: lines of utterance, text and emotion, between tabs or spaces.

    The twenty files come in UTF-8, UTF-16, GB 2312 and Windows' Latin; a few lines lack their tabs.
    """
    legacy = "gb18030" if int(file.stem) <= 10 else "cp1252"
    texts = {}
    for line in read_corpus_text(file, legacy).splitlines():
        match = re.match(r"\W*(\d{4}_\d{6})\s+(\S.*)$", line.rstrip())
        if match:
            name, rest = match.groups()
            parts = [part.strip() for part in rest.split("\t") if part.strip()]
            texts[name] = parts[0] if len(parts) > 1 else rest.rpartition(" ")[0].strip() or rest
    return texts


class Casia:
    """CASIA, the subset of 1,200 utterances: speaker / emotion / number of the sentence.

    The four speakers read the same sentences in six emotions. The corpus does not state their gender: it is
    told from the median pitch of their neutral speech (99 and 120 Hz against 227 and 245 Hz).
    """

    pattern: ClassVar = re.compile(
        r"(?:^|/)([^/]+)/(angry|fear|happy|neutral|sad|surprise)/(\d{1,3})$", re.IGNORECASE
    )
    example: ClassVar = "wangzhe/angry/201.wav"
    genders: ClassVar[dict[str, str]] = {
        "zhaozuoxiang": "male", "wangzhe": "male", "liuchanhg": "female", "zhaoquanyin": "female",
    }  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._texts: dict[int, str] = {}
        for file in sorted(folder.rglob("*.txt")):
            lines = read_corpus_text(file, "gb18030").splitlines()
            matches = [re.match(r"\s*(\d{1,3})\W*(\w.*\S)\s*$", line) for line in lines]
            if len(read := [match for match in matches if match]) > len(lines) / 2:  # a list of sentences
                self._texts |= {int(match[1]): match[2] for match in read}

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Read one file's name and folders."""
        speaker, emotion, number = match.groups()
        return Row(
            f"{speaker}_{emotion}_{number}", path, speaker, "zh", emotion, self._texts.get(int(number), ""),
            self.genders.get(speaker.casefold(), ""),
        )  # fmt: skip


class CremaD:
    """CREMA-D: actor, sentence, emotion, level.

    Cao et al., IEEE Transactions on Affective Computing 5(4), 2014. The emotion is the one asked for.
    """

    pattern: ClassVar = re.compile(r"(?:^|/)(1\d{3})_([A-Z]{3})_([A-Z]{3})_[A-Z]{1,2}$")
    example: ClassVar = "1001_DFA_ANG_XX.wav"
    sentences: ClassVar[dict[str, str]] = {
        "IEO": "It's eleven o'clock.",
        "TIE": "That is exactly what happened.",
        "IOM": "I'm on my way to the meeting.",
        "IWW": "I wonder what this is about.",
        "TAI": "The airplane is almost full.",
        "MTI": "Maybe tomorrow it will be cold.",
        "IWL": "I would like a new alarm clock.",
        "ITH": "I think I have a doctor's appointment.",
        "DFA": "Don't forget a jacket.",
        "ITS": "I think I've seen this before.",
        "TSI": "The surface is slick.",
        "WSI": "We'll stop in a couple of minutes.",
    }

    def __init__(self, folder: Path) -> None:
        self._genders: dict[str, str] = {}
        for file in sorted(folder.rglob("VideoDemographics.csv")):
            try:
                entries = list(csv.DictReader(read_corpus_text(file, "cp1252").splitlines()))
            except csv.Error as error:
                raise LayersimError(f"{file}: cannot be read as a table: {error}. Mend it.") from None
            for entry in entries:
                self._genders[entry.get("ActorID") or ""] = (entry.get("Sex") or "").lower()

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Read one file's name."""
        actor, sentence, emotion = match.groups()
        return Row(
            PurePosixPath(path).stem, path, actor, "en", emotion, self.sentences.get(sentence, ""),
            self._genders.get(actor, ""),
        )  # fmt: skip


class Emovo:
    """EMOVO: emotion, speaker, sentence; b short, l long, n without sense, d questions.

    Costantini et al., LREC 2014.
    """

    pattern: ClassVar = re.compile(r"(?:^|/)([a-z]{3})-([fm]\d)-([a-z]\d)$")
    example: ClassVar = "f1/dis-f1-b1.wav"
    sentences: ClassVar[dict[str, str]] = {
        "b1": "Gli operai si alzano presto.",
        "b2": "I vigili sono muniti di pistola.",
        "b3": "La cascata fa molto rumore.",
        "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
        "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
        "l3": "Un attimo dopo s'è incamminato ed è inciampato.",
        "l4": "Vorrei il numero telefonico del Signor Piatti.",
        "n1": "La casa forte vuole col pane.",
        "n2": "La forza trova il passo e l'aglio rosso.",
        "n3": "Il gatto sta scorrendo nella pera.",
        "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
        "n5": "Uno quarantatré dieci mille cinquantasette venti.",
        "d1": "Sabato sera cosa farà?",
        "d2": "Porti con te quella cosa?",
    }

    def __init__(self, folder: Path) -> None:
        """Nothing beside the file names is read."""

    def row(self, match: re.Match[str], path: str) -> Row | str:
        """Read one file's name."""
        emotion, speaker, sentence = match.groups()
        return Row(
            PurePosixPath(path).stem, path, speaker, "it", emotion, self.sentences.get(sentence, ""),
            "female" if speaker.startswith("f") else "male",
        )  # fmt: skip
