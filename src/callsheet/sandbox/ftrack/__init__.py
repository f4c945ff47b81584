"""The ftrack part of a sandbox: what a studio's server answers about jobs, their files and its events."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.routing import BaseRoute

from callsheet.sandbox._frame import World
from callsheet.sandbox._options import FLAG, NULL, Options, number
from callsheet.sandbox.ftrack._announcing import update_event
from callsheet.sandbox.ftrack._editing import Editor
from callsheet.sandbox.ftrack._errors import InvalidCredentialsError
from callsheet.sandbox.ftrack._files import Files, Links
from callsheet.sandbox.ftrack._hub import Hub
from callsheet.sandbox.ftrack._seed import API_KEY, API_USER, fixed_id, plant
from callsheet.sandbox.ftrack._selecting import Selector
from callsheet.sandbox.ftrack._store import Document, Store
from callsheet.sandbox.ftrack._web import routes

__all__ = ["Ftrack"]

OPTIONS: Options = Options(
    "ftrack",
    {
        "normalise": FLAG,
        "utc_offset": number(-24, 24) | NULL,
        "link_seconds": number(),
        "events": FLAG,
        "heartbeat_seconds": number(),
    },
)


class Ftrack:
    """An ftrack server in memory.

    Attributes:
        normalise: Whether answers spell an entity out only once, as real servers do.
        utc_offset: Hours that the server's naive times are ahead of UTC, for a server without time zone
            support; None for one with it, as it is today.
        link_seconds: How long signed links and upload URLs live.
        events: Whether the event hub takes connections; those there are cut when it stops to.
        heartbeat_seconds: How often the event hub shows that it lives; 0 keeps it silent.
        api_keys: Personal keys by user name; the sandbox's own key is good for every user.
    """

    name = "ftrack"

    def __init__(self, world: World) -> None:
        self.world = world
        self.store: Store = Store()
        self.selector: Selector = Selector(self.store)
        self.files: Files = Files(world.folder / self.name)
        self.links: Links = Links(world.clock)
        self.normalise = True
        self.utc_offset: float | None = None
        self.link_seconds: float = 3600
        self.events = True
        self.heartbeat_seconds: float = 5
        self.api_keys: dict[str, str] = {}
        self.hub: Hub = Hub(self)
        plant(self)

    def routes(self) -> list[BaseRoute]:
        """Return what it answers."""
        return [*routes(self), *self.hub.routes()]

    def environment(self, url: str) -> Mapping[str, str]:
        """Return the variables by which ftrack's own clients find it."""
        return {"FTRACK_SERVER": url, "FTRACK_API_USER": API_USER, "FTRACK_API_KEY": API_KEY}

    @property
    def options(self) -> dict[str, Any]:
        """What can be changed while it runs."""
        return OPTIONS.read(self)

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change options.

        Raises:
            ValueError: An option is unknown or has no such value; names it.
        """
        OPTIONS.write(self, options)
        if not self.events:
            self.hub.drop()

    def act(self, action: str, words: Mapping[str, Any]) -> Any:
        """Refuse: all that happens on an ftrack server, clients can ask for."""
        raise ValueError(f"{action}: ftrack knows no actions")

    @property
    def offset(self) -> timedelta:
        """What the server's naive times are ahead of UTC."""
        return timedelta(hours=self.utc_offset or 0)

    def editor(self) -> Editor:
        """Return what changes entities now."""
        return Editor(self.store, self.world.clock.now(), self.offset)

    def authenticate(self, username: str | None, api_key: str | None) -> Document:
        """Return the user whose credentials these are.

        Raises:
            InvalidCredentialsError: They are nobody's.
        """
        key = api_key or ""
        keys = [API_KEY, self.api_keys.get(username or "", API_KEY)]
        user = next((each for each in self.store.all("User") if each.get("username") == username), None)
        good = any(hmac.compare_digest(key.encode(), each.encode()) for each in keys)
        if user is None or not good:
            raise InvalidCredentialsError("The supplied API key is not valid for this user")
        return user

    def link(self, url: str, component_id: str) -> str:
        """Return a signed link to a component's bytes."""
        return url + self.links.sign("/component/file", {"id": component_id}, self.link_seconds)

    def run_job(self, job_id: str, *, starts: float, ends: float, status: str = "done") -> None:
        """Let a job run on the sandbox's clock: from and to so many seconds from now."""
        now = self.world.clock.now()

        def move(wanted: str) -> None:
            document = self.store.get("Job", (job_id,))
            if document is not None and document["status"] not in {"done", "failed"}:
                editor = self.editor()
                editor.update("Job", (job_id,), {"status": wanted})
                self.announce(editor, self.store.get("User", (fixed_id(API_USER),)) or {})

        self.world.clock.call_at(now + timedelta(seconds=starts), lambda: move("running"))
        self.world.clock.call_at(now + timedelta(seconds=ends), lambda: move(status))

    def announce(
        self, editor: Editor, user: Document, client_token: str | None = None, push_token: str | None = None
    ) -> None:
        """Tell the event hub's clients what was changed, by whom and by which program."""
        if editor.changes:
            self.hub.publish(update_event(editor.changes, user, client_token, push_token))
