"""Where the extra `api` is not installed there is nothing to try."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("fastapi") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from tests.api.service import local, service

    __all__ = ["local", "service"]
