"""TLS contexts: one for each setting in a process, made in a thread since making one takes 20 ms."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path
from typing import TypeAlias

import httpx

from callsheet._errors import ConfigError

__all__ = ["Verify", "tls_context"]

Verify: TypeAlias = bool | str | os.PathLike[str] | ssl.SSLContext

_contexts: dict[bool | str, ssl.SSLContext] = {}
_lock = threading.Lock()


def tls_context(verify: Verify) -> ssl.SSLContext:
    """Return the process's one context for this setting; to be called in a thread.

    Raises:
        ConfigError: No certificates can be read from the path.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    key = verify if isinstance(verify, bool) else os.fspath(verify)
    with _lock:
        if key not in _contexts:
            _contexts[key] = _make(key)
        return _contexts[key]


def _make(verify: bool | str) -> ssl.SSLContext:
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify)
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    except OSError as exc:  # ssl.SSLError is one
        raise ConfigError(f"verify: no certificates can be read from {verify!r}: {exc}") from exc
