"""The operations about farms and queues: where jobs run, who may reach their files, and tags."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from callsheet.sandbox.deadline._documents import stamp
from callsheet.sandbox.deadline._errors import NotThere
from callsheet.sandbox.deadline._paging import paged
from callsheet.sandbox.deadline._signatures import Caller, Key

if TYPE_CHECKING:
    from callsheet.sandbox.deadline import Deadline

__all__ = ["OPERATIONS"]

Words = dict[str, Any]


def list_farms(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about the farms of the account."""
    farms = [part.model.pick("FarmSummary", farm.document) for farm in part.store.farms.values()]
    return paged("farms", farms, words)


def get_farm(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one farm."""
    return part.store.farm(words).document


def list_queues(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about the queues of a farm."""
    wanted = words.get("status")
    queues = [queue.document for queue in part.store.farm(words).queues.values()]
    told = [part.model.pick("QueueSummary", each) for each in queues if wanted in {None, each["status"]}]
    return paged("queues", told, words)


def get_queue(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one queue."""
    return part.store.queue(words).document


def list_storage_profiles_for_queue(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell which storage profiles a queue's jobs may have."""
    queue = part.store.queue(words)
    profiles = [queue.farm.profiles[each] for each in queue.document.get("allowedStorageProfileIds", [])]
    return paged(
        "storageProfiles", [part.model.pick("StorageProfileSummary", each) for each in profiles], words
    )


def get_storage_profile_for_queue(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one of them."""
    queue, profile_id = part.store.queue(words), words["storageProfileId"]
    if profile_id not in queue.document.get("allowedStorageProfileIds", []):
        raise NotThere("storageprofile", profile_id)
    return part.model.pick("GetStorageProfileForQueueResponse", queue.farm.profiles[profile_id])


def get_storage_profile(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one storage profile of a farm."""
    profiles, profile_id = part.store.farm(words).profiles, words["storageProfileId"]
    if profile_id not in profiles:
        raise NotThere("storageprofile", profile_id)
    return profiles[profile_id]


def list_queue_environments(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell about the environments of a queue."""
    environments = part.store.queue(words).environments
    told = [part.model.pick("QueueEnvironmentSummary", each) for each in environments]
    return paged("environments", told, words)


def get_queue_environment(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell all about one of them."""
    for environment in part.store.queue(words).environments:
        if environment["queueEnvironmentId"] == words["queueEnvironmentId"]:
            return environment
    raise NotThere("queueenvironment", words["queueEnvironmentId"])


def assume_queue_role(part: Deadline, words: Words, caller: Caller) -> Words:
    """Give out temporary credentials for what a queue's jobs keep in S3."""
    part.store.queue(words)
    until = part.world.clock.now() + timedelta(seconds=part.role_seconds)
    access_key = f"ASIA{part.chance.getrandbits(64):016X}"
    key = Key(caller.user, f"secret-{part.chance.getrandbits(128):032x}", f"token-{access_key}", until)
    part.temporary_keys[access_key] = key
    return {
        "credentials": {
            "accessKeyId": access_key,
            "secretAccessKey": key.secret,
            "sessionToken": key.token,
            "expiration": stamp(until),
        }
    }


def list_tags_for_resource(part: Deadline, words: Words, caller: Caller) -> Words:
    """Tell the tags of a thing."""
    return {"tags": part.tags_of(words["resourceArn"])}


def tag_resource(part: Deadline, words: Words, caller: Caller) -> Words:
    """Add tags to a thing, or change them."""
    part.tags_of(words["resourceArn"]).update(words.get("tags", {}))
    return {}


def untag_resource(part: Deadline, words: Words, caller: Caller) -> Words:
    """Take tags from a thing."""
    tags = part.tags_of(words["resourceArn"])
    for key in words["tagKeys"]:
        tags.pop(key, None)
    return {}


OPERATIONS = {
    "ListFarms": list_farms,
    "GetFarm": get_farm,
    "ListQueues": list_queues,
    "GetQueue": get_queue,
    "ListStorageProfilesForQueue": list_storage_profiles_for_queue,
    "GetStorageProfileForQueue": get_storage_profile_for_queue,
    "GetStorageProfile": get_storage_profile,
    "ListQueueEnvironments": list_queue_environments,
    "GetQueueEnvironment": get_queue_environment,
    "AssumeQueueRoleForUser": assume_queue_role,
    "AssumeQueueRoleForRead": assume_queue_role,
    "ListTagsForResource": list_tags_for_resource,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
