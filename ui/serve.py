"""Streamlit, with everything that a page needs imported before it listens: the first who comes need not wait for it.

As a program it takes what `streamlit` takes. `python -m streamlit run ui/app.py` shows the same, a second later once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

_PAGES = Path(__file__).resolve().parent / "views"
_DRAWN_WITH = ("pandas", "pyarrow", "PIL.Image", "streamlit.elements.arrow")


def main() -> None:
    """Import, then serve."""
    sys.path.insert(0, str(_PAGES.parent.parent))
    for name in _DRAWN_WITH:
        import_module(name)
    for path in sorted(_PAGES.rglob("*.py")):
        import_module(".".join(("ui", *path.relative_to(_PAGES.parent).with_suffix("").parts)))
    from streamlit.web.cli import main as streamlit

    sys.argv[0] = "streamlit"
    streamlit()


if __name__ == "__main__":
    main()
