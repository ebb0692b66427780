"""The little that Streamlit's own look is not: pages of an operator have more rows and less air."""

from __future__ import annotations

STYLE = """
.stMainBlockContainer { padding: 2rem 2rem 2rem; }
.stMainBlockContainer h1 { font-size: 1.5rem; padding: 0 0 0.5rem; }
.stMainBlockContainer h3 { font-size: 1.15rem; padding: 0.5rem 0 0.4rem; overflow-wrap: anywhere; }
.stMainBlockContainer [data-testid="stVerticalBlock"] { gap: 0.7rem; }
.st-key-counts { display: grid !important; gap: 0.6rem !important; }
.st-key-counts *:has(> a), .st-key-counts > * { width: 100%; margin: 0; }
.st-key-counts, .figures { grid-template-columns: repeat(auto-fit, minmax(7.4rem, 1fr)); }
.st-key-counts [data-testid="stPageLink"] a { padding: 0.4rem;
  border: 1px solid #8886; border-radius: 0.5rem; }
.st-key-counts [data-testid="stPageLink"] strong { display: block; font-size: 1.2rem; padding: 0.3rem 0.1rem 0; }
.stHtml dl.figures { display: grid; gap: 0.6rem; margin: 0.3rem 0; padding: 0; }
.figures dt { font-size: 0.875rem; }
.figures dd { font-size: 1.5rem; margin: 0; padding: 0; line-height: 1.3; }
.figures small { display: block; font-size: 0.8rem; opacity: 0.85; }
.beside, .plots { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2.5rem; }
.beside h3 { margin: 0; }
.beside table { width: 100%; border-collapse: collapse; font-size: 0.875rem; }
.beside th, .beside td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0;
  border: 0 solid #8884; border-bottom-width: 1px; overflow-wrap: anywhere; }
.beside th { font-weight: 400; opacity: 0.85; overflow-wrap: normal; }
.beside td:not(:first-child) { overflow-wrap: break-word; }
.plots figure { display: grid; grid-template: auto 11rem auto auto / 2.8rem minmax(0, 1fr); margin: 0; }
.plots figcaption { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 0 1.2rem; padding-bottom: 0.6rem; }
.plots figcaption img { display: inline; vertical-align: middle; }
.plots .marks, .plots .hours { display: flex; justify-content: space-between; font-size: 0.75rem; opacity: 0.85; }
.plots .marks { flex-direction: column; text-align: right; padding-right: 0.5rem; margin: -0.6em 0; }
.plots .field { position: relative; }
.plots .field > img { position: absolute; width: 100%; height: 100%; max-width: none; }
.plots .reads { position: absolute; inset: 0; display: flex; }
.plots .reads i { flex: 1; }
.plots .reads i:hover { background: #8883; }
.plots .hours { grid-column: 2; padding-top: 0.2rem; }
.plots p { grid-column: 1 / -1; font-size: 0.875rem; opacity: 0.85; margin: 0.3rem 0 0; }
.command { font-size: 0.875rem; margin: 0.25rem 0; overflow-wrap: anywhere; }
.command code { font-family: monospace; padding: 0.2rem 0.4rem; border-radius: 0.25rem; user-select: all;
  background: light-dark(#f2f2f0, #262622); color: inherit; }
[data-testid="stCaptionContainer"] { opacity: 0.85; }
@media (max-width: 1150px) {
  [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: 8rem; }
  [data-testid="stColumn"]:has([data-testid="stTable"], [data-testid="stDataFrame"],
    [data-testid="stForm"]) { min-width: 100% !important; }
  .beside, .plots { grid-template-columns: minmax(0, 1fr); }
}
[data-testid^="stBaseButton-primary"]:enabled p { color: light-dark(#fff, #0b0b0b); }
[data-testid="stSidebarUserContent"] [data-testid="stPageLink"] a { padding: 0.15rem 0.5rem; }
[data-testid="stSidebarUserContent"] { padding-top: 0; }
[data-testid="stTable"] [data-testid="stTableStyledTable"] { width: 100%; }
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] { display: block; max-width: none; overflow: visible; }
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] p { overflow-wrap: anywhere; min-width: 3rem; }
[data-testid="stTable"] td:first-child [data-testid="stMarkdownContainer"] p { min-width: 6rem; }
"""
