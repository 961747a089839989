from __future__ import annotations

import sys
from pathlib import Path

# For the modules "drawn", "numbered", "stored" and "painted", however pytest is started.
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "video"), str(HERE.parent / "motion")]
