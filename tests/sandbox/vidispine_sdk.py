"""What Vidispine's official Python SDK does against a server; run where that is installed, with a scenario.

Prints what it saw as JSON. The server and the credentials come from the environment.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

# By name: for a checker, `vidispine` would be this project's folder of tests.
vidispine: Any = importlib.import_module("vidispine")
apis: Any = importlib.import_module("vidispine.api")
ApiException: Any = importlib.import_module("vidispine.exceptions").ApiException

CLIP = bytes(range(256)) * 64


def connect(run_as: str | None = None) -> Any:
    """Return a client."""
    client = vidispine.ApiClient(
        vidispine.Configuration(
            host=os.environ["VIDISPINE_URL"] + "/API",
            username=os.environ["VIDISPINE_USER"],
            password=os.environ["VIDISPINE_PASSWORD"],
        )
    )
    if run_as:
        client.set_default_header("RunAs", run_as)
    return client


def refused(call: Callable[[], Any]) -> list[Any]:
    """Return status and body of the error that a call is answered with; of a document, what it tells."""
    try:
        call()
    except ApiException as error:
        if not error.body.startswith("{"):
            return [error.status, error.body]
        body = json.loads(error.body)
        return [error.status, {name: value for name, value in body.items() if value is not None}, len(body)]
    raise AssertionError("the call was not refused")


def ended(client: Any, job_id: str) -> Any:
    """Let the server's time pass until a job has ended, and return it."""
    clock = os.environ["VIDISPINE_URL"] + "/_sandbox/clock"
    with urlopen(Request(clock, data=b'{"seconds": 60}', method="POST")):
        job = apis.JobApi(client).get_job(job_id, metadata=True)
        assert job.finished is not None, job.status
        return job


def data_of(job: Any) -> dict[str, str]:
    """Return a job's data."""
    return {each.key: each.value for each in job.data or []}


def metadata(title: str) -> Any:
    """Return an item's metadata with a title."""
    value = vidispine.MetadataValueType(value=title)
    field = vidispine.MetadataFieldValueType(name="title", value=[value])
    return vidispine.MetadataType(
        timespan=[vidispine.MetadataTypeTimespan(start="-INF", end="+INF", field=[field])]
    )


def login() -> Any:
    """Say who one is: by password, for somebody else, by token, and with a wrong password."""
    client, other = connect(), connect()
    other.configuration.password = "wrong"
    token = apis.UserTokenApi(client).get_auth_token(seconds=30)
    bearer = connect()
    bearer.configuration.get_basic_auth_token = lambda: f"token {token.token}"
    return {
        "me": apis.UserApi(client).get_who_am_i(),
        "as": apis.UserApi(connect("jane")).get_who_am_i(),
        "token": [token.user, apis.UserApi(bearer).get_who_am_i()],
        "wrong": refused(lambda: apis.UserApi(other).get_who_am_i())[0],
        "nobody": refused(lambda: apis.UserApi(connect("nobody")).get_who_am_i())[0],
        "version": [each.name for each in apis.SystemApi(client).get_version().component],
        "roles": [each.group_name for each in apis.UserApi(client).get_user_roles("admin").group],
    }


def jobs() -> Any:
    """Make jobs, list them in every way there is, change, abort, repeat and delete them."""
    client = connect()
    api, nothing = apis.JobApi(client), vidispine.SimpleMetadataType()
    render = api.create_custom_job("STUDIO_RENDER", nothing, jobmetadata=["shot=sh010"], priority="LOW")
    comp = apis.JobApi(connect("jane")).create_custom_job("STUDIO_COMP", nothing)
    told: dict[str, Any] = {"made": [render.status, render.type, render.user, render.priority, comp.user]}
    told["own"] = ids(api.get_jobs())
    told["all"] = ids(api.get_jobs(user=False, metadata=True, step=True, sort="jobId asc"))
    told["filtered"] = ids(
        api.get_jobs(
            user=False,
            type=["STUDIO_RENDER", "IMPORT"],
            state=["READY", "STARTED"],
            jobmetadata=["shot=sh0*"],
            field=["shot"],
            first=1,
            number=1,
            starttime_from=render.started.isoformat(),
            sort="startTime desc,jobId",
        )
    )
    count = api.get_jobs(user=False, idonly=True, number=1)
    told["count"] = [count.hits, len(count.job)]
    told["none"] = api.get_jobs(type=["CONFORM"]).job
    told["update"] = api.update_job(render.job_id, priority="HIGHEST")
    told["priority"] = api.get_job(render.job_id).priority
    told["abort"] = api.abort_job(comp.job_id, reason="changed", cleanup=True)
    told["aborted"] = ended(client, comp.job_id).status
    again = api.create_duplicate_job(comp.job_id)
    told["again"] = [again.job_id != comp.job_id, again.type, again.user]
    told["delete"] = api.delete_jobs([comp.job_id])
    told["gone"] = refused(lambda: api.get_job(comp.job_id))
    told["problems"] = [api.get_all_job_problems().problem, api.get_job_problems(render.job_id).problem]
    done = ended(client, render.job_id)
    told["done"] = [
        done.status,
        data_of(done)["shot"],
        done.total_steps,
        [each.status for each in done.log.task],
    ]
    told["types"] = "STUDIO_RENDER" in api.get_job_types().uri
    return told


def ids(listed: Any) -> list[Any]:
    """Return how many jobs there are, and the types of those in a listing."""
    return [listed.hits, [job.type for job in listed.job or []]]


def states() -> Any:
    """Read jobs in every state, with steps in every state, as they were prepared."""
    found = apis.JobApi(connect()).get_jobs(user=False, step=True, number=100, sort="jobId asc").job
    return [
        [job.status, [[task.status, task.progress and task.progress.unit] for task in job.log.task]]
        for job in found
    ]


def definitions() -> Any:
    """Read the steps of a type of job, and delete one."""
    api = apis.TaskDefinitionApi(connect())
    before = api.get_job_type_task_definitions("STUDIO_COMP").task
    api.delete_task_definition(before[1].id)
    after = api.get_job_type_task_definitions("STUDIO_COMP").task
    made = api.create_custom_job_type(20001, "STUDIO_BAKE").task
    return {
        "before": [each.step for each in before],
        "after": [each.step for each in after],
        "made": len(made),
    }


def notifications() -> Any:
    """Make, list, read, change and delete notifications about jobs."""
    api = apis.NotificationApi(connect())
    wanted = vidispine.NotificationType(
        action=vidispine.NotificationTypeAction(
            http=vidispine.NotificationHttpActionType(
                url="http://127.0.0.1:9/", method="POST", timeout="1", retry=0, synchronous=False
            )
        ),
        trigger=vidispine.NotificationTypeTrigger(job=vidispine.NotificationJobTriggerType(stop="")),
    )
    (made,) = api.create_notification("job", wanted).uri
    told = {"listed": api.get_notifications("job").uri == [made]}
    told["url"] = api.get_notification("job", made).action.http.url
    wanted.action.http.url = "http://127.0.0.1:9/other"
    told["changed"] = api.update_notification("job", made, wanted).action.http.url
    api.delete_notification("job", made)
    told["left"] = api.get_notifications("job").uri
    return told


def imports() -> Any:
    """Import by bytes, in chunks, into a placeholder, by a URI; follow one to its end and read the item."""
    client = connect()
    api = apis.ImportApi(client)
    raw = api.import_item_raw(
        io.BytesIO(CLIP), filename="a.mov", jobmetadata=["request=r-1"], transfer_id="t-1"
    )
    done = ended(client, raw.job_id)
    told: dict[str, Any] = {"raw": [raw.type, raw.status, done.status, data_of(done)["request"]]}
    item = data_of(done)["itemId"]
    told["transfer"] = apis.TransferApi(client).get_transfer("t-1").transferred
    told["item"] = sorted(each.id for each in [apis.ItemApi(client).get_item(item, content=["shape", "uri"])])
    (shape_id,) = apis.ShapeApi(client).get_shapes(item).uri
    shape = apis.ShapeApi(client).get_shape(item, shape_id)
    told["shape"] = [
        shape.tag,
        shape.container_component.file[0].size,
        shape.container_component.file[0].state,
    ]
    told["chunks"] = chunked(client)
    placeholder = api.create_placeholder(metadata("Plate"), container=1)
    job = api.import_to_placeholder(placeholder.id, "container", file_id=data_of(done)["fileId"])
    told["placeholder"] = [job.type, ended(client, job.job_id).status]
    told["full"] = refused(lambda: api.import_to_placeholder(placeholder.id, "video", uri="file:///a"))
    lost = api.import_item("file:///nowhere/a.mov", vidispine.MetadataType())
    told["lost"] = [lost.status, ended(client, lost.job_id).status]
    second = apis.ShapeApi(client).import_shape(item, file_id=data_of(done)["fileId"], tag="lowres")
    told["second"] = [
        second.type,
        ended(client, second.job_id).status,
        len(apis.ShapeApi(client).get_shapes(item).uri),
    ]
    transcoded = apis.ItemApi(client).create_item_transcode_job(item, tag=["web"], priority="LOWEST")
    told["transcoded"] = [transcoded.type, transcoded.priority, ended(client, transcoded.job_id).status]
    apis.ShapeApi(client).delete_shapes(item)
    told["shapes"] = apis.ShapeApi(client).get_shapes(item).uri
    apis.ItemApi(client).delete_item(item)
    told["gone"] = refused(lambda: apis.ItemApi(client).get_item(item, content=["metadata"]))
    return told


def chunked(client: Any) -> list[Any]:
    """Upload in three chunks: headers by the client's defaults, answers read by hand; return type and end."""
    api, half = apis.ImportApi(client), len(CLIP) // 2
    for start, data in ((0, CLIP[:half]), (half, CLIP[half:])):
        client.set_default_header("size", str(len(CLIP)))
        client.set_default_header("index", str(start))
        answer = api.import_item_raw(data, transfer_id="t-2", filename="b.mov", _preload_content=False)
    del client.default_headers["size"], client.default_headers["index"]
    job = json.loads(answer.data)
    done = ended(client, job["jobId"])
    file = apis.FileApi(client).get_file(data_of(done)["fileId"])
    return [job["type"], done.status, file.size, file.path.endswith(".mov")]


def files() -> Any:
    """Put a file on a storage, find it, read it whole, note something about it, copy it and delete it."""
    client = connect()
    api = apis.FileApi(client)
    storage = apis.StorageApi(client).get_storages().storage[0].id
    other = apis.StorageApi(client).get_storages().storage[1].id
    made = api.create_file_in_storage(storage, io.BytesIO(CLIP), path="shots/a.bin")
    told: dict[str, Any] = {"made": [made.path, made.state, made.size]}
    found = api.get_files(path="shots", include_item=True, cursor="*", number=1)
    told["found"] = [found.hits, found.file[0].id == made.id, found.next_cursor]
    answer = api.get_file_data(made.id, _preload_content=False)
    told["bytes"] = answer.data == CLIP
    api.update_file_metadata_key(made.id, "note", "final")
    told["note"] = api.get_file_metadata_key(made.id, "note")
    (link,) = api.create_file_temp_credentials(made.id, duration=5).uri
    told["link"] = client.rest_client.pool_manager.request("GET", link).data == CLIP
    copied = api.create_file_move_or_copy_job(made.id, other)
    told["copied"] = [copied.type, ended(client, copied.job_id).status, api.get_files(storage=[other]).hits]
    told["taken"] = refused(
        lambda: api.create_file_in_storage(storage, io.BytesIO(CLIP), path="shots/a.bin")
    )[:1]
    told["state"] = api.update_file_state("ARCHIVED", made.id).state
    deleted = api.create_file_delete_job(made.id)
    told["deleted"] = [deleted.type, ended(client, deleted.job_id).status]
    told["gone"] = refused(lambda: api.get_file(made.id))
    return told


def storages() -> Any:
    """Make a storage with methods, read what the server says about it, change it and delete it."""
    client = connect()
    api, methods = apis.StorageApi(client), apis.StorageMethodApi(client)
    wanted = vidispine.StorageType(
        type="LOCAL",
        capacity="1500000",
        low_watermark_percentage="90",
        high_watermark_percentage="75",
        method=[vidispine.StorageMethodType(uri="file:///srv/media1/", read=True, write=True, browse=True)],
    )
    made = api.create_storage(wanted)
    told = {"made": [made.state, made.capacity, made.free_capacity, made.low_watermark, made.high_watermark]}
    method = made.method[0].id
    told["line"] = methods.update_storage_method("file:///srv/other/", made.id, method) == (
        f"{method}\tfile:///srv/other/\tNONE\r\n"
    )
    told["methods"] = [each.uri for each in methods.get_storage_methods(made.id).method]
    told["unknown"] = methods.get_storage_method(made.id, "VX-9999").method
    told["plain"] = refused(lambda: methods.update_storage_method("file:///x/", made.id, "VX-9999"))
    told["space"] = [api.get_storage_free_space(made.id), api.get_storage_status(made.id)]
    told["delete"] = api.delete_storage(made.id)
    told["gone"] = refused(lambda: api.get_storage(made.id))
    return told


def access() -> Any:
    """Ask what users may do with an item."""
    client = connect()
    item = apis.ImportApi(connect("jane")).create_placeholder(metadata("Plate"), container=1).id
    found = {}
    for name in ("jane", "admin", "ada"):
        merged = apis.AccessApi(client).get_merged_access(
            "item", item, username=name, type2="GENERIC", permission="WRITE"
        )
        found[name] = [[each.permission, each.matches] for each in merged.access or []]
    return found


SCENARIOS = [login, jobs, states, definitions, notifications, imports, files, storages, access]

if __name__ == "__main__":
    (scenario,) = (each for each in SCENARIOS if each.__name__ == sys.argv[1])
    print(json.dumps(scenario()))
