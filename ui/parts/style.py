"""The little that Streamlit's own look is not: pages of an operator have more rows and less air."""

from __future__ import annotations

STYLE = """
.stMainBlockContainer { padding: 3.2rem 2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.8rem; padding: 0 0 0.5rem; }
[class*="st-key-count-"] { padding: 0.5rem 0.6rem; }
[data-testid="stCaptionContainer"] { opacity: 0.85; }
[data-testid^="stBaseButton-primary"]:enabled p { color: light-dark(#fff, #0b0b0b); }
[data-testid="stSidebarUserContent"] [data-testid="stPageLink"] a { padding: 0.15rem 0.5rem; }
[data-testid="stSidebarUserContent"] { padding-top: 0; }
[data-testid="stMetricValue"] { font-size: 1.5rem; }
[data-testid="stTable"] [data-testid="stTableStyledTable"] { width: 100%; }
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] { display: block; max-width: none; overflow: visible; }
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] p { overflow-wrap: anywhere; min-width: 3rem; }
"""
