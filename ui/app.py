"""The console's navigation. Start it with `pqfs ui`, or: python -m streamlit run ui/app.py."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this file's own directory on the import path; the package `ui` lies one above it.
if (home := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, home)

from ui.parts import links, live
from ui.parts.style import STYLE
from ui.views import consumers, dead, health, job, jobs, logs, overview, queues, rejected, spool

st.set_page_config(page_title="pqfs", layout="wide")
# No icons: Streamlit would have the browser fetch one as the favicon, from a host outside.
pages = {
    "overview": st.Page(job.or_page(overview.show), title="Overview", default=True),
    "jobs": st.Page(job.or_page(jobs.show), title="Jobs", url_path="jobs"),
    "spool": st.Page(job.or_page(spool.show), title="Spool", url_path="spool"),
    "queues": st.Page(job.or_page(queues.show), title="Queues", url_path="queues"),
    "consumers": st.Page(job.or_page(consumers.show), title="Consumers", url_path="consumers"),
    "dead": st.Page(job.or_page(dead.show), title="Dead letters", url_path="dead"),
    "rejected": st.Page(job.or_page(rejected.show), title="Rejected", url_path="rejected"),
    "logs": st.Page(job.or_page(logs.show), title="Logs", url_path="logs"),
    "health": st.Page(job.or_page(health.show), title="Health", url_path="health"),
    "job": st.Page(job.show, title="Job", url_path="job", visibility="hidden"),
}
links.know(pages)
st.html(f"<style>{STYLE}</style>")
page = st.navigation({"Ops": list(pages.values())}, expanded=True)
st.session_state["at"] = page.url_path
with st.sidebar:
    live.controls()
live.live(live.banner, at_least=2.0)
page.run()
