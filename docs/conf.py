"""Sphinx settings."""

project = "Staunch"
author = "the Staunch authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Staunch"
exclude_patterns = ["_build"]
