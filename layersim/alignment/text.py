"""Text files as aligners, Praat and spreadsheets write them: UTF-8, or UTF-16 with its byte order mark."""

from __future__ import annotations

import codecs
from pathlib import Path

from layersim.errors import LayersimError


def read_text(file: Path) -> str:
    r"""Read a text file whole; line ends become ``\n``.

    Raises
    ------
    LayersimError
        If it cannot be read, or is in neither encoding.
    """
    try:
        data = file.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayersimError(f"{file}: cannot be read as UTF-8 or UTF-16 text: {error}.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
