"""Accounts on the homeserver: registration, guests, admin actions, application service users."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from dataclasses import dataclass

from .http import MatrixHttp, describe
from .synapse import SHARED_SECRET, AppService, Synapse

_numbers = itertools.count(1)


@dataclass(frozen=True)
class User:
    """An account with a password and the token of its first device."""

    mxid: str
    localpart: str
    password: str
    token: str


class Accounts:
    """Makes and changes accounts, always on the homeserver's own listener."""

    def __init__(self, homeserver: Synapse) -> None:
        self._server_name = homeserver.server_name
        self._homeserver = MatrixHttp(homeserver.base)
        self._admin: User | None = None
        self._base = homeserver.base

    def new(self, prefix: str = "user", *, admin: bool = False) -> User:
        """Registers an account that no other test has."""
        return self.named(f"{prefix}{next(_numbers)}", admin=admin)

    def named(self, localpart: str, *, admin: bool = False) -> User:
        """Registers this very account."""
        password = f"password of {localpart}"
        nonce = self._homeserver.get("/_synapse/admin/v1/register").json()["nonce"]
        parts = (nonce, localpart, password, "admin" if admin else "notadmin")
        mac = hmac.new(SHARED_SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1)
        body = {
            "nonce": nonce,
            "username": localpart,
            "password": password,
            "admin": admin,
            "mac": mac.hexdigest(),
        }
        answer = self._homeserver.post("/_synapse/admin/v1/register", json=body)
        assert answer.status_code == 200, describe(answer)
        return User(answer.json()["user_id"], localpart, password, answer.json()["access_token"])

    def guest(self) -> str:
        """The access token of a new guest."""
        path = "/_matrix/client/v3/register"
        answer = self._homeserver.post(path, params={"kind": "guest"}, json={})
        assert answer.status_code == 200, describe(answer)
        token: str = answer.json()["access_token"]
        return token

    def bridged(self, name: str) -> str:
        """Registers a user in the application service's namespace; returns its full name."""
        client = MatrixHttp(self._base, AppService.token)
        localpart = f"{AppService.user_prefix}{name}{next(_numbers)}"
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        answer = client.post("/_matrix/client/v3/register", json=body)
        assert answer.status_code == 200, describe(answer)
        mxid: str = answer.json()["user_id"]
        return mxid

    def deactivate(self, user: User) -> None:
        """Closes the account for good."""
        self._as_admin("POST", f"/_synapse/admin/v1/deactivate/{user.mxid}", {"erase": False})

    def lock(self, user: User) -> None:
        """Locks the account (MSC3939)."""
        self._as_admin("PUT", f"/_synapse/admin/v2/users/{user.mxid}", {"locked": True})

    def suspend(self, user: User) -> None:
        """Suspends the account (MSC3823)."""
        self._as_admin("PUT", f"/_synapse/admin/v1/suspend/{user.mxid}", {"suspend": True})

    def _as_admin(self, method: str, path: str, body: dict[str, bool]) -> None:
        if self._admin is None:
            self._admin = self.new("admin", admin=True)
        answer = MatrixHttp(self._base, self._admin.token).request(method, path, json=body)
        assert answer.status_code in (200, 201), describe(answer)
