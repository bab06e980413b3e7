"""Participants on the page of a room."""

from __future__ import annotations

from datetime import timedelta

from room_reports.ledger import Outcome
from room_reports.participants import Identities, fields_of, keep
from tests.support.reports import participant
from tests.support.rooms_in_ledger import LedgerWriter
from tests.web.ops.conftest import Visitor
from tests.web.ops.test_pages import text_of

HOUR = timedelta(hours=1)
HOSTILE = "<script>alert(1)</script>\u202e"


def fetched(writer: LedgerWriter, *records: dict[str, object]) -> str:
    """A room whose participants have been fetched."""
    sid = writer.open(1, "daily", ago=HOUR)
    writer.attempt(sid, "summary", Outcome("complete", fields={"summary": "{}"}, opens=("participants",)))
    writer.attempt(sid, "participants", Outcome("waiting", "server_error", "answered 500"))
    writer.ledger.dispatch()
    known = keep(participant(record, number, Identities("full", b"")) for number, record in enumerate(records))
    writer.attempt(sid, "participants", Outcome("complete", fields=fields_of(known), opens=("slack", "webhook")))
    return sid


def test_participants_are_a_table_with_twilios_errors(operator: Visitor, writer: LedgerWriter) -> None:
    one = {"participant_identity": "ada", "duration_sec": 600, "error_code": 53405, "media_region": "us1"}
    sid = fetched(writer, {"participant_identity": "grace"}, one)
    page = operator.get(f"/rooms/{sid}")
    assert "No participants yet, attempt 1" in text_of(page)
    assert "Participants fetched, attempt 2" in text_of(page)
    assert "Who Joined UTC Left Stayed Ended Region SDK ada – – 10 min – error 53405 us1" in text_of(page)  # noqa: RUF001
    assert 'href="https://www.twilio.com/docs/api/errors/53405"' in page.text
    assert text_of(page).index("10 min") < text_of(page).index("grace")


def test_an_identity_is_text(operator: Visitor, writer: LedgerWriter) -> None:
    sid = fetched(writer, {"participant_identity": HOSTILE, "end_reason": HOSTILE, "publisher_info": {"name": HOSTILE}})
    page = operator.get(f"/rooms/{sid}").text
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert "<script" not in page
    assert "\u202e" not in page


def test_more_than_are_kept_are_counted(operator: Visitor, writer: LedgerWriter) -> None:
    page = text_of(operator.get(f"/rooms/{fetched(writer, *({} for _ in range(130)))}"))
    assert "Participants 130" in page
    assert "and 30 more" in page


def test_a_report_that_waits_for_participants_was_not_sent(operator: Visitor, writer: LedgerWriter) -> None:
    sid = writer.open(1, "daily", ago=HOUR)
    writer.attempt(sid, "summary", Outcome("complete", fields={"summary": "{}"}, opens=("participants",)))
    page = text_of(operator.get(f"/rooms/{sid}"))
    assert "Not sent yet" in page
    assert "Participants waits for" in page
