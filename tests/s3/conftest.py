"""A small store for each test, and a bucket of it."""

from __future__ import annotations

from support.s3fixtures import bucket, server, state_folder, store

__all__ = ["bucket", "server", "state_folder", "store"]
