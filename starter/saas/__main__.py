"""
`python -m saas`: serve the app.

HOST and PORT say where. Behind a reverse proxy, set FORWARDED_ALLOW_IPS so that its headers are believed.
"""

from __future__ import annotations

import gc
import os
import sys

import uvicorn

from paidup import SettingsError
from saas.settings import settings


def main() -> None:
    """Check the settings, then serve until stopped."""
    try:
        settings()
    except SettingsError as error:
        lines = [f"  {problem.key}: {problem.message}\n    → {problem.remedy}" for problem in error.problems]
        sys.exit("The app can't start:\n" + "\n".join(lines))
    from saas.app import app  # reads the settings

    # What was loaded lives as long as the process. Looking through it for garbage would hold every request up for 60 ms
    # now and then.
    gc.collect()
    gc.freeze()
    host = os.environ.get("HOST", "127.0.0.1")
    uvicorn.run(app, host=host, port=int(os.environ.get("PORT", "8000")), server_header=False)


if __name__ == "__main__":
    main()
