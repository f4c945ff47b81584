"""Sphinx configuration; the package is documented as it is installed."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "callsheet"
author = "the callsheet contributors"
release = version_of("callsheet")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

# Docstrings write code in single backticks.
default_role = "code"

html_theme = "furo"
html_title = f"callsheet {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
# Otherwise an attribute that both a docstring's `Attributes:` and the class name is described twice.
napoleon_use_ivar = True
