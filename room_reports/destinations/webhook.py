"""A webhook of the operator's own: the report as JSON, signed as Standard Webhooks has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. The payload may be another
one, such as a CloudEvent; id, time and signature stand in the same headers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import UTC, datetime
from typing import Literal

from standardwebhooks.webhooks import Webhook

from config.settings import Settings
from room_reports.delivery import Delivery, Notice
from room_reports.digests import RoomDigest
from room_reports.payloads import CLOUD_EVENT, cloud_event, part_of
from room_reports.reports import RoomReport
from room_reports.transport import Transport, raise_for_status

UNAUTHORISED = (401, 403, 404)
"""The endpoint is not deployed, or does not know our secret: someone repairs it, and it goes on by itself."""

GONE = (410,)
"""The endpoint asks to be left alone, for good."""


SOURCE = "/room-reports"
"""Where CloudEvents come from; a report's source has its account behind it."""


@dataclass
class ReportWebhook:
    """One endpoint. `secrets` (`whsec_…`, at least one): every one signs, so that a receiver can change over.

    `form`: the payload of Standard Webhooks, or a CloudEvent; `fields`: the parts of a report's data that are sent, all
    for none.
    """

    url: str = field(repr=False)
    secrets: InitVar[Sequence[str]]
    _: KW_ONLY
    rate: float
    transport: Transport
    form: Literal["standard", "cloudevents"] = "standard"
    fields: Sequence[str] = ()
    name: str = "webhook"

    def __post_init__(self, secrets: Sequence[str]) -> None:
        self.signers = [Webhook(secret) for secret in secrets]

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport) -> ReportWebhook:
        """The endpoint that `REPORT_WEBHOOK_URL` and `REPORT_WEBHOOK_SECRET` describe."""
        assert settings.report_webhook_url is not None
        secrets = [secret.get_secret_value() for secret in settings.report_webhook_secret]
        url = settings.report_webhook_url.get_secret_value()
        form = settings.report_webhook_format
        return cls(url, secrets, rate=settings.report_webhook_rate, transport=transport, form=form)

    def send(self, report: RoomReport, delivery: Delivery) -> None:
        """Posts a report. Any 2xx means it is taken; its body does not matter."""
        self._post(part_of(report, self.fields), delivery, source=f"{SOURCE}/{report.data.account_sid}")

    def send_digest(self, digest: RoomDigest, delivery: Delivery) -> None:
        """Posts the digest of a day, as a payload of another `type`; without names where reports come without."""
        knows_names = not self.fields or "room_name" in self.fields
        shown = digest if knows_names else digest.without_names()
        self._post(shown.to_json(), delivery, source=SOURCE)

    def notify(self, notice: Notice, delivery: Delivery) -> None:
        """Posts news of a hold, as a payload of another `type`."""
        self._post(notice_body(notice, delivery.attempted_at), delivery, source=SOURCE)

    def _post(self, body: bytes, delivery: Delivery, *, source: str) -> None:
        if self.form == "cloudevents":
            body = cloud_event(body, event_id=delivery.id, source=source)
        response = self.transport.post(self.url, body, headers=self._headers(body, delivery), keep_body=False)
        raise_for_status(response, holds=GONE, heals=UNAUTHORISED)

    def _headers(self, body: bytes, delivery: Delivery) -> dict[str, str]:
        # The library takes the clock face of whatever zone for UTC.
        moment = delivery.attempted_at.astimezone(UTC)
        text = body.decode()
        return {
            "Content-Type": CLOUD_EVENT if self.form == "cloudevents" else "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signer.sign(delivery.id, moment, text) for signer in self.signers),
        }


def notice_body(notice: Notice, moment: datetime) -> bytes:
    """News of a hold as a Standard Webhooks payload. `moment` is aware."""
    payload = {
        "type": "room_reports.held",
        "timestamp": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {"lane": notice.lane, "reason": notice.reason, "detail": notice.detail, "heals": notice.heals},
    }
    return json.dumps(payload, separators=(",", ":")).encode()
