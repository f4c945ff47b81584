"""Task definitions: the steps that each type of job is made of."""

from __future__ import annotations

import itertools

from callsheet.sandbox.vidispine._errors import invalid
from callsheet.sandbox.vidispine._values import Document, number

__all__ = ["PLAIN", "Definitions"]

Steps = list[tuple[int, str, str]]

IMPORT: Steps = [
    (100, "Creating entities.", "createItem"),
    (200, "Transferring content.", "transfer"),
    (300, "Finalizing transfer.", "finalise"),
    (400, "Checking media.", "mediaCheck"),
    (500, "Analyzing media check.", "createShape"),
    (800, "Transcoding.", "transcode"),
]
# Real placeholder imports have all of these; which of them are left out depends on the file.
LEFT_OUT = (850, 855, 860, 870, 875, 900, 1000, 1100)
CONDITIONAL: Steps = [(step, "Importing sidecar.", "conditional") for step in LEFT_OUT]
CLEAN_UP: Steps = [(5000, "Cleaning up.", "cleanUp")]

STEPS: dict[str, Steps] = {
    "IMPORT": [*IMPORT, *CLEAN_UP],
    "PLACEHOLDER_IMPORT": [*IMPORT, *CONDITIONAL, *CLEAN_UP],
    "RAW_IMPORT": [*IMPORT, *CLEAN_UP],
    "AUTO_IMPORT": [*IMPORT, *CLEAN_UP],
    "SHAPE_IMPORT": [*IMPORT[1:5], *CLEAN_UP],
    "SIDECAR_IMPORT": [*IMPORT[1:3], (300, "Reading sidecar.", "sidecar")],
    "ESSENCE_VERSION": [
        (50, "Closing transfer.", "finalise"),
        (100, "Setting up.", "setUp"),
        (200, "Transferring content.", "transfer"),
        (300, "Checking media.", "mediaCheck"),
        (400, "Analyzing media check.", "createVersion"),
        (500, "Preparing transcode.", "setUp"),
        (600, "Transcoding.", "transcode"),
        (700, "Checking media.", "mediaCheck"),
        (800, "Finalizing.", "cleanUp"),
    ],
    "TRANSCODE": [
        (100, "Setting up.", "setUp"),
        (200, "Transcoding.", "transcode"),
        (300, "Checking media.", "mediaCheck"),
        (5000, "Cleaning up.", "cleanUp"),
    ],
    "COPY_FILE": [(100, "Copying.", "copyFile")],
    "MOVE_FILE": [(100, "Moving.", "moveFile")],
    "DELETE_FILE": [(100, "Deleting.", "deleteFile")],
    "DELETE_USER": [(100, "Disabling user.", "disableUser")],
}

OTHERS = (
    *(
        "TRANSCODE_RANGE",
        "RAW_TRANSCODE",
        "CONFORM",
        "TIMELINE",
        "THUMBNAIL",
        "ANALYZE",
        "SHAPE_UPDATE",
        "EXPORT",
    ),
    *("LIST_ITEMS", "FCS_RESTORE", "ARCHIVE", "RESTORE", "DELETE_LIBRARY", "UPDATE_LIBRARY_ITEM_METADATA"),
    *("OTIF_ANALYZE", "VXA_INITIALIZE", "FILE_ANALYZE", "IMF_ANALYZE", "TEST_TRANSFER"),
)
"""Types whose jobs run here without doing anything."""

CUSTOM = ("STUDIO_RENDER", "STUDIO_COMP", "STUDIO_PUBLISH")
"""Types that a studio made itself."""

PLAIN: Steps = [(100, "Setting up.", "setUp"), (200, "Working.", "work"), (5000, "Cleaning up.", "cleanUp")]


class Definitions:
    """Every task definition, by its number."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self.by_id: dict[int, Document] = {}
        self._numbers = itertools.count(1201)
        for kind in (*STEPS, *OTHERS, *CUSTOM):
            self.add_type(kind, STEPS.get(kind, PLAIN))

    def knows(self, kind: str) -> bool:
        """Tell whether there are such jobs."""
        return kind in self.types

    def of_type(self, kind: str) -> list[Document]:
        """Return the definitions of a type, in the order of their steps."""
        found = [each for each in self.by_id.values() if each["jobType"] == kind]
        return sorted(found, key=lambda each: int(each["step"]))

    def add_type(self, kind: str, steps: Steps) -> None:
        """Add a type of job."""
        self.types.append(kind)
        previous: int | None = None
        for step, description, method in steps:
            self.add({"jobType": kind, "step": step, "description": description, "method": method}, previous)
            previous = step

    def add(self, wanted: Document, previous: int | None = None) -> Document:
        """Add one definition.

        Raises:
            VidispineError: It lacks its type or its step.
        """
        kind = wanted.get("jobType")
        if not isinstance(kind, str) or "step" not in wanted:
            raise invalid("task-definition", "A job type and a step are required")
        identity = next(self._numbers)
        depends = {} if previous is None else {"step": previous}
        written = {
            "id": identity,
            "jobType": kind,
            "step": number("step", wanted["step"]),
            "description": wanted.get("description", ""),
            "bean": wanted.get("bean", "JobStepBean"),
            "method": wanted.get("method", "work"),
            "plugin": True,
            "flags": 0,
            "dependency": {**depends, "previous": False, "allPrevious": True},
            "critical": True,
            "cleanup": wanted.get("method") == "cleanUp",
        }
        self.by_id[identity] = {
            **written,
            **{name: wanted[name] for name in ("extradata", "script") if name in wanted},
        }
        return self.by_id[identity]
