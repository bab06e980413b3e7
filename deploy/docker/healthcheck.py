"""The image's HEALTHCHECK: whether the one process of this container, web or worker, does its work.

Asks neither Redis nor the network: an outage of Redis must not have every container restarted. Exit code 0: healthy.
"""

from __future__ import annotations

import http.client
import os
import sys

from room_reports import heartbeat


def main() -> int:
    """Prints a sentence and returns the exit code. A worker leaves its sign of life; where there is none, web runs."""
    if heartbeat.default_path().exists():
        healthy, sentence = heartbeat.sign_of_life(within=heartbeat.LATE)
    else:
        healthy, sentence = ask_web(int(os.environ.get("PORT") or 8000))
    print(sentence)
    return 0 if healthy else 1


def ask_web(port: int) -> tuple[bool, str]:
    """Whether the web process answers, and that in a sentence."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return False, f"neither worker nor web: no sign of life, and port {port} does not answer ({error})"
    finally:
        connection.close()
    return status == 200, f"the web process answers {status}"


if __name__ == "__main__":
    sys.exit(main())
