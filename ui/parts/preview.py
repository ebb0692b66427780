"""The beginning of a file: as text, as a picture, or as bytes. Nothing in it acts."""

from __future__ import annotations

from io import BytesIO

import streamlit as st
from PIL import Image, UnidentifiedImageError

from ui.parts.words import size, when
from ui.store.tree import Preview, Sort

_PIXELS = 16_000_000  # of a picture that a page unpacks
_HEIGHT = 320


def preview(seen: Preview, label: str) -> None:
    """Draw it, with what it is."""
    if seen.sort is Sort.GONE:
        st.caption(f"{label}: it is not there any more.")
        return
    cut = f", the first {size(len(seen.data))} are shown" if seen.is_cut and seen.data else ""
    st.caption(f"{label}: {seen.sort}, {size(seen.size)}{cut}, changed {when(seen.changed_at)} UTC.")
    if seen.sort is Sort.TEXT:
        st.code(seen.text() or "(empty)", language=None, height=_fitting(seen.data.count(b"\n")))
    elif seen.sort is Sort.IMAGE and _is_small(seen.data):
        st.image(seen.data, alt=label)
    elif seen.sort in (Sort.IMAGE, Sort.BINARY):
        st.code(seen.dump(), language=None, height=_fitting(len(seen.data) // 16))


def _fitting(lines: int) -> int:
    return min(_HEIGHT, 60 + 24 * lines)


def _is_small(data: bytes) -> bool:
    """Whether unpacking it costs little: a few bytes may say that they are a square of a million pixels a side."""
    try:
        with Image.open(BytesIO(data)) as picture:
            width, height = picture.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return 0 < width * height <= _PIXELS
