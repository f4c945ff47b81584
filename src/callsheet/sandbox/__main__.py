"""`python -m callsheet.sandbox`: serve a sandbox until it is interrupted."""

from __future__ import annotations

import argparse
import sys

from callsheet.sandbox import Settings, run


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m callsheet.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8300, help="0 takes a free one")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="ready-made jobs of each tracker")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="before each answer")
    parser.add_argument("--seed", type=int, metavar="N", help="makes all that is random repeatable")
    parser.add_argument("--s3", metavar="URL", help="of an S3 server to use, instead of one of its own")
    try:
        settings = Settings(**vars(parser.parse_args()))
    except ValueError as exc:
        parser.error(exc.args[0])
    try:
        run(settings)
    except OSError as exc:
        sys.exit(f"cannot listen on {settings.host}:{settings.port}: {exc.strerror}")


if __name__ == "__main__":
    main()
