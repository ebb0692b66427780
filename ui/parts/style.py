"""The little that Streamlit's own look is not: pages of an operator have more rows and less air."""

from __future__ import annotations

STYLE = """
.stMainBlockContainer { padding: 2rem 2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.5rem; padding: 0 0 0.5rem; }
.stMainBlockContainer h3 { font-size: 1.15rem; padding: 0.5rem 0 0.4rem; overflow-wrap: anywhere; }
.stMainBlockContainer [data-testid="stVerticalBlock"] { gap: 0.7rem; }
[class*="st-key-count-"] { padding: 0.4rem 0.6rem 0.2rem; }
[class*="st-key-count-"] [data-testid="stVerticalBlock"], [class*="st-key-count-"] { gap: 0; }
[class*="st-key-count-"] [data-testid="stPageLink"] a { padding: 0.1rem 0.2rem; }
[class*="st-key-count-"] [data-testid="stPageLink"] strong { font-size: 1.25rem; }
.command { font-size: 0.875rem; margin: 0.25rem 0; overflow-wrap: anywhere; }
.command code { font-family: monospace; padding: 0.2rem 0.4rem; border-radius: 0.25rem; user-select: all;
  background: light-dark(#f2f2f0, #262622); color: inherit; }
[data-testid="stCaptionContainer"] { opacity: 0.85; }
@media (max-width: 1150px) {
  [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: 8rem; }
  [data-testid="stColumn"]:has([data-testid="stTable"], [data-testid="stDataFrame"], [data-testid="stVegaLiteChart"],
    [data-testid="stForm"]) { min-width: 100% !important; }
}
[data-testid^="stBaseButton-primary"]:enabled p { color: light-dark(#fff, #0b0b0b); }
[data-testid="stSidebarUserContent"] [data-testid="stPageLink"] a { padding: 0.15rem 0.5rem; }
[data-testid="stSidebarUserContent"] { padding-top: 0; }
[data-testid="stMetricValue"] { font-size: 1.5rem; }
[data-testid="stTable"] [data-testid="stTableStyledTable"] { width: 100%; }
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] { display: block; max-width: none; overflow: visible; }
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] p { overflow-wrap: anywhere; min-width: 3rem; }
[data-testid="stTable"] td:first-child [data-testid="stMarkdownContainer"] p { min-width: 6rem; }
"""
