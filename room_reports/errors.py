"""What can go wrong with the other side, as the three kinds a step acts on.

Everything that talks to Twilio or to a destination raises one of these and nothing else; the job that runs the step
decides what follows (`room_reports.steps`), so there is one place for retries.
"""

from __future__ import annotations

REASONS = frozenset(
    {
        # transient: worth another attempt
        "timeout",
        "connection",
        "dns",
        "tls",
        "rate_limited",
        "server_error",
        "too_large",
        "truncated",
        "bad_body",
        "wrong_room",
        "not_ready",
        "internal",
        # permanent: this step will never succeed as it is
        "redirect",
        "rejected",
        "invalid_payload",
        # configuration: an operator must act, the other side is held
        "unauthorized",
        "gone",
        "private_address",
        "not_configured",
    }
)
"""Every reason a failure can have: a closed set, because it labels metrics."""


class Failure(Exception):
    """A failed exchange with Twilio or a destination.

    `reason` is one of `REASONS`; `detail` is a sentence for people, free of secrets (no URL beyond its host, no body of
    a request).
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise ValueError(f"not a known reason: {reason}")
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Transient(Failure):
    """Worth another attempt. `retry_after`: seconds the other side asked us to stay away, already clamped."""

    def __init__(self, reason: str, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after = retry_after


class Permanent(Failure):
    """No further attempt of this step can succeed; the other side is fine."""


class Configuration(Failure):
    """The other side refuses us as a whole, so it is held: nothing is sent to it and nothing is lost.

    `heals`: it may recover without us (credentials repaired, endpoint deployed), so one attempt probes it now and then.
    Otherwise an operator resumes it.
    """

    def __init__(self, reason: str, detail: str = "", *, heals: bool) -> None:
        super().__init__(reason, detail)
        self.heals = heals
