"""Users of a Vidispine server: passwords, tokens that expire, access keys, roles."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from callsheet.sandbox.vidispine._errors import conflict, not_authorized, not_found
from callsheet.sandbox.vidispine._values import Document

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine

__all__ = ["ADMINISTRATOR", "TOKEN_SECONDS", "User", "Users", "equal"]

ADMINISTRATOR = "_administrator"

TOKEN_SECONDS = 60
"""How long a token lives; longer only for administrators."""

REFRESH_SECONDS = 10
"""How long after a refresh a token is not refreshed again."""


@attrs.define
class User:
    """One user.

    Attributes:
        keys: Access keys by id: documents with `secret`.
    """

    name: str
    password: str
    roles: list[str] = attrs.field(factory=list)
    groups: list[str] = attrs.field(factory=list)
    enabled: bool = True
    keys: dict[str, Document] = attrs.field(factory=dict)

    def document(self) -> Document:
        """Return the user as JSON has it."""
        groups = [{"groupName": name, "role": False} for name in self.groups]
        groups += [{"groupName": name, "role": True} for name in self.roles]
        return {
            "userName": self.name,
            "disabled": not self.enabled,
            **({"groupList": {"group": groups}} if groups else {}),
        }


@attrs.define
class Token:
    """What stands for a user for some time; `renewed` is when that time began."""

    user: str
    seconds: float
    auto_refresh: bool
    renewed: datetime


class Users:
    """All users, and what proves who somebody is."""

    def __init__(self, part: Vidispine) -> None:
        self.by_name: dict[str, User] = {}
        self._part = part
        self._tokens: dict[str, Token] = {}

    def add(self, name: str, password: str, *, roles: tuple[str, ...] = ()) -> User:
        """Add a user, or put it in place of the one with the name."""
        self.by_name[name] = user = User(name, password, list(roles))
        return user

    def find(self, name: str) -> User | None:
        """Return a user who may log in."""
        user = self.by_name.get(name)
        return user if user is not None and user.enabled else None

    def get(self, name: str) -> User:
        """Return a user.

        Raises:
            VidispineError: There is none of that name.
        """
        if name not in self.by_name:
            raise not_found("User", name)
        return self.by_name[name]

    def administrates(self, name: str) -> bool:
        """Tell whether a user may do everything."""
        user = self.find(name)
        return user is not None and ADMINISTRATOR in user.roles

    def authenticate(self, scheme: str, name: str, secret: str) -> str:
        """Return whose credentials these are.

        Raises:
            VidispineError: They are nobody's, or expired.
        """
        if scheme == "token":
            return self._of_token(secret)
        user = self.find(name)
        if user is not None and equal(user.password, secret):
            return name
        for owner in self.by_name.values():
            key = owner.keys.get(name)
            if key and key["status"] == "ACTIVE" and owner.enabled and equal(key["secret"], secret):
                return owner.name
        raise not_authorized("Wrong user name or password")

    def token(self, user: str, seconds: float, auto_refresh: bool) -> str:
        """Make a token for a user.

        Raises:
            VidispineError: The user is disabled.
        """
        if self.find(user) is None:
            raise conflict("user", "The user is disabled", identity=user)
        token = secrets.token_hex(16)
        self._tokens[token] = Token(user, seconds, auto_refresh, self._part.now())
        return token

    def _of_token(self, secret: str) -> str:
        token, now = self._tokens.get(secret), self._part.now()
        if token is None or now >= token.renewed + timedelta(seconds=token.seconds):
            raise not_authorized("The token is not valid any more")
        if self.find(token.user) is None:
            raise not_authorized("The user is disabled")
        if token.auto_refresh and now >= token.renewed + timedelta(seconds=REFRESH_SECONDS):
            token.renewed = now
        return token.user


def equal(ours: str, theirs: str) -> bool:
    """Compare secrets without telling how much of them is right."""
    return hmac.compare_digest(ours.encode(), theirs.encode())
