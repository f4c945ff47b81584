"""The calls about task definitions and types of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callsheet.sandbox.vidispine import _answering
from callsheet.sandbox.vidispine._answering import Reply
from callsheet.sandbox.vidispine._asking import Call
from callsheet.sandbox.vidispine._definitions import PLAIN
from callsheet.sandbox.vidispine._errors import conflict, invalid, not_found
from callsheet.sandbox.vidispine._values import Document, documents, number

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine._door import Table

__all__ = ["TABLE"]


async def list_definitions(call: Call) -> Reply:
    """List the definitions of all types, or of some."""
    types = call.csv("type") or call.part.definitions.types
    return tasks([each for kind in types for each in call.part.definitions.of_type(kind)])


async def create_definitions(call: Call) -> Reply:
    """Add definitions."""
    wanted = documents("task", (await call.document()).get("task"))
    made = [call.part.definitions.add(each) for each in wanted]
    for each in made:
        if not call.part.definitions.knows(each["jobType"]):
            call.part.definitions.types.append(each["jobType"])
    if not call.flag("url"):
        return tasks(made)
    return {"uri": [f"{call.base}/API/task-definition/{each['id']}" for each in made]}


async def get_definition(call: Call) -> Reply:
    """Return one definition."""
    return definition_of(call)


async def put_definition(call: Call) -> Reply:
    """Change one definition."""
    definition, document = definition_of(call), await call.document()
    known = ("description", "bean", "method", "extradata", "script", "critical", "cleanup")
    definition.update({name: document[name] for name in known if name in document})
    return definition


async def delete_definition(call: Call) -> None:
    """Delete one definition; jobs under way keep it."""
    del call.part.definitions.by_id[definition_of(call)["id"]]


async def get_script(call: Call) -> Reply:
    """Return a definition's script."""
    return _answering.text(definition_of(call).get("script", ""))


async def put_script(call: Call) -> None:
    """Change a definition's script; it is kept, and not run."""
    definition_of(call)["script"] = (await call.request.body()).decode()


async def get_type(call: Call) -> Reply:
    """List the definitions of one type."""
    return tasks(call.part.definitions.of_type(type_of(call)))


async def get_step(call: Call) -> Reply:
    """Return the definition of one step of a type."""
    step = number("step", call.id("step"))
    for each in call.part.definitions.of_type(type_of(call)):
        if each["step"] == step:
            return each
    raise not_found("task-definition", call.id("step"))


async def create_type(call: Call) -> Reply:
    """Add a type of job, of the studio's own."""
    kind = call.id("type")
    identity = call.number("id", 20000)
    if not 20000 <= identity <= 30000:
        raise invalid("id", "The id of a custom job type is from 20000 to 30000", str(identity))
    if "_" not in kind or kind != kind.upper():
        raise invalid("type", "The name of a custom job type has the form VENDOR_NAME", kind)
    if call.part.definitions.knows(kind):
        raise conflict("type", "The job type exists already", identity=kind)
    call.part.definitions.add_type(kind, PLAIN)
    return tasks(call.part.definitions.of_type(kind))


async def delete_type(call: Call) -> None:
    """Delete a type of job."""
    kind, definitions = type_of(call), call.part.definitions
    for each in definitions.of_type(kind):
        del definitions.by_id[each["id"]]
    definitions.types.remove(kind)


def type_of(call: Call) -> str:
    """Return the type that the path names."""
    if not call.part.definitions.knows(call.id("type")):
        raise not_found("job-type", call.id("type"))
    return call.id("type")


def definition_of(call: Call) -> Document:
    """Return the definition that the path names."""
    definition = call.part.definitions.by_id.get(number("id", call.id("task")))
    if definition is None:
        raise not_found("task-definition", call.id("task"))
    return definition


def tasks(definitions: list[Document]) -> Document:
    """Write definitions as a list."""
    return {"task": definitions} if definitions else {}


TABLE: Table = [
    ("GET", "/task-definition", list_definitions),
    ("POST", "/task-definition", create_definitions),
    ("GET", "/task-definition/jobtype/{type}", get_type),
    ("POST", "/task-definition/jobtype/{type}", create_type),
    ("DELETE", "/task-definition/jobtype/{type}", delete_type),
    ("GET", "/task-definition/jobtype/{type}/step/{step}", get_step),
    ("GET", "/task-definition/{task:int}", get_definition),
    ("PUT", "/task-definition/{task:int}", put_definition),
    ("DELETE", "/task-definition/{task:int}", delete_definition),
    ("GET", "/task-definition/{task:int}/script", get_script),
    ("PUT", "/task-definition/{task:int}/script", put_script),
]
