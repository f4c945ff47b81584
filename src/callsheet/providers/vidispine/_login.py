"""How Vidispine is told who we are: by name and password (or an access key), or by a token it gives out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable

from callsheet._errors import ConfigError
from callsheet._http._messages import Answer, Auth, Request
from callsheet._redaction import Secret

__all__ = ["Basic", "Login", "Renewable", "Token"]


class Login(Auth):
    """Puts an `Authorization` on each request.

    Attributes:
        name: Whom it lets in as, if that is known before the server is asked.
    """

    name: str | None = None

    def __init__(self, authorization: str) -> None:
        self._authorization = Secret(authorization)
        self._bare = Secret(authorization.partition(" ")[2])  # masked where it stands alone, too

    async def sign(self, request: Request) -> None:
        """Add the header."""
        request.headers["authorization"] = self._authorization


class Basic(Login):
    """A user's name and password, or the id and secret of an access key.

    Raises:
        ConfigError: The name holds a colon, which would end it.
    """

    def __init__(self, user: str, password: Secret) -> None:
        if ":" in user:
            raise ConfigError("user: it must not hold a colon")
        self._password = password
        self.name = user
        super().__init__(f"Basic {b64encode(f'{user}:{password.reveal()}'.encode()).decode()}")

    @property
    def headers(self) -> dict[str, str | Secret]:
        """The header, for a request that is not signed otherwise."""
        return {"authorization": self._authorization}


class Token(Login):
    """A token that was got elsewhere; when it has expired, that was it.

    Raises:
        ConfigError: It holds what no header can.
    """

    def __init__(self, token: Secret) -> None:
        if not token.reveal().isascii() or not token.reveal().isprintable():
            raise ConfigError("token: it holds characters that no token has")
        super().__init__(f"token {token.reveal()}")


class Renewable(Auth):
    """Tokens of the server's own, each got by name and password, and a new one when it has expired.

    Args:
        fetch: Asks for a token.
        name: Whom the tokens are for.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]], name: str | None) -> None:
        self.name = name
        self._fetch = fetch
        self._login: Token | None = None

    def forget(self) -> None:
        """Begin anew."""
        self._login = None

    async def sign(self, request: Request) -> None:
        """Add the token, and get the first one: the request by which the server is opened goes alone."""
        if self._login is None:
            self._login = await self._fresh()
        await self._login.sign(request)

    def refused(self, answer: Answer) -> bool:
        """Tell whether the token has expired."""
        return answer.status == 401

    async def refresh(self, answer: Answer) -> None:
        """Get another token."""
        self._login = await self._fresh()

    async def _fresh(self) -> Token:
        return Token(Secret(await self._fetch()))
