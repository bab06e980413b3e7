"""Writes `version.json` for `/__version__`, from the build arguments COMMIT, SOURCE and BUILD; see the Dockerfile."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(path: Path) -> None:
    """Writes the file; what was not given is null."""
    facts = {name: os.environ.get(name.upper()) or None for name in ("source", "commit", "build")}
    path.write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
