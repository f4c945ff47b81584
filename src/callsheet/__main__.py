"""`python -m callsheet` is the command `callsheet`."""

from __future__ import annotations

import sys

from callsheet._cli import script

if __name__ == "__main__":
    sys.exit(script())
