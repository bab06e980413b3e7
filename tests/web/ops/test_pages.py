"""What the page shows, and that it shows nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import requests
from flask import render_template

from config.loading import load
from room_reports.ledger import LaneNews, LedgerUnavailable, Outcome
from room_reports.ledger.pages import Place
from room_reports.web import create_app
from room_reports.web.ops import listing
from room_reports.web.ops.desk import Desk, Patience
from room_reports.web.ops.listing import PAGE
from room_reports.web.ops.overview import overview
from room_reports.web.ops.sessions import KnownBrowsers, Sessions
from sandbox.options import ACCOUNT_SID, AUTH_TOKEN, WEBHOOK_SECRET
from tests.support.processes import Web
from tests.support.rooms_in_ledger import HOSTILE, LedgerWriter, sid_of
from tests.support.servers import RedisServer
from tests.web.conftest import Door
from tests.web.ops.conftest import PASSWORD, SLACK_URL, Visitor, environment

HOUR = timedelta(hours=1)
WithFile = Callable[[str], tuple[Visitor, LedgerWriter]]


def listed(page: requests.Response) -> list[str]:
    """The SIDs on a page of rooms, in its order."""
    assert page.status_code == 200, page.text
    return re.findall(r"<code>(RM[0-9a-f]{32})</code>", page.text)


def text_of(page: requests.Response) -> str:
    """What one reads, on one line."""
    return read(page.text)


def read(html: str) -> str:
    """The same of a part of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


WEBHOOK, APP = 'kind = "slack"\nurl = "env:URL"\n', 'kind = "slack_app"\ntoken = "env:TOKEN"\nchannel = "C0123456789"\n'
REFERRED = {"URL": SLACK_URL, "TOKEN": "xoxb-not-to-be-shown-anywhere"}


@pytest.fixture
def with_file(valkey: RedisServer, store: redis.Redis, door: Door, tmp_path: Path) -> WithFile:
    """Somebody signed in where there is `DESTINATIONS_FILE`, and who brings rooms about there."""

    def make(text: str) -> tuple[Visitor, LedgerWriter]:
        file = tmp_path / "destinations.toml"
        file.write_text(text)
        variables = {"DESTINATIONS_FILE": str(file), **REFERRED}
        visitor = Visitor(door(SLACK_WEBHOOK_URL=SLACK_URL, SLACK_RATE="0", OPS_PASSWORD=PASSWORD, **variables))
        visitor.sign_in()
        return visitor, LedgerWriter(load(environment(valkey, **variables)), store)

    return make


class TestRooms:
    def test_an_empty_ledger_says_what_to_do(self, operator: Visitor) -> None:
        page = text_of(operator.get("/"))
        assert "No room has ended yet" in page
        assert "flask simulate" in page
        assert "Workers: none" in page

    def test_a_room_is_told_on_one_line(self, operator: Visitor, writer: LedgerWriter) -> None:
        writer.delivered(
            1, "daily", ago=HOUR, duration_sec=5400, unique_participant_identities=7, unique_participants=9
        )
        assert "daily " + sid_of(1) + " ✓ delivered" in text_of(operator.get("/"))
        assert "1 h 30 min 7" in text_of(operator.get("/"))

    def test_an_unfinished_room_says_what_it_waits_for_and_until_when(
        self, operator: Visitor, writer: LedgerWriter
    ) -> None:
        sid = writer.open(1, "daily", ago=HOUR)
        writer.attempt(sid, "summary", Outcome("waiting", "not_ready", "Twilio says in_progress", pause=600))
        page = text_of(operator.get("/"))
        assert re.search(r"summary waits for Twilio to complete the summary .* UTC \(in 10 min\)", page)

    def test_newest_first_page_by_page_each_once(self, operator: Visitor, writer: LedgerWriter) -> None:
        numbers = range(2 * PAGE + 5)
        for number in numbers:
            writer.set_back(writer.open(number, "daily", ago=timedelta(minutes=number)))
        page, seen = operator.get("/"), []
        for size in (PAGE, PAGE, 5):
            assert len(listed(page)) == size
            seen += listed(page)
            older = re.search(r'href="([^"]+)" rel="next"', page.text)
            assert (older is not None) == (size == PAGE)
            if older:
                # What happens in between moves no room from one page to another.
                writer.open(1000 + len(seen), "new", ago=timedelta())
                page = operator.get(older[1].replace("&amp;", "&"))
        assert seen == [sid_of(number) for number in numbers]

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ("q=week", {1, 2}),
            ("q=WEEKLY", {1, 2}),
            ("q=%20planning%20", {1}),
            ("q=%C3%A9lodie", {3}),
            ("q=S%C3%98REN", {3}),
            ("q=100%25", {4}),
            ("q=.*", set()),
            ("q=nothing", set()),
            (f"q={sid_of(4)[:9]}", {4}),
            (f"q={sid_of(4)[:9].lower()}", {4}),
            ("state=dead", {2}),
            ("state=delivered", {1, 3}),
            ("delivery=webhook:dead", {2}),
            ("delivery=slack:delivered", {1, 2, 3}),
            ("delivery=slack", {1, 2, 3}),
            ("delivery=slack:unfinished", set()),
            ("verdict=single_participant", {3}),
            ("verdict=single_participant&q=week", set()),
            ("verdict=single", {1, 2, 3, 4}),
            ("state=nonsense&delivery=nowhere&verdict=none&after=x", {1, 2, 3, 4}),
            ("delivery=slack:delivered&state=dead&q=monthly", set()),
        ],
    )
    def test_searching_and_filtering(
        self, operator: Visitor, writer: LedgerWriter, query: str, numbers: set[int]
    ) -> None:
        writer.delivered(1, "Weekly planning", ago=HOUR, unique_participant_identities=3)
        sid = writer.open(2, "weekly review", ago=2 * HOUR)
        writer.summarise(sid, unique_participant_identities=3)
        writer.deliver(sid, "slack")
        writer.attempt(sid, "webhook", Outcome("dead", "rejected", "answered 422"))
        writer.delivered(3, "Élodie & Søren", ago=3 * HOUR, unique_participant_identities=1)
        writer.open(4, "100% sure", ago=4 * HOUR)
        assert set(listed(operator.get(f"/?{query}"))) == {sid_of(number) for number in numbers}

    def test_a_whole_sid_leads_to_its_room(self, operator: Visitor, writer: LedgerWriter) -> None:
        sid = writer.open(1, "daily", ago=HOUR)
        assert operator.get(f"/?q={sid}", follow=False).headers["Location"] == f"/rooms/{sid}"
        assert operator.get(f"/?q=RM{'0' * 32}").status_code == 200

    def test_a_search_that_ran_out_of_time_says_so_and_can_go_on(
        self, writer: LedgerWriter, doors_redis: RedisServer
    ) -> None:
        app = create_app(load(environment(doors_redis)), writer.ledger)
        desk = Desk.of(
            load(environment(doors_redis)), writer.ledger, KnownBrowsers(b"key", Sessions(public_base_url=None))
        )
        query = listing.query_of({"q": "week"}, desk.destinations)
        place = Place(sid_of(1), "1795428000.5")
        found = listing.Rooms([], query.url(after=place), in_time=False, looked_at=60_000)
        with app.test_request_context("/"):
            page = render_template("rooms.html", overview=overview(desk, Patience()), rooms=found, query=query)
        assert "Looked at 60,000 rooms and stopped" in page
        assert f'href="/?q=week&amp;after={place.sid}-1795428000.5" rel="next">Search older rooms' in page
        assert "No room matches" not in page

    def test_a_hold_says_what_it_is_and_what_to_do(self, operator: Visitor, writer: LedgerWriter) -> None:
        sid = writer.open(1, "daily", ago=HOUR)
        writer.summarise(sid)
        detail = "Slack answered 404 channel_not_found"
        writer.attempt(sid, "slack", Outcome("waiting", "gone", detail, counts=False, lane="operator"))
        page = text_of(operator.get("/"))
        assert "Nothing is delivered to Slack until you resume it" in page
        assert detail in page
        assert "set SLACK_WEBHOOK_URL, restart, and then resume" in page
        assert "1 unfinished step waits since" in page

    @pytest.mark.parametrize(
        ("described", "lane_news", "remedy"),
        [
            (WEBHOOK, "operator", "set what destinations.berlin.url leads to, restart, and then resume"),
            (APP, "heals", "Invite the app to the channel of destinations.berlin, or give"),
        ],
    )
    def test_a_hold_of_a_destination_of_the_file(
        self, with_file: WithFile, described: str, lane_news: LaneNews, remedy: str
    ) -> None:
        visitor, writer = with_file(f"[destinations.berlin]\n{described}rate = 0")
        sid = writer.open(1, "daily", ago=HOUR)
        writer.summarise(sid, opens=["berlin"])
        writer.attempt(sid, "berlin", Outcome("waiting", "gone", "archived", counts=False, lane=lane_news))
        page = text_of(visitor.get("/"))
        assert "Nothing is delivered to berlin until" in page
        assert remedy in page

    def test_all_is_well_when_it_is(self, operator: Visitor, writer: LedgerWriter) -> None:
        writer.delivered(1, "daily", ago=HOUR)
        writer.ledger.note_worker("one", threads=8, busy=0)
        assert "All is well" not in text_of(operator.get("/")), "never reconciled"
        room = writer.ledger.room(sid_of(1))
        assert room is not None
        writer.ledger.note_reconciled(room.opened)
        assert "All is well" in text_of(operator.get("/"))


class TestRoom:
    def test_it_says_where_the_rules_sent_it(self, operator: Visitor, writer: LedgerWriter) -> None:
        for number, routes, said in (
            (1, '{"slack": "rule 2 (<b>clinic</b>)"}', "slack by rule 2 (&lt;b&gt;clinic&lt;/b&gt;)"),
            (2, "{}", "nowhere, as the rules say"),
        ):
            sid = writer.open(number, "daily", ago=HOUR)
            opens = tuple(json.loads(routes))
            writer.attempt(sid, "summary", Outcome("complete", fields={"routes": routes}, opens=opens))
            assert said in text_of(operator.get(f"/rooms/{sid}"))

    def test_its_story_from_the_callback_to_the_last_resend(self, operator: Visitor, writer: LedgerWriter) -> None:
        sid = writer.open(1, "daily", ago=HOUR)
        writer.attempt(sid, "summary", Outcome("waiting", "not_ready", "Twilio says in_progress"))
        while not writer.ledger.dispatch()[0]:
            pass
        writer.summarise(sid)
        writer.deliver(sid)
        writer.ledger.resend(sid, ["webhook"], who="ada@workstation")
        story = text_of(operator.get(f"/rooms/{sid}")).partition("What happened")[2].partition("Deliveries")[0]
        places = [
            story.index(part)
            for part in (
                "The room ended",
                "Twilio called back",
                "No summary yet, attempt 1 not_ready: Twilio says in_progress",
                "Summary complete, attempt 2",
                "Delivered to Slack, attempt 1",
                "Delivered to the webhook, attempt 1",
                "Resend to webhook",
                "asked for by ada@workstation",
                "Webhook waits for a worker to take its job",
            )
        ]
        assert places == sorted(places)

    @pytest.mark.parametrize(("is_known", "begins"), [(False, "Twilio sent an event"), (True, "Twilio called back")])
    def test_its_story_where_an_event_brought_the_summary(
        self, operator: Visitor, writer: LedgerWriter, is_known: bool, begins: str
    ) -> None:
        sid = sid_of(1)
        if is_known:
            writer.open(1, "daily", ago=HOUR)
        writer.ledger.note_room_event(
            room_sid=sid,
            account_sid=ACCOUNT_SID,
            room_name="daily",
            ended=None,
            summary='{"processing_state":"complete"}',
            issues="[]",
            request_id="request-2",
        )
        writer.attempt(sid, "summary", Outcome("complete", opens=("slack",)))
        story = text_of(operator.get(f"/rooms/{sid}")).partition("What happened")[2]
        assert begins in story
        assert ("Twilio sent the summary an event brought the summary" in story) == is_known
        assert "Summary complete, attempt 1" in story
        assert "None" not in story

    def test_the_message_is_the_one_that_slack_got(self, operator: Visitor, writer: LedgerWriter) -> None:
        sid = writer.delivered(1, "daily & <co>", ago=HOUR, duration_sec=5400, unique_participant_identities=7)
        page = operator.get(f"/rooms/{sid}").text
        message = page[page.index('class="slack') :]
        assert re.search(r'<p class="slack-header">\S+ daily &amp; &lt;co&gt;</p>', message)
        assert "<strong>1 h 30 min</strong> · <strong>7 people</strong>" in message
        assert f"<code>{sid}</code>" in message
        assert re.search(
            r'<a href="https://console\.twilio\.com/[^"]*" rel="noreferrer">Open in Twilio Console</a>', message
        )

    def test_a_hostile_name_is_text_wherever_it_stands(self, operator: Visitor, writer: LedgerWriter) -> None:
        sid = writer.delivered(1, HOSTILE, ago=HOUR)
        for path in ("/", f"/rooms/{sid}", "/?q=%3Cscript%3E"):
            page = operator.get(path).text
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
            assert "<script" not in page
            assert "<img src=x" not in page
            assert "7*7" in page
            assert "\u202e" not in page

    def test_a_room_that_nobody_knows_is_a_page_that_says_so(self, operator: Visitor) -> None:
        for path in (f"/rooms/RM{'0' * 32}", "/rooms/nonsense"):
            answer = operator.get(path)
            assert answer.status_code == 404
            assert "flask rooms reconcile" in answer.text

    def test_verdicts_and_details_are_shown_whole(self, operator: Visitor, writer: LedgerWriter) -> None:
        sid = writer.open(1, "daily", ago=HOUR)
        writer.summarise(sid, state="partial", reason="not_ready", processing_state="in_progress")
        detail = "answered 400 " + "and said why at some length " * 5 + "\u202eto the end"
        writer.attempt(sid, "webhook", Outcome("dead", "rejected", detail))
        page = text_of(operator.get(f"/rooms/{sid}"))
        assert "Incomplete data: Twilio had not completed the summary in time; what it had so far is shown." in page
        assert f"rejected: {detail.replace(chr(0x202E), '')}" in page

    def test_a_message_of_the_slack_app_that_waits_for_its_report(
        self, doors_redis: RedisServer, store: redis.Redis, door: Door
    ) -> None:
        app = {"SLACK_BOT_TOKEN": "xoxb-not-to-be-shown-anywhere", "SLACK_CHANNEL": "C0123456789"}
        visitor = Visitor(door(SLACK_WEBHOOK_URL=SLACK_URL, SLACK_RATE="0", OPS_PASSWORD=PASSWORD, **app))
        visitor.sign_in()
        writer = LedgerWriter(load(environment(doors_redis, **app)), store)
        sid = writer.open(1, "daily", ago=HOUR)
        writer.attempt(sid, "slack_app", Outcome("provisional"))
        page = visitor.get(f"/rooms/{sid}")
        assert "The Slack app: the room has ended, the report follows, attempt 1" in text_of(page)
        assert "details follow" in text_of(page) and "takes its place" in text_of(page)
        assert "Not sent yet" not in page.text
        assert visitor.send(page, f"/rooms/{sid}/resend", destination="slack_app", confirmed="yes").status_code == 200
        room = writer.ledger.room(sid)
        assert room is not None and [step.series for step in room.steps] == [1, 0], "there is no report to send again"

    def test_each_destination_shows_the_message_that_its_template_made(self, with_file: WithFile) -> None:
        visitor, writer = with_file(
            f'[destinations.berlin]\n{APP}rate = 0\ntemplate = "_Guten_ *Tag*, {{{{ data.room_name }}}}"\n'
            f"[destinations.plain]\n{WEBHOOK}"
            f'[destinations.fragile]\n{WEBHOOK}template = "{{{{ 10 / ((data.derived.people or 1) - 7) }}}}"\n'
        )
        sid = writer.open(1, "daily <b>", ago=HOUR)
        writer.summarise(sid, opens=["slack", "berlin", "fragile"], unique_participant_identities=7)
        page = visitor.get(f"/rooms/{sid}").text
        first, *parts = page[page.index('id="message"') : page.index('id="summary"')].split("<h3>")
        assert read(first).endswith("In Slack")
        messages = [read(part) for part in parts]
        assert [one.partition(" ")[0] for one in messages] == ["slack", "berlin", "fragile"], "plain is not told of it"
        assert "<em>Guten</em> <strong>Tag</strong>, daily &lt;b&gt;" in page
        assert "7 people" not in messages[1]
        assert "The built-in message, for its template fails with this report: line 1: divides" in messages[2]
        assert "7 people" in messages[0] and "7 people" in messages[2]
        assert "Not sent yet" not in page

    def test_what_would_be_sent_is_shown_once_for_all_that_get_the_same(self, with_file: WithFile) -> None:
        visitor, writer = with_file(
            f'[destinations.berlin]\n{WEBHOOK}template = "Guten Tag"\n[destinations.plain]\n{WEBHOOK}'
        )
        page = text_of(visitor.get(f"/rooms/{writer.open(1, 'daily', ago=HOUR)}"))
        assert "In Slack slack, plain Not sent yet" in page and "berlin Not sent yet" in page

    @pytest.mark.parametrize(
        ("described", "follows"), [(WEBHOOK, "makes a second message"), (APP, "edits its message")]
    )
    def test_a_resend_says_what_comes_of_it(self, with_file: WithFile, described: str, follows: str) -> None:
        visitor, writer = with_file(f"[destinations.berlin]\n{described}rate = 0")
        sid = writer.open(1, "daily", ago=HOUR)
        writer.summarise(sid, opens=["berlin"])
        writer.deliver(sid, "berlin")
        page = visitor.get(f"/rooms/{sid}")
        assert "Guten" not in page.text and "In Slack berlin" in text_of(page)
        assert follows in text_of(visitor.send(page, f"/rooms/{sid}/resend", destination="berlin"))

    def test_a_message_that_is_to_come_is_called_so_and_one_that_never_comes_is_not_shown(
        self, operator: Visitor, writer: LedgerWriter
    ) -> None:
        waiting = writer.open(1, "daily", ago=HOUR)
        expired = writer.open(2, "daily", ago=HOUR, expired=True, source="reconcile")
        assert "Not sent yet" in text_of(operator.get(f"/rooms/{waiting}"))
        page = text_of(operator.get(f"/rooms/{expired}"))
        assert "In Slack" not in page
        assert "Found by reconciling" in page
        assert "Expired Twilio had deleted the data" in page


def test_figures_have_a_picture_and_the_table_behind_it(operator: Visitor, writer: LedgerWriter) -> None:
    assert operator.get("/figures").text.count("<svg") == 0, "nothing to draw yet"
    sid = writer.delivered(1, "daily", ago=timedelta(minutes=1), total_participant_duration_sec=7200)
    writer.open(2, "daily", ago=timedelta(minutes=1))
    page = operator.get("/figures")
    assert page.text.count("<svg") == page.text.count("</table>") == 5
    assert "style=" not in page.text
    text = text_of(page)
    assert "Delivery attempts, by outcome 2 attempts since the beginning" in text
    assert "slack delivered - 1" in text
    assert "120 minutes in 30 days" in text
    assert "a worker to take it 1" in text
    assert "1 room: 50% within 5 min" in text
    assert "2 rooms in 48 hours" in text
    assert sid not in page.text


def test_every_answer_forbids_nearly_everything(operator: Visitor, writer: LedgerWriter) -> None:
    sid = writer.delivered(1, "daily", ago=HOUR)
    for path in ("/", "/figures", f"/rooms/{sid}", "/rooms/x", "/login", "/ops/ops.css"):
        headers = operator.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert ("no-store" in headers["Cache-Control"]) == (not path.startswith("/ops/"))


def test_no_secret_is_on_any_page(operator: Visitor, writer: LedgerWriter) -> None:
    sid = writer.delivered(
        1, "daily", ago=HOUR, status_callback="https://user:hidden-word@example.com/x?token=hidden-too"
    )
    for path in ("/", "/figures", f"/rooms/{sid}"):
        page = operator.get(path).text
        for secret in (AUTH_TOKEN, WEBHOOK_SECRET, PASSWORD, SLACK_URL, "hidden-word", "hidden-too"):
            assert secret not in page


class TestTroubles:
    @pytest.fixture
    def redis_of_its_own(self) -> RedisServer:
        return RedisServer()

    def test_a_redis_that_is_away_or_silent_is_said_so_in_time(self, door: Door, redis_of_its_own: RedisServer) -> None:
        with redis_of_its_own as server:
            web: Web = door(OPS_PASSWORD=PASSWORD, REDIS_URL=server.tcp_url)
            operator = Visitor(web)
            assert operator.sign_in().status_code == 200
            server.pause()
            for path in ("/?q=daily", "/figures"):
                answer = operator.get(path)
                assert answer.status_code == 503
                assert answer.elapsed.total_seconds() < 10, "bounded, however silent Redis is"
                assert "Redis takes too long" in answer.text
                assert f'href="{path}"' in answer.text
            server.go_on()
            assert operator.get("/").status_code == 200
            server.kill()
            answer = operator.get("/")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert "Redis is away" in answer.text
            assert Visitor(web).sign_in().status_code == 503, "without counted tries there is none"

    def test_a_ledger_that_cannot_be_written_can_be_read(
        self, door: Door, store: redis.Redis, writer: LedgerWriter
    ) -> None:
        sid = writer.delivered(1, "daily", ago=HOUR)
        operator = Visitor(door(OPS_PASSWORD=PASSWORD, SLACK_WEBHOOK_URL=SLACK_URL, SLACK_RATE="0"))
        assert operator.sign_in().status_code == 200
        store.config_set("maxmemory", "1")
        try:
            for path in ("/", f"/rooms/{sid}", "/figures", "/?q=dai&verdict=single_participant"):
                assert operator.get(path).status_code == 200
        finally:
            store.config_set("maxmemory", "0")

    def test_a_page_whose_time_is_over_asks_no_further(self) -> None:
        asked: list[str] = []
        Patience(60).ask(lambda: asked.append("in time"))
        with pytest.raises(LedgerUnavailable) as error:
            Patience(0).ask(lambda: asked.append("too late"))
        assert (asked, error.value.reason) == (["in time"], "timeout")
