"""Leave one language out: corpora of other languages merged, each repeated until all weigh the same.

Source: Tang, Kuppens, Geurts & van Waterschoot, arXiv 2311.13678. Two languages are merged, the smaller
repeated to balance; in each fold both bring their validation and their test speakers. *Within-language* tests
on a training language's test speakers, *cross-language* on the language left out. The same folds and
training sets serve both.

Conventions
-----------
- A part is repeated as often as it takes to have at least as many train utterances of the classes as the
  largest part has: the quotient is rounded up. This gives the paper's numbers (German 32 to 39 times in DECH
  and 2 to 3 in DEEN, English 18 to 19 in ENCH) when an ESD speaker brings 1,200 utterances, those of ESD's
  official train split, which the paper's table counts; with all 1,400 they are larger.
- Only train utterances are repeated. Epochs are chosen by all validation utterances, in which a large corpus
  outweighs a small one.
- A training set is named by its languages' initials, as the paper's DECH, DEEN, ENCH; by its corpora's names
  where a language is not known or occurs twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layersim.comparison.folds import COUNT, set_splits, speaker_folds
from layersim.comparison.trial import Trial, named, shared_classes
from layersim.errors import LayersimError
from layersim.features.joined import join_corpora

if TYPE_CHECKING:
    from layersim.features.dataset import CorpusFeatures

_CHINESE = ("zh", "cmn")  # the paper writes CH


def leave_one_language_out(
    corpora: Sequence[CorpusFeatures],
    held_out: str,
    folds: int = COUNT,
    emotions: Sequence[str] | None = None,
) -> list[Trial]:
    """Cross-language: train on all corpora but one, test on that one.

    In each fold the held-out corpus's test speakers are tested and all its others adapt, unlabelled. The
    training corpora's test speakers take no part: they are tested by `within_language`.

    Parameters
    ----------
    held_out : str
        The name of one of the corpora.

    Raises
    ------
    LayersimError
        If a training corpus is in the held-out language, a corpus has too few speakers, or a fold lacks a
        class.
    ValueError
        If ``held_out`` is not among the corpora, or alone.
    """
    training, target = _hold_out(corpora, held_out)
    classes = shared_classes(corpora, emotions)
    theirs = speaker_folds(target.table, target.name, folds)
    return [
        Trial(
            f"{set_name(training)}-to-{target.name}",
            training_set(training, number, folds, classes),
            set_splits(target, {"test": theirs[number].test_speakers}, "train"),
            classes,
            f"{_names(training)}, balanced by repetition, for training and validation; {target.name}: "
            f"{named(theirs[number].test_speakers)} for test, the others for unlabelled adaptation "
            f"({theirs.origin}).",
            number + 1,
        )
        for number in range(len(theirs))
    ]


def within_language(
    training: Sequence[CorpusFeatures],
    folds: int = COUNT,
    emotions: Sequence[str] | None = None,
) -> list[Trial]:
    """Within-language: the training sets of `leave_one_language_out`, tested on each training corpus.

    In each fold the corpus's test speakers are tested, whom the training set does not have; its train
    speakers, labelled in the training set, are the adaptation too, unlabelled.

    Parameters
    ----------
    emotions : sequence of str, optional
        To be compared with a held-out corpus: the classes that it shares too.

    Raises
    ------
    LayersimError, ValueError
        As there.
    """
    classes = shared_classes(training, emotions)
    trials = []
    for target in training:
        own = speaker_folds(target.table, target.name, folds)
        for number, fold in enumerate(own.folds):
            silent = {"test": fold.test_speakers, "": fold.validation_speakers}
            trials.append(
                Trial(
                    f"{set_name(training)}-to-{target.name}",
                    training_set(training, number, folds, classes),
                    set_splits(target, silent, "train"),
                    classes,
                    f"{_names(training)}, balanced by repetition, for training and validation; "
                    f"{target.name}: {named(fold.test_speakers)} for test ({own.origin}).",
                    number + 1,
                )
            )
    return trials


def training_set(
    corpora: Sequence[CorpusFeatures], number: int, folds: int, classes: Sequence[str]
) -> CorpusFeatures:
    """Merge the train and validation speakers of a fold, 0 the first, balanced by repetition.

    Raises
    ------
    LayersimError
        If the encoders differ, or a corpus has no train utterance of the classes.
    """
    parts = fold_parts(corpora, number, folds)
    return join_corpora(set_name(corpora), parts, balance(parts, classes))


def fold_parts(corpora: Sequence[CorpusFeatures], number: int, folds: int) -> list[CorpusFeatures]:
    """Return what each corpus brings to a training set: its test speakers take no part."""
    parts = []
    for corpus in corpora:
        fold = speaker_folds(corpus.table, corpus.name, folds)[number]
        splits = {"validation": fold.validation_speakers, "": fold.test_speakers}
        parts.append(set_splits(corpus, splits, "train"))
    return parts


def balance(parts: Sequence[CorpusFeatures], classes: Sequence[str]) -> list[int]:
    """Say how often each part stands in a merged set, so that all have about as many train utterances.

    Returns
    -------
    list of int, >= 1
        The largest part's number of train utterances of the classes over each one's own, rounded up.

    Raises
    ------
    LayersimError
        If a part has none.
    """
    sizes = []
    for part in parts:
        train = part.restrict("train").table
        sizes.append(int(train["emotion"].isin(list(classes)).sum()))
        if not sizes[-1]:
            raise LayersimError(
                f"{part.name}: no train utterance of {', '.join(classes)}, so that it cannot be repeated to "
                "balance. Take fewer folds, or other classes: --emotions."
            )
    return [-(-max(sizes) // size) for size in sizes]


def set_name(corpora: Sequence[CorpusFeatures]) -> str:
    """Name a training set, such as ``DECH``."""
    initials = [_initials(corpus) for corpus in corpora]
    if "" in initials or len(set(initials)) < len(initials):
        return "+".join(corpus.name for corpus in corpora)
    return "".join(initials)


def _language(corpus: CorpusFeatures) -> str:
    """Return the language that all of a corpus is in, without its region; "" if it is not known."""
    found = set(corpus.table["language"]) if "language" in corpus.table else set()
    plain = {str(language).replace("_", "-").partition("-")[0].casefold() for language in found}
    return plain.pop() if len(plain) == 1 else ""


def _initials(corpus: CorpusFeatures) -> str:
    language = _language(corpus)
    return "CH" if language in _CHINESE else language.upper()


def _hold_out(
    corpora: Sequence[CorpusFeatures], held_out: str
) -> tuple[list[CorpusFeatures], CorpusFeatures]:
    training = [corpus for corpus in corpora if corpus.name != held_out]
    target = [corpus for corpus in corpora if corpus.name == held_out]
    if len(target) != 1 or not training:
        names = ", ".join(corpus.name for corpus in corpora)
        raise ValueError(f"held_out: expected one of at least two corpora ({names}), got {held_out!r}")
    language = _initials(target[0])
    same = [corpus.name for corpus in training if language and _initials(corpus) == language]
    if same:
        raise LayersimError(
            f"{held_out} is to be the language left out, but {' and '.join(same)} is in it too "
            f"({language}). Leave that corpus out as well."
        )
    return training, target[0]


def _names(corpora: Sequence[CorpusFeatures]) -> str:
    return " and ".join(corpus.name for corpus in corpora)
