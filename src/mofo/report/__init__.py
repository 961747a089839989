"""Pictures and the report page; the package itself is the function ``mofo.report``."""

from __future__ import annotations

import sys
import types
from typing import Any


class _Package(types.ModuleType):
    """A package that can be called: the verb and the stage of the chain share their name."""

    def __call__(self, *folders: Any, **options: Any) -> Any:
        """See ``mofo.report.page.build.report``."""
        from mofo.report.page.build import report as write

        return write(*folders, **options)


report = sys.modules[__name__]
report.__class__ = _Package
