"""The console's navigation. Start it with `pqfs ui`, or: python -m streamlit run ui/app.py."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this file's own directory on the import path; the package `ui` lies one above it.
if (home := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, home)

from ui.parts import dialog, links, live, session
from ui.parts.style import STYLE
from ui.store import access
from ui.views import consumers, dead, health, job, jobs, logs, overview, queues, rejected, signin, spool
from ui.views.admin import audit, settings, submit, tryout, upkeep, users

st.set_page_config(page_title="pqfs", layout="wide", initial_sidebar_state=224)
rules = access.rules()
session.resume()
name = session.who()

# No icons: Streamlit would have the browser fetch one as the favicon, from a host outside.
ops = {
    "overview": st.Page(job.or_page(overview.show), title="Overview", default=True),
    "jobs": st.Page(job.or_page(jobs.show), title="Jobs", url_path="jobs"),
    "spool": st.Page(job.or_page(spool.show), title="Spool", url_path="spool"),
    "queues": st.Page(job.or_page(queues.show), title="Queues", url_path="queues"),
    "consumers": st.Page(job.or_page(consumers.show), title="Consumers", url_path="consumers"),
    "dead": st.Page(job.or_page(dead.show), title="Dead letters", url_path="dead"),
    "rejected": st.Page(job.or_page(rejected.show), title="Rejected", url_path="rejected"),
    "logs": st.Page(job.or_page(logs.show), title="Logs", url_path="logs"),
    "health": st.Page(job.or_page(health.show), title="Health", url_path="health"),
    "job": st.Page(job.show, title="Job", url_path="job"),
}
admin = {}
if not rules.is_ops_only:
    asks = {
        "submit": (submit.show, "Submit"), "try": (tryout.show, "Try a queue"), "upkeep": (upkeep.show, "Upkeep"),
        "settings": (settings.show, "Settings"), "users": (users.show, "Users"), "audit": (audit.show, "Audit trail"),
    }  # fmt: skip
    admin = {
        path: st.Page(session.required(show, signin.show), title=title, url_path=path)
        for path, (show, title) in asks.items()
    }
    admin["sign-in"] = st.Page(signin.show, title="Sign in", url_path="sign-in")
links.know({**ops, **admin})
st.html(f"<style>{STYLE}</style>")
if rules.is_exposed and name is None:
    # Other hosts reach this console: nobody sees anything before he has said who he is.
    st.navigation([st.Page(signin.gate, title="Sign in", url_path="", default=True)], position="hidden").run()
    st.stop()
# Our own list of links: a screen reader finds faults in Streamlit's, which nests what is no list.
page = st.navigation([*ops.values(), *admin.values()], position="hidden")
st.session_state["at"] = page.url_path
with st.sidebar:
    links.menu("Ops", [each for path, each in ops.items() if path != "job"])
    links.menu("Admin", [each for path, each in admin.items() if (path == "sign-in") == (name is None)])
    session.controls()
    live.controls()
    session.errands()
live.live(live.banner, at_least=2.0)
dialog.reported()
page.run()
dialog.drawn()
