"""The calls about users, their tokens and their access keys."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._errors import conflict, forbidden, invalid, not_authorized, not_found
from callsheet.sandbox.vidispine._users import TOKEN_SECONDS, User, equal
from callsheet.sandbox.vidispine._values import Document, flag, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]


def itself_or_administrator(call: Call, name: str) -> User:
    """Return a user whose own business this is.

    Raises:
        VidispineError: The user is unknown, or it is the business of another one.
    """
    if call.user != name and not call.part.users.administrates(call.user):
        raise forbidden("user", "only for the user itself and for administrators", identity=name)
    return call.part.users.get(name)


async def who_am_i(call: Call) -> Reply:
    """Tell the caller's name."""
    return _answering.text(call.user)


async def get_token(call: Call) -> Reply:
    """Give the caller a token."""
    token = make_token(call, call.user)
    return _answering.text(token) if call.plain else {"token": token, "user": call.user}


async def get_user_token(call: Call) -> Reply:
    """Give out a token of a user, as text."""
    return _answering.text(make_token(call, itself_or_administrator(call, call.id("user")).name))


def make_token(call: Call, user: str) -> str:
    """Return a new token that lives as long as was asked for."""
    seconds = call.number("seconds", TOKEN_SECONDS)
    if seconds > TOKEN_SECONDS and not call.part.users.administrates(call.user):
        raise forbidden("token", f"a token lives for {TOKEN_SECONDS} seconds at most")
    return call.part.users.token(user, seconds, call.flag("autoRefresh"))


async def list_users(call: Call) -> Reply:
    """List the users by name."""
    users = [call.part.users.by_name[name] for name in sorted(call.part.users.by_name)]
    first, number = max(call.number("first", 1), 1), call.number("number", 100)
    page = users[first - 1 : first - 1 + number]
    return {"hits": len(users), "user": [user.document() for user in page]}


async def get_user(call: Call) -> Reply:
    """Return one user."""
    return call.part.users.get(call.id("user")).document()


async def create_user(call: Call) -> Reply:
    """Add a user: by name and password, with groups and roles."""
    if not call.part.users.administrates(call.user):
        raise forbidden("user", "only administrators may add users")
    document = await call.document()
    name = document.get("userName")
    if not name or not isinstance(name, str):
        raise invalid("user", "A user name is required")
    if name in call.part.users.by_name:
        raise conflict("user", "The user exists already", identity=name)
    user = call.part.users.add(name, str(document.get("password") or ""))
    for group in (document.get("groupList") or {}).get("group", []):
        (user.roles if flag(group.get("role")) else user.groups).append(group["groupName"])
    return None


async def disable_user(call: Call) -> Reply:
    """Disable a user, by a job."""
    if not call.part.users.administrates(call.user):
        raise forbidden("user", "only administrators may disable users")
    user = call.part.users.get(call.id("user"))
    return call.part.jobs.asked(call, "DELETE_USER", {}, disabled=user.name)


async def enable_user(call: Call) -> None:
    """Let a user log in again."""
    call.part.users.get(call.id("user")).enabled = True


async def list_roles(call: Call) -> Reply:
    """List a user's roles."""
    return {"group": groups(call.part.users.get(call.id("user")).roles, role=True)}


async def list_groups(call: Call) -> Reply:
    """List a user's groups."""
    return {"group": groups(call.part.users.get(call.id("user")).groups, role=False)}


async def list_all_groups(call: Call) -> Reply:
    """List a user's groups and roles."""
    user = call.part.users.get(call.id("user"))
    return {"group": [*groups(user.groups, role=False), *groups(user.roles, role=True)]}


def groups(names: list[str], *, role: bool) -> list[Document]:
    """Write groups, or the roles that are groups of their own kind."""
    return [{"groupName": name, "role": role} for name in names]


async def validate_password(call: Call) -> Reply:
    """Tell whether the body is a user's password."""
    user = call.part.users.get(call.id("user"))
    if not equal(user.password, (await call.request.body()).decode(errors="replace")):
        raise not_authorized("Wrong password")
    return _answering.text("OK")


async def create_key(call: Call) -> Reply:
    """Give a user an access key; its secret is shown only now."""
    user = itself_or_administrator(call, call.id("user"))
    key: dict[str, Any] = {
        "id": secrets.token_hex(10).upper(),
        "name": call.text("name"),
        "created": stamp(call.part.now()),
        "status": "ACTIVE",
        "secret": secrets.token_urlsafe(30),
    }
    user.keys[key["id"]] = key
    return key


async def list_keys(call: Call) -> Reply:
    """List a user's access keys."""
    keys = itself_or_administrator(call, call.id("user")).keys.values()
    return {"key": [without_secret(key) for key in keys]} if keys else {}


async def get_key(call: Call) -> Reply:
    """Return one access key."""
    return without_secret(key_of(call))


async def update_key(call: Call) -> Reply:
    """Rename an access key, or put it out of use."""
    key, document = key_of(call), await call.document()
    key.update({name: document[name] for name in ("name", "status") if name in document})
    return without_secret(key)


async def delete_key(call: Call) -> None:
    """Take an access key back."""
    del itself_or_administrator(call, call.id("user")).keys[key_of(call)["id"]]


def key_of(call: Call) -> Document:
    """Return the access key that the path names."""
    user = itself_or_administrator(call, call.id("user"))
    if call.id("key") not in user.keys:
        raise not_found("AccessKey", call.id("key"))
    return user.keys[call.id("key")]


def without_secret(key: Document) -> Document:
    """Return an access key as it is shown later."""
    return {name: value for name, value in key.items() if name != "secret"}


TABLE: Table = [
    ("GET", "/whoami", who_am_i),
    ("GET", "/token", get_token),
    ("GET", "/user", list_users),
    ("POST", "/user", create_user),
    ("GET", "/user/{user}", get_user),
    ("DELETE", "/user/{user}", disable_user),
    ("PUT", "/user/{user}/enable", enable_user),
    ("GET", "/user/{user}/token", get_user_token),
    ("GET", "/user/{user}/roles", list_roles),
    ("GET", "/user/{user}/groups", list_groups),
    ("GET", "/user/{user}/allgroups", list_all_groups),
    ("PUT", "/user/{user}/validate", validate_password),
    ("POST", "/user/{user}/key", create_key),
    ("GET", "/user/{user}/key", list_keys),
    ("GET", "/user/{user}/key/{key}", get_key),
    ("PUT", "/user/{user}/key/{key}", update_key),
    ("DELETE", "/user/{user}/key/{key}", delete_key),
]
