"""Sessions of workers, and what is done in them."""

from __future__ import annotations

from datetime import datetime

from callsheet.sandbox.deadline._documents import Action, Document, Session, Step, stamp

__all__ = ["add_action", "close_session", "end_action", "open_session"]

FLEET = "fleet-00000000000000000000000000000001"


def open_session(step: Step, session_id: str, worker: int, now: datetime) -> Session:
    """Open a session of a worker on a step: files are fetched, environments are entered."""
    job = step.job
    document: Document = {
        "sessionId": session_id,
        "fleetId": FLEET,
        "workerId": f"worker-{worker:032x}",
        "startedAt": stamp(now),
        "lifecycleStatus": "STARTED",
        "log": {
            "logDriver": "awslogs",
            "options": {"logGroupName": f"/aws/deadline/{job.queue.farm.id}/{job.queue.id}"},
            "parameters": {"logStreamName": session_id},
        },
        "hostProperties": {"hostName": f"worker-{worker}.farm.example"},
    }
    session = job.sessions[session_id] = Session(job, step, document)
    if "attachments" in job.document:
        add_action(session, {"syncInputJobAttachments": {}}, "SUCCEEDED", now)
    for environment_id in step.environments:
        add_action(session, {"envEnter": {"environmentId": environment_id}}, "SUCCEEDED", now)
    return session


def close_session(session: Session, now: datetime, by: str | None) -> None:
    """Close a session: environments are left."""
    for environment_id in reversed(session.step.environments):
        add_action(session, {"envExit": {"environmentId": environment_id}}, "SUCCEEDED", now)
    session.document |= {"lifecycleStatus": "ENDED", "endedAt": stamp(now), "updatedAt": stamp(now)}
    if by:
        session.document |= {"targetLifecycleStatus": "ENDED", "updatedBy": by}


def add_action(session: Session, definition: Document, status: str, now: datetime) -> Action:
    """Add an action to a session; one that has succeeded took no time."""
    number = len(session.actions)
    document: Document = {
        "sessionActionId": f"sessionaction-{session.id.removeprefix('session-')}-{number}",
        "sessionId": session.id,
        "status": status,
        "definition": definition,
    }
    action = Action(session, document)
    session.actions.append(action)
    if status == "SUCCEEDED":
        end_action(action, status, now, exit_code=0)
    return action


def end_action(
    action: Action, status: str, now: datetime, *, exit_code: int | None = None, message: str = ""
) -> None:
    """Let an action end; its task is free for another one."""
    told = stamp(now)
    action.document.setdefault("startedAt", told)
    action.document |= {"status": status, "endedAt": told, "workerUpdatedAt": told}
    if exit_code is not None:
        action.document["processExitCode"] = exit_code
        action.document["progressPercent"] = 100.0 if exit_code == 0 else 0.0
    if message:
        action.document["progressMessage"] = message
    if action.task is not None:
        action.task.action = action.session.running = None
