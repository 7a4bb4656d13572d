"""The closing checks: what is in the image can be loaded and started there.

What is missing is told all at once, before anything is published.
"""

from staunch.assemble.checks.check import check
from staunch.assemble.checks.image import Note

__all__ = ["Note", "check"]
