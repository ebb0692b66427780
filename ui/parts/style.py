"""The little that Streamlit's own look is not: pages of an operator have more rows and less air."""

from __future__ import annotations

STYLE = """
.stMainBlockContainer { padding: 3.2rem 2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.8rem; padding: 0; }
[class*="st-key-count-"] { padding: 0.5rem 0.6rem; }
[data-testid="stMetricValue"] { font-size: 1.5rem; }
"""
