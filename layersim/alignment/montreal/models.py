"""Which pretrained dictionary and acoustic model of the Montreal Forced Aligner fit which language.

The names are those of https://github.com/MontrealCorpusTools/mfa-models (folders ``dictionary`` and
``acoustic``), which ``mfa model download`` takes; seen there in November 2026. Of several dialects the table
takes one; name another's dictionary to have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from layersim.alignment.pronunciation.languages import find_language
from layersim.errors import LayersimError

# Acoustic model -> the dictionaries in its phones, the default first.
_DICTIONARIES = {
    "english_mfa": (
        "english_us_mfa", "english_uk_mfa", "english_india_mfa", "english_nigeria_mfa",
        "english_nonnative_mfa", "english_mfa",
    ),
    "english_us_arpa": ("english_us_arpa",),
    "german_mfa": ("german_mfa",),
    "mandarin_mfa": (
        "mandarin_china_mfa", "mandarin_taiwan_mfa", "mandarin_erhua_mfa", "mandarin_mfa",
    ),
    "french_mfa": ("french_mfa",),
    "spanish_mfa": ("spanish_spain_mfa", "spanish_latin_america_mfa", "spanish_mfa"),
    "portuguese_mfa": ("portuguese_brazil_mfa", "portuguese_portugal_mfa", "portuguese_mfa"),
    "italian_cv": ("italian_cv",),
    "russian_mfa": ("russian_mfa",),
    "czech_mfa": ("czech_mfa",),
    "bulgarian_mfa": ("bulgarian_mfa",),
    "croatian_mfa": ("croatian_mfa",),
    "hausa_mfa": ("hausa_mfa",),
    "japanese_mfa": ("japanese_mfa",),
    "korean_mfa": ("korean_mfa",),
}  # fmt: skip

# Language -> its default acoustic model. In English not the ARPAbet one: the phones of english_mfa are those
# that MFA's models of other languages use.
_ACOUSTIC_MODELS = {
    "en": "english_mfa", "de": "german_mfa", "zh": "mandarin_mfa", "cmn": "mandarin_mfa", "fr": "french_mfa",
    "es": "spanish_mfa", "pt": "portuguese_mfa", "it": "italian_cv", "ru": "russian_mfa", "cs": "czech_mfa",
    "bg": "bulgarian_mfa", "hr": "croatian_mfa", "ha": "hausa_mfa", "ja": "japanese_mfa", "ko": "korean_mfa",
}  # fmt: skip

# End of a model's name -> our name of its phones. Others (_cv, _prosodylab) are in no set of ours.
_PHONE_SETS = {"_arpa": "arpabet", "_mfa": "mfa-ipa", "_pinyin": "pinyin"}

# What MFA 3 opens: anything else it takes for no file at all.
_SUFFIXES = {"dictionary": (".dict", ".txt", ".yaml", ".yml"), "acoustic model": (".zip", ".am")}


@dataclass(frozen=True)
class Models:
    """What an alignment is made with."""

    dictionary: str  # a name that MFA knows, or an absolute path
    acoustic_model: str | None  # a name that MFA knows, or an absolute path; None: train one

    @property
    def own_dictionary(self) -> Path | None:
        """The user's dictionary file; None if the dictionary is one of MFA's."""
        return Path(self.dictionary) if Path(self.dictionary).is_absolute() else None

    @property
    def phone_set(self) -> str | None:
        """Our name of the phones; None if only the labels can tell."""
        return phone_set_of(self.acoustic_model or self.dictionary)


def choose_models(language: str, dictionary: str | None, acoustic_model: str | None) -> Models:
    """Complete what the user named.

    Parameters
    ----------
    language : str
        As manifests have it: ``en``, ``zh``, ``de-AT``, ``deu``, ``German``.
    dictionary, acoustic_model : str or None
        Files, or names of pretrained models. With neither, the language's pretrained pair. An acoustic model
        without a dictionary brings its own, and a pretrained dictionary its acoustic model. A dictionary file
        alone (or a dictionary of MFA's without an acoustic model) means that a model is trained.

    Raises
    ------
    LayersimError
        If a file is missing or of the wrong kind, or no pretrained model is known for what was named.

    >>> choose_models("zh", None, None)
    Models(dictionary='mandarin_china_mfa', acoustic_model='mandarin_mfa')
    >>> choose_models("en", "english_us_arpa", None).acoustic_model
    'english_us_arpa'
    """
    if dictionary is None and acoustic_model is None:
        acoustic_model = _ACOUSTIC_MODELS.get(_base_code(language))
        if acoustic_model is None:
            raise LayersimError(
                f"no pretrained model of the Montreal Forced Aligner is known for the language {language!r}; "
                f"known: {', '.join(_ACOUSTIC_MODELS)}. Name a dictionary file (a model is then trained), or "
                "a dictionary and an acoustic model."
            )
    if dictionary is None:
        if acoustic_model not in _DICTIONARIES:
            raise LayersimError(
                f"acoustic model {acoustic_model!r}: its dictionary is not known. Name one in its phones."
            )
        dictionary = _DICTIONARIES[acoustic_model][0]
    elif acoustic_model is None:
        acoustic_model = next((m for m, names in _DICTIONARIES.items() if dictionary in names), None)
    return Models(
        _resolve(dictionary, "dictionary"), acoustic_model and _resolve(acoustic_model, "acoustic model")
    )


def phone_set_of(name: str) -> str | None:
    """Say which of our phone sets a pretrained model or dictionary has; None for a file or an unknown name.

    >>> phone_set_of("english_us_arpa"), phone_set_of("german_mfa"), phone_set_of("mandarin_pinyin")
    ('arpabet', 'mfa-ipa', 'pinyin')
    >>> phone_set_of("italian_cv"), phone_set_of("/home/me/my_mfa.dict")
    (None, None)
    """
    return next((phones for end, phones in _PHONE_SETS.items() if name.endswith(end)), None)


def _base_code(language: str) -> str:
    """Return the code under which the table has a language, however a manifest writes it."""
    try:
        return find_language(language).voice.split("-")[0]
    except LayersimError:  # espeak-ng does not speak it
        return language.split("-")[0].casefold()


def _resolve(name: str, what: str) -> str:
    """Return a file's absolute path; a name of MFA's as it is."""
    file = Path(name).expanduser()
    if file.is_file():
        if file.suffix.casefold() not in _SUFFIXES[what]:
            raise LayersimError(
                f"{name}: the Montreal Forced Aligner takes a {what} file only if its name ends in "
                f"{', '.join(_SUFFIXES[what])}. Rename it."
            )
        return str(file.resolve())
    if file.suffix or len(file.parts) > 1:
        raise LayersimError(
            f"{name}: no such {what} file. Check the path, or name one of MFA's: mfa model list "
            f"{what.split()[0]} lists those that are downloaded."
        )
    return name
