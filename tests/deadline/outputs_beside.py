"""The `deadline` command with jobs of callsheet's, and jobs for callsheet.

    python outputs_beside.py fetch JOB          brings inputs and outputs to where they were
    python outputs_beside.py submit BUNDLE SHOW

Server and credentials come from the environment. The last line of output is JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from typing import Any

PLACE = ("--farm-id", f"farm-{1:032x}", "--queue-id", f"queue-{1:032x}")


def fetch(command: Any, job: str) -> str:
    """Download a job's inputs and outputs, and return its id."""
    command("job", "download-input", "--job-id", job, "--yes")
    command("job", "download-output", "--job-id", job, "--yes")
    return job


def submit(command: Any, bundle: str, show: str) -> str:
    """Submit a bundle whose files are in a folder, and return the job's id."""
    told = command("bundle", "submit", bundle, "--yes", "--known-asset-path", show)
    found = re.search(r"job-[0-9a-f]{32}", told)
    assert found, told
    return found[0]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as settings:
        # Read when it is imported.
        os.environ |= {"HOME": settings, "DEADLINE_CONFIG_FILE_PATH": f"{settings}/config"}
        from click.testing import CliRunner
        from deadline.client.cli import main

        def command(*words: str) -> str:
            """Run the command in this process."""
            answer = CliRunner().invoke(main, [*words, *PLACE])
            assert answer.exit_code == 0, (words, answer.exit_code, answer.output, answer.exception)
            return str(answer.output)

        work = fetch if sys.argv[1] == "fetch" else submit
        print(json.dumps(work(command, *sys.argv[2:])))
