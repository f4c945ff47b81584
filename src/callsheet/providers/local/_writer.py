"""One writer thread: what many ask for at once is one transaction, and each gets an answer of its own."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import anyio
import anyio.from_thread
import anyio.lowlevel

from callsheet._errors import CallsheetError, ConfigError, Outcome, Timeout, Unavailable
from callsheet.providers.local._database import Database, Transaction

__all__ = ["BATCH", "Write", "Writer"]

BATCH = 500
"""The most calls in one transaction."""

Write: TypeAlias = Callable[[Transaction, list[Any]], Sequence[Any]]
"""Does many calls of one kind: takes their arguments, returns in their order the results or errors."""


class _Call:
    """One caller's wish, and what became of it."""

    __slots__ = ("argument", "done", "error", "key", "result", "taken", "write")

    def __init__(self, write: Write, argument: Any, key: str | None) -> None:
        self.write = write
        self.argument = argument
        self.key = key
        self.taken = False
        self.done = anyio.Event()
        self.result: Any = None
        self.error: Exception | None = None


class Writer:
    """Takes all that waits, does it in one transaction, and wakes the callers. Made inside an event loop."""

    def __init__(self, database: Database) -> None:
        self.transactions = 0
        self._database = database
        self._token = anyio.lowlevel.current_token()
        self._gathering: list[_Call] = []
        self._waiting: list[_Call] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="callsheet-writer", daemon=True)
        self._thread.start()

    async def run(self, write: Write, argument: Any, *, key: str | None, timeout: float) -> Any:
        """Have it written, and return its result once that is on disk.

        A cancelled call that has not begun is withdrawn; one that has begun is waited for.

        Raises:
            Timeout: Not decided in time; `outcome` tells whether it had begun.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        call = _Call(write, argument, key)
        deadline = anyio.current_time() + timeout
        try:
            await self._submit(call)
            with anyio.CancelScope(deadline=deadline):
                await call.done.wait()
        except anyio.get_cancelled_exc_class():
            if not self._withdraw(call):
                with anyio.CancelScope(deadline=deadline, shield=True):
                    await call.done.wait()
            raise
        if not call.done.is_set():
            raise self._late(call, timeout)
        if call.error is not None:
            raise call.error
        return call.result

    async def aclose(self, grace: float = 5.0) -> bool:
        """Do what waits, then end the thread; return whether it ended within `grace` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        with anyio.move_on_after(grace, shield=True):
            # The thread tells nobody when it ends, so it is looked for.
            while self._thread.is_alive():  # noqa: ASYNC110
                await anyio.sleep(0.001)
        return not self._thread.is_alive()

    async def _submit(self, call: _Call) -> None:
        self._gathering.append(call)
        if len(self._gathering) > 1:
            return
        try:
            # All who are ready to write in this turn of the loop come into one transaction.
            await anyio.lowlevel.cancel_shielded_checkpoint()
        finally:
            # Even if this caller is cancelled: the others rely on it.
            calls, self._gathering = self._gathering, []
            with self._changed:
                if self._closing:
                    # The thread may have looked for the last time.
                    for late in calls:
                        late.error = ConfigError("the local tracker was closed", provider="local")
                        late.done.set()
                else:
                    self._waiting += calls
                    self._changed.notify()

    def _withdraw(self, call: _Call) -> bool:
        with self._changed:
            if call.taken or call.done.is_set():
                return False
            (self._gathering if call in self._gathering else self._waiting).remove(call)
            return True

    def _late(self, call: _Call, timeout: float) -> Timeout:
        outcome = Outcome.NOT_DONE if self._withdraw(call) else Outcome.UNKNOWN
        return Timeout(
            f"the local tracker did not write within {timeout:g} s",
            outcome=outcome,
            idempotency_key=call.key,
            provider="local",
        )

    # -- in the thread ---------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while calls := self._take():
            self._decide(calls)
            try:
                anyio.from_thread.run_sync(_wake, calls, token=self._token)
            except anyio.RunFinishedError:
                return  # the loop has ended, and with it everybody who waited

    def _take(self) -> list[_Call]:
        with self._changed:
            while not (self._waiting or self._closing):
                self._changed.wait()
            calls = self._waiting[:BATCH]
            del self._waiting[:BATCH]
            for call in calls:
                call.taken = True
            return calls

    def _decide(self, calls: list[_Call]) -> None:
        try:
            self._transact(calls)
        except Exception as exc:  # noqa: BLE001 - each caller gets it, or one of its own
            if len(calls) == 1 or isinstance(exc, Unavailable):
                for call in calls:
                    call.error = _own(exc, call.key)
                return
            for call in calls:
                self._decide([call])

    def _transact(self, calls: list[_Call]) -> None:
        kinds: dict[Write, list[_Call]] = defaultdict(list)
        for call in calls:
            kinds[call.write].append(call)
        with self._database.writing() as transaction:
            results = [write(transaction, [call.argument for call in kinds[write]]) for write in kinds]
        self.transactions += 1
        for same, answers in zip(kinds.values(), results, strict=True):
            for call, answer in zip(same, answers, strict=True):
                if isinstance(answer, Exception):
                    call.error = _own(answer, call.key)
                else:
                    call.result = answer


def _wake(calls: list[_Call]) -> None:
    for call in calls:
        call.done.set()


def _own(error: Exception, key: str | None) -> Exception:
    """Return an error that only this caller gets, with its key: raising one twice would mix tracebacks."""
    if not isinstance(error, CallsheetError):
        return error
    own: CallsheetError = copy.copy(error)
    own.__cause__ = error.__cause__
    own.idempotency_key = key
    own.provider = "local"
    return own
