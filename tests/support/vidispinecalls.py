"""Bare calls to a Vidispine server, for tests of the sandbox itself."""

from __future__ import annotations

from typing import Any

import attrs
import httpx

__all__ = ["NOTHING", "Archive", "refusal"]

NOTHING = (
    *("notFound", "internalServer", "forbidden", "notYetImplemented", "conflict", "invalidInput"),
    *("licenseFault", "fileAlreadyExists", "notAuthorized"),
)
"""What an error's document has, in this order; all but one are null."""

Document = dict[str, Any]


@attrs.frozen
class Archive:
    """Calls one server as one user.

    Attributes:
        http: Sends the user's credentials, to paths of the server below `/API`.
    """

    http: httpx.Client

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request: options are httpx's."""
        return self.http.request(method, f"/API{path}", **options)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, and return the document of the answer; None if it is empty."""
        answer = self.ask(method, path, **options)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def get(self, path: str, **options: Any) -> Any:
        """Return the document at a path."""
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """Send something to a path; return the answer's document."""
        return self.call("POST", path, **options)

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, Document]:
        """Return status and content of the error that a request is answered with."""
        answer = self.ask(method, path, **options)
        return answer.status_code, refusal(answer)

    def job(self, job_id: str) -> Document:
        """Return a job with all its data, as a mapping in `data`."""
        job: Document = self.get(f"/job/{job_id}?metadata=true")
        return {**job, "data": {each["key"]: each["value"] for each in job.get("data", [])}}

    def ids(self, query: str = "") -> list[str]:
        """Return the ids of a listing of everybody's jobs."""
        return [job["jobId"] for job in self.get(f"/job?user=false&{query}").get("job", [])]

    def make(self, kind: str = "STUDIO_RENDER", query: str = "", **options: Any) -> str:
        """Make a job; return its id."""
        job_id: str = self.post(f"/job?type={kind}&{query}", **options)["jobId"]
        return job_id

    def upload(self, data: bytes, query: str = "", path: str = "/import/raw") -> Document:
        """Import bytes at once; return the job's document."""
        document: Document = self.post(f"{path}?filename=a.mov&{query}", content=data)
        return document


def refusal(answer: httpx.Response) -> Document:
    """Return what an error's document tells, after looking at its form."""
    document = answer.json()
    assert tuple(document) == NOTHING, document
    return {name: facts for name, facts in document.items() if facts is not None}
