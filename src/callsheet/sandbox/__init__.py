"""A stand-in for the trackers' servers on this machine: for trying things out, and for tests of your own.

`python -m callsheet.sandbox` serves it.
"""

from __future__ import annotations

from callsheet._errors import ConfigError

try:
    from callsheet.sandbox._controls import ClockControl, Connections, FaultControl, Request
    from callsheet.sandbox._frame import Settings
    from callsheet.sandbox._sandbox import Sandbox
    from callsheet.sandbox._server import run
except ModuleNotFoundError as _exc:
    if (_exc.name or "").startswith("callsheet"):
        raise
    raise ConfigError(f"{_exc.name} is missing; run: pip install 'callsheet[sandbox]'") from _exc

__all__ = ["ClockControl", "Connections", "FaultControl", "Request", "Sandbox", "Settings", "run"]
