"""`python -m callsheet.sandbox._storage NUMBER`: moto's S3 server on a socket that was handed on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

BUCKET = "callsheet-sandbox"


def main() -> None:
    """Make the bucket, and serve until whoever started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on a terminal it is meant for the sandbox
    threading.Thread(target=_end_with_parent, daemon=True).start()

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server
    from werkzeug.test import Client

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request otherwise
    application = DomainDispatcherApplication(create_backend_app)
    Client(application).put(f"/{BUCKET}", headers={"Host": "s3.amazonaws.com"})
    make_server("127.0.0.1", 0, application, threaded=True, fd=int(sys.argv[1])).serve_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
