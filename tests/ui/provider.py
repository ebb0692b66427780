"""A tiny identity provider of our own: it vouches for whomever a test names, signed as real ones sign."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "pqfs", "known-to-both"


class Provider:
    """Vouches for one person. `claims`: what it says of him; `ended`: how often somebody has signed out there."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "1", "email": "ann@example.org", "email_verified": True}
        self.ended = 0
        self._key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self._asked: dict[str, Mapping[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Provider]:
        """Answer until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def secrets(self, console: str) -> str:
        """The console's secrets.toml, for its address."""
        lines = {
            "redirect_uri": f"{console}oauth2callback", "cookie_secret": "0123456789abcdef" * 4, "client_id": CLIENT,
            "client_secret": SECRET, "server_metadata_url": f"{self.address}/.well-known/openid-configuration",
        }  # fmt: skip
        return "\n".join(["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in lines.items())])

    # ---------------------------------------------------------------- what it answers

    def metadata(self) -> dict[str, Any]:
        """What it can do, and where."""
        ways = {"authorization": "authorize", "token": "token", "end_session": "logout"}
        return {
            "issuer": self.address, "jwks_uri": f"{self.address}/keys", "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            **{f"{name}_endpoint": f"{self.address}/{path}" for name, path in ways.items()},
        }  # fmt: skip

    def keys(self) -> dict[str, Any]:
        """The key by which its word can be checked."""
        return {"keys": [self._key.as_dict(private=False)]}

    def allow(self, asked: Mapping[str, str]) -> str:
        """Where somebody is sent back to, who has said here who he is."""
        assert asked["client_id"] == CLIENT and "openid" in asked["scope"]
        code = str(len(self._asked))
        self._asked[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, asked: Mapping[str, str], proof: str) -> dict[str, Any]:
        """Its word for a code, once, to the console alone."""
        assert base64.b64decode(proof.removeprefix("Basic ")).decode() == f"{CLIENT}:{SECRET}"
        now, before = int(time.time()), self._asked.pop(asked["code"])
        claims = {
            "iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 600, "nonce": before["nonce"], **self.claims
        }  # fmt: skip
        word = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self._key)
        return {"access_token": "none", "token_type": "Bearer", "expires_in": 600, "id_token": word}


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(found.query).items()}
            match found.path:
                case "/.well-known/openid-configuration":
                    self._say(provider.metadata())
                case "/keys":
                    self._say(provider.keys())
                case "/authorize":
                    self._send_to(provider.allow(asked))
                case "/logout":
                    provider.ended += 1
                    self._send_to(asked["post_logout_redirect_uri"])
                case _:
                    self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked = {name: values[0] for name, values in parse_qs(body).items()}
            self._say(provider.token(asked, self.headers["Authorization"]))

        def _say(self, found: Mapping[str, Any]) -> None:
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _send_to(self, address: str) -> None:
            self.send_response(302)
            self.send_header("Location", address)
            self.end_headers()

        def log_message(self, *told: object) -> None:
            """Nobody reads it."""

    return Handler
