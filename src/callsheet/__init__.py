"""One async client for the long-running jobs of a studio, whatever tracks them."""

from callsheet._client import Client
from callsheet._components import Components
from callsheet._connecting import connect
from callsheet._errors import (
    AttachError,
    BulkError,
    CallsheetError,
    ConfigError,
    Conflict,
    Denied,
    IntegrityError,
    InvalidCursor,
    InvalidRequest,
    InvalidResponse,
    JobCancelled,
    LeaseLost,
    NotFound,
    Outcome,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Timeout,
    TransportError,
    Unavailable,
    Unsupported,
    WaitTimeout,
)
from callsheet._files import File, FrameSequence
from callsheet._jobs import Jobs
from callsheet._listing import Listing
from callsheet._locations import Locations
from callsheet._models import (
    UNSET,
    Component,
    FieldChange,
    Job,
    JobChange,
    JobState,
    Location,
    NewJob,
    Page,
    Transfer,
    Transport,
    changes,
)
from callsheet._tracking import Tracked
from callsheet._watching import Watch

__all__ = [
    "UNSET",
    "AttachError",
    "BulkError",
    "CallsheetError",
    "Client",
    "Component",
    "Components",
    "ConfigError",
    "Conflict",
    "Denied",
    "FieldChange",
    "File",
    "FrameSequence",
    "IntegrityError",
    "InvalidCursor",
    "InvalidRequest",
    "InvalidResponse",
    "Job",
    "JobCancelled",
    "JobChange",
    "JobState",
    "Jobs",
    "LeaseLost",
    "Listing",
    "Location",
    "Locations",
    "NewJob",
    "NotFound",
    "Outcome",
    "Page",
    "QuotaExceeded",
    "RateLimited",
    "ResponseError",
    "Timeout",
    "Tracked",
    "Transfer",
    "Transport",
    "TransportError",
    "Unavailable",
    "Unsupported",
    "WaitTimeout",
    "Watch",
    "changes",
    "connect",
]

# So that a traceback says callsheet.NotFound, where users find it.
for _name in __all__:
    if hasattr(_object := globals()[_name], "__module__") and not isinstance(_object, type(UNSET)):
        _object.__module__ = __name__
