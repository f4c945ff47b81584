"""Outputs of a job on one tracker, copied to a job on another: streamed, and each attached once."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import attrs

from callsheet._components import Components
from callsheet._door import Door
from callsheet._downloads import VerifiedChunks, download
from callsheet._errors import CallsheetError
from callsheet._files import File, FrameSequence, Reader
from callsheet._models import Component
from callsheet._threads import Threads
from callsheet._transfers import upload_all
from callsheet.abc import Provider

__all__ = ["Copying", "pattern_of"]

_ONE_NUMBER = re.compile(r"(?:[^%/]|%%)*%0?\d{0,2}d(?:[^%/]|%%)*", re.DOTALL)
"""A file's name with one printf-style number; `%%` stands for a percent sign."""

PAGE = 100
"""Outputs that are looked at, uploaded and attached together."""


@attrs.frozen(kw_only=True)
class Copying:
    """What is to be copied where.

    Attributes:
        source: The tracker that has the outputs.
        job_id: The job there that they belong to.
        target: The tracker that gets them.
        mirror_id: The job there that they are attached to.
        key: The mirror's; the key of each upload follows from it, and from the output's name, size and hash.
        anew: Nothing can have been copied before.
        attached: Takes what is attached to the mirror, by its id.
    """

    source: Door
    job_id: str
    target: Door
    mirror_id: str
    key: str
    anew: bool
    attached: dict[str, Component]

    async def run(self) -> dict[Component, Exception]:
        """Copy every output that is not there yet; return the error of each that could not be copied."""
        known = set() if self.anew else await self._attached()
        failed: dict[Component, Exception] = {}
        async for page in Components(self.source).list(self.job_id, page_size=PAGE).pages():
            outputs = [one for one in page.items if one.role == "output"]
            failed |= await self._copy([one for one in outputs if _mark(one) not in known])
        return failed

    async def _attached(self) -> set[tuple[str, int | None, str]]:
        """Return name, size and hash of what the mirror has, as far as the hash is known."""
        listed = Components(self.target).list(self.mirror_id)
        return {mark async for one in listed if (mark := _mark(one)) is not None}

    async def _copy(self, components: Sequence[Component]) -> dict[Component, Exception]:
        """Upload many at once, and attach all that arrived by one request."""
        failed: dict[Component, Exception] = {}
        async with AsyncExitStack() as stack:
            wanted = await self._outputs(components, stack, failed)
            there = {} if self.anew else await self._made(wanted)
            new = [key for key in wanted if key not in there]
            with self.target.calling():
                files = [wanted[key].file for key in new]
                sent, errors = await upload_all(self.target.provider, files, location=None, keys=new)
        there |= {key: made for key, made in zip(new, sent, strict=True) if made is not None}
        failed |= {wanted[new[index]].component: error for index, error in errors.items()}
        if there:
            with self.target.calling():
                arrived = [there[key] for key in wanted if key in there]
                linked = await self.target.provider.link(self.mirror_id, arrived)
            self.attached.update((one.id, one) for one in linked)
        return failed

    async def _outputs(
        self, components: Sequence[Component], stack: AsyncExitStack, failed: dict[Component, Exception]
    ) -> dict[str, Output]:
        """Return what is to be uploaded, by its key; what is the same in name, size and hash goes once."""
        found: dict[str, Output] = {}
        for component in components:
            try:
                with self.source.calling():
                    parts = await self._parts(component, stack)
            except (CallsheetError, OSError) as error:
                failed[component] = error
            else:
                found |= {self._key(part): part for part in parts}
        return found

    async def _parts(self, component: Component, stack: AsyncExitStack) -> list[Output]:
        """Return the uploads that make up an output: one, or files where frames cannot be one."""
        provider = self.source.provider
        frames = await provider.members(component)
        if frames is None:
            return [Output(component, await _file(provider, component, stack), [component])]
        can_be_one = "upload(frames=)" in self.target.provider.capabilities and all(map(_is_sized, frames))
        if can_be_one and (pattern := pattern_of(component.name, [one.name for one in frames])):
            return [Output(component, _Frames(provider, component, frames, *pattern), frames)]
        return [Output(component, await _file(provider, one, stack), [one]) for one in frames]

    async def _made(self, wanted: dict[str, Output]) -> dict[str, Component]:
        """Return what was uploaded before, by its key: where hashes differ in kind, only the key tells."""
        target, keys = self.target.provider, list(wanted)
        made: list[Component | None] = []
        with self.target.calling():
            for start in range(0, len(keys), target.batch_size):
                made += await target.made_components(keys[start : start + target.batch_size])
        return {key: one for key, one in zip(keys, made, strict=True) if one is not None}

    def _key(self, output: Output) -> str:
        facts = [self.key, output.file.name, *((one.size, one.checksum or one.id) for one in output.content)]
        return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(facts)))


@attrs.frozen
class Output:
    """One upload.

    Attributes:
        component: The output that it comes from.
        file: What is uploaded.
        content: The components that have its bytes: one, or the frames of a sequence.
    """

    component: Component
    file: File | FrameSequence
    content: Sequence[Component]


def _mark(component: Component) -> tuple[str, int | None, str] | None:
    checksum = component.checksum
    return None if checksum is None else (component.name, component.size, checksum.lower())


def _is_sized(component: Component) -> bool:
    return component.size is not None


async def _file(provider: Provider, component: Component, stack: AsyncExitStack) -> File:
    if component.size is not None:
        return _Remote(provider, component)
    # An upload has to say how long it is before it begins.
    folder = await stack.enter_async_context(anyio.TemporaryDirectory(prefix="callsheet-"))
    target = Path(folder) / "file"
    await download(provider, component, target, threads=Threads(1), report=_unseen, overwrite=False)
    return File(target, name=component.name)


async def _unseen(done: int) -> None:
    """Take progress and tell nobody."""


# -- bytes on another tracker --------------------------------------------------------------------------------


class _Bytes(AsyncIterable[bytes]):
    """The bytes of a component, verified, as often as they are asked for."""

    def __init__(self, provider: Provider, component: Component) -> None:
        self._provider = provider
        self._component = component

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async with self._provider.read(self._component) as chunks:
            async for chunk in VerifiedChunks(self._component, chunks, Threads(1)):
                yield chunk


class _Remote(File):
    """A file whose bytes another tracker has. Unlike other streams, it can be read again."""

    def __init__(self, provider: Provider, component: Component) -> None:
        super().__init__(_Bytes(provider, component), name=component.name, size=component.size)
        self._provider = provider
        self._component = component

    @asynccontextmanager
    async def open(self, threads: Threads, *, start: int = 0) -> AsyncIterator[Reader]:
        """Open the component; it is closed by whoever opened it, in the same task."""
        assert start == 0, "only a file with a path is gone on with"
        async with self._provider.read(self._component) as chunks:
            verified = VerifiedChunks(self._component, chunks, threads)
            async with File(verified, name=self.name, size=self._component.size).open(threads) as reader:
                yield reader


class _Frames(FrameSequence):
    """A frame sequence whose frames another tracker has."""

    def __init__(
        self,
        provider: Provider,
        component: Component,
        frames: Sequence[Component],
        pattern: str,
        first: int,
    ) -> None:
        super().__init__(pattern, first, first + len(frames) - 1, name=component.name)
        self._provider = provider
        self._frames = frames

    def files(self) -> list[File]:
        """Return the frames in order, to be read from their tracker."""
        return [_Remote(self._provider, frame) for frame in self._frames]

    def _measure(self) -> int:
        return sum(frame.size or 0 for frame in self._frames)


# -- names of frames -----------------------------------------------------------------------------------------


def pattern_of(name: str, frames: Sequence[str]) -> tuple[str, int] | None:
    """Return the pattern (`beauty.%04d.exr`) that gives the frames' names, and the first frame's number.

    Args:
        name: The sequence's own name, which usually is that pattern.
        frames: The names of its frames, in order.

    Returns:
        `None` if no numbers without gaps give just these names.
    """
    for pattern, first in _candidates(name, frames[0] if frames else ""):
        if all(pattern % number == frame for number, frame in enumerate(frames, first)):
            return pattern, first
    return None


def _candidates(name: str, frame: str) -> list[tuple[str, int]]:
    """Return patterns that may give a frame's name, with its number: the sequence's own name comes first."""
    found = sorted(re.finditer(r"[0-9]{1,18}", frame), key=lambda match: -len(match[0]))
    # Other digits of the name may stand beside the number, which only the sequence's own name can tell.
    numbers = dict.fromkeys(int(part) for match in found for part in _parts_of(match[0]))
    candidates = [(name, number) for number in numbers]
    for match in found:
        before, after = (text.replace("%", "%%") for text in (frame[: match.start()], frame[match.end() :]))
        candidates.append((f"{before}%0{len(match[0])}d{after}", int(match[0])))
    return [(pattern, number) for pattern, number in candidates if _ONE_NUMBER.fullmatch(pattern)]


def _parts_of(digits: str) -> list[str]:
    """Return all stretches of digits, the longest first."""
    lengths = range(len(digits), 0, -1)
    return [digits[at : at + length] for length in lengths for at in range(len(digits) - length + 1)]
