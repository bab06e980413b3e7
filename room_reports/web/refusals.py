"""Requests that are not taken: what their sender is told, and what stands in the log, thinned out in a flood."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from room_reports.web.answers import Environ, Reply, small_json
from room_reports.web.tally import Tally

log = structlog.get_logger(__name__)


class Refusal(Exception):
    """A request that is not taken. `reason`: one of a closed set; `explain`: facts for the log, which may be dear.

    `detail` is told to the sender too.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        explain: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = headers
        self.explain = explain


def refuse(refusal: Refusal, environ: Environ, request_id: str, *, tally: Tally, said: str, counted: str = "") -> Reply:
    """Counts and logs a refusal, and answers it. `counted`: what stands before its reason where it is counted."""
    body = {"error": refusal.reason}
    if refusal.detail is not None:
        body["detail"] = refusal.detail
    if seen := tally.count(counted + refusal.reason):
        log.warning(
            said,
            **body,
            **refusal.explain(),
            status=refusal.status,
            request_id=request_id,
            remote=environ.get("REMOTE_ADDR"),
            so_far=seen,
        )
    return small_json(refusal.status, body, refusal.headers)
