"""Message templates: what they may have, what reports of strangers can do in them, and what happens when one fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.loading import SettingsError, load
from config.settings import Settings
from room_reports.delivery import Delivery
from room_reports.destinations import build
from room_reports.reports import RoomReport
from room_reports.sample_reports import HOSTILE, sample_reports
from room_reports.service import make_transport
from room_reports.slack_report import message, templated_message
from room_reports.slack_template import LONGEST_LINE, LONGEST_TEMPLATE, MOST_TURNS, SlackTemplate
from room_reports.templates import TemplateFault, template_problems, writer_of
from sandbox.client import Sandbox
from sandbox.messages import links, mentions, refusal, render
from tests.support.block_kit import checked
from tests.support.reports import CONSOLE_URL, ROOM_SID, make_report, summary_with

ROOT = Path(__file__).parent.parent
DOCUMENTED = (ROOT / "docs/destinations.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```jinja\n(.*?)```", DOCUMENTED, re.DOTALL)[0]
CANARY = "s3cr3t-canary"


def text_of(source: str, report: RoomReport | None = None, zone: str = "UTC") -> str:
    report = report or make_report()
    return "\n".join(SlackTemplate(source).render(json.loads(report.to_json()), ZoneInfo(zone)))


def fault_of(source: str, report: RoomReport | None = None) -> str:
    with pytest.raises(TemplateFault) as caught:
        text_of(source, report)
    assert caught.value.__cause__ is None
    return str(caught.value)


def with_template(sandbox: Sandbox, tmp_path: Path, source: str, **more: str) -> Settings:
    path = tmp_path / "template.txt"
    path.write_text(source, encoding="utf-8")
    return load({**sandbox.environment(), "SLACK_TEMPLATE_FILE": str(path), **more})


class TestText:
    def test_documented_example_makes_the_documented_message(self) -> None:
        shown = re.findall(r"```jinja.*?```text\n(.*?)```", DOCUMENTED, re.DOTALL)[0]
        report = make_report(summary_with(total_recording_duration_sec=0))
        assert text_of(EXAMPLE, report, "Europe/Berlin") == shown.rstrip("\n")

    @pytest.mark.parametrize("kind", ["a complete report", "a partial report", "an empty report", "a hostile report"])
    def test_documented_example_works_with_every_report(self, kind: str) -> None:
        assert text_of(EXAMPLE, sample_reports(CONSOLE_URL)[kind])

    @pytest.mark.parametrize(
        ("source", "text"),
        [
            ("{{ data.derived.duration_seconds | spoken }}", "42 min"),
            ("{{ data.derived.ended_at | time }}", "2026-11-23 14:05 UTC"),
            ("{{ data.participants }} {{ data.participants | time }} {{ data.participants | spoken }}", "- - -"),
            ("{{ data.summary.recording_enabled }} {{ data.derived.participant_minutes }}", "yes 150"),
            ("{{ data.summary.media_region | replace('de', 'DE ') | lower }}", "de 1"),
            ("{% for one in data.participants %}{{ one }}{% else %}nobody told{% endfor %}", "nobody told"),
            ("<!here> {{ '<!here>' }}", "<!here> &lt;!here&gt;"),
            ("{{ data.derived.people * 2 }} {{ 7 % 4 }}", "10 3"),
            ("<https://rooms.example/{{ data.room_sid }}|x>", f"<https://rooms.example/{ROOM_SID}|x>"),
            ("<https://a.example/?q={{ 'a b|c' | urlencode }}|x>", "<https://a.example/?q=a%20b%7Cc|x>"),
        ],
    )
    def test_what_a_template_can_say(self, source: str, text: str) -> None:
        assert text_of(source) == text

    def test_a_long_text_is_several_sections_within_slacks_limits(self) -> None:
        pieces = SlackTemplate(("x" * 79 + "\n") * 120).render(json.loads(make_report().to_json()))
        payload = checked(templated_message(make_report(), pieces))
        assert [len(piece) <= LONGEST_LINE for piece in pieces] == [True] * 4
        assert refusal(payload) is None

    def test_too_long_a_text_is_cut_after_a_line(self) -> None:
        report = sample_reports(CONSOLE_URL)["a hostile report"]
        text = text_of(
            "{% for one in data.participants %}\n{{ one.identity }} {{ one.end_reason }}\n{% endfor %}\n" * 50, report
        )
        assert text.endswith("\n…") and len(text) < 13_000


class TestStrangers:
    @pytest.mark.parametrize(
        "source",
        [
            "{{ data.room_name }}",
            "*{{ data.room_name }}* `{{ data.room_name }}`",
            "<{{ data.links.console }}|{{ data.room_name }}>",
            "{{ data.room_name | upper }} {{ data.room_name ~ '>' }} {{ data.room_name | replace('x', '<') }}",
            "{{ data }}",
            "{% for part, value in data | items %}{{ part }} {{ value }}\n{% endfor %}",
        ],
    )
    @given(name=st.text(max_size=60) | st.sampled_from([HOSTILE, "!here", "@U1", "<!here|x>", "a|b", "\ue001>"]))
    @settings(max_examples=40, deadline=None)
    def test_a_name_neither_mentions_nor_links(self, source: str, name: str) -> None:
        report = make_report(summary_with(room_name=name, other=[name]), room_name=name)
        payload = checked(templated_message(report, SlackTemplate(source).render(json.loads(report.to_json()))))
        assert mentions(payload) == []
        assert set(links(payload)) == {CONSOLE_URL.format(room_sid=ROOM_SID)}
        assert refusal(payload) is None

    @pytest.mark.parametrize(
        "source",
        [
            "ok\n<{{ data.room_name }}>",
            "ok\n<!{{ data.room_name }}>",
            "ok\n<@{{ data.room_name }}|you>",
            "ok\n<https://{{ data.room_name }}/|x>",
            "ok\n<https://rooms.example/{{ data.room_name }}|x>",
            "ok\n<{{ data.links.console }}{{ data.room_name }}|x>",
        ],
    )
    def test_a_name_may_not_stand_where_it_would(self, source: str) -> None:
        for name in ("!here", "here|x", "evil.example/ #"):
            assert "line 2: puts a value into <…>" in fault_of(source, make_report(room_name=name))


class TestBounds:
    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            ("", "it is empty"),
            ("x" * (LONGEST_TEMPLATE + 1), "longer than"),
            ("a\n{% if %}", "line 2: not a Jinja template"),
            ("a\n{{ data.nothing }}", "line 2: uses something that is not there"),
            ("a\n{{ data.participants.x }}", "line 2: uses something that is not there, or a part of null"),
            ("a\n\n{{ 1 / 0 }}", "line 3: divides by nought"),
            ("{{ 'a' * 999999999 }}", "line 1: * is for numbers"),
            ("{{ '%999999999d' % 1 }}", "line 1: % is for numbers"),
            ("{{ 9 ** 9 ** 9 }}", "line 1: ** is not possible"),
            ("{{ 'a'.center(999999999) }}", "line 1: calls are not possible"),
            ("{{ 'a' | center(999999999) }}", "filter"),
            ("{{ data.room_name | safe }}", "filter"),
            ("{% set x = 1 %}", "line 1: of {% … %} there are only if and for"),
            ("{% macro x() %}{% endmacro %}", "only if and for"),
            ("{% include '/etc/passwd' %}", "only if and for"),
            ("{% autoescape false %}{% endautoescape %}", "only if and for"),
            ("{{ ().__class__.__mro__ }}", "line 1: "),
            ("{% for a in 'x' recursive %}{% endfor %}", "recursive"),
            ("{{ range }}", "not there"),
            ("x" * (LONGEST_LINE + 1), "a line longer than"),
        ],
    )
    def test_what_a_template_cannot_do(self, source: str, problem: str) -> None:
        assert problem in fault_of(source)

    def test_loops_end(self) -> None:
        nested = "{% for a in data.room_sid %}" * 6 + "{% endfor %}" * 6
        assert f"more than {MOST_TURNS} turns" in fault_of(nested)

    def test_what_was_typed_stays_out_of_problems(self) -> None:
        for source in (f"{{{{ 1 '{CANARY}' }}}}", f"{{% {CANARY} %}}", f"{{{{ data['{CANARY}'] }}}}"):
            assert CANARY not in fault_of(source)


class TestStart:
    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            (
                "a\n{{ data.summary.room_type }}",
                "line 2: uses something that is not there, or a part of null (tried with a partial report)",
            ),
            (
                "a\n{% for one in data.participants %}{{ one.nobody }}{% endfor %}",
                "line 2: uses something that is not there, or a part of null (tried with a complete report)",
            ),
            ("a\n{% if %}", "line 2: not a Jinja template: Expected an expression, got …"),
            ("a\n<{{ data.room_name }}>", "line 2: puts a value into <…>"),
        ],
    )
    def test_a_bad_template_is_a_problem_that_names_it_and_the_line(
        self, sandbox: Sandbox, tmp_path: Path, source: str, problem: str
    ) -> None:
        (found,) = template_problems(with_template(sandbox, tmp_path, source))
        assert found.startswith(f"SLACK_TEMPLATE_FILE: {problem}")

    def test_a_good_one_is_none_and_one_that_is_away_is(self, sandbox: Sandbox, tmp_path: Path) -> None:
        assert template_problems(with_template(sandbox, tmp_path, EXAMPLE)) == []
        away = load({**sandbox.environment(), "SLACK_TEMPLATE_FILE": str(tmp_path / CANARY)})
        assert template_problems(away) == ["SLACK_TEMPLATE_FILE: the file that it names cannot be read"]

    @pytest.mark.parametrize("door", ["worker.py", "app.py"])
    def test_a_process_does_not_start_with_a_bad_one(
        self,
        redis_url: str,
        sandbox: Sandbox,
        tmp_path: Path,
        door: str,
    ) -> None:
        path = tmp_path / "template.txt"
        path.write_text("ok\n{{ data.nothing }}")
        program = "import app; app.app" if door == "app.py" else "import sys, worker; sys.exit(worker.main())"
        process = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**sandbox.environment(), "REDIS_URL": redis_url, "SLACK_TEMPLATE_FILE": str(path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.returncode == 2
        assert "  - SLACK_TEMPLATE_FILE: line 2: uses something that is not there" in process.stderr

    def test_jinja_is_imported_only_for_a_template(self, sandbox: Sandbox, tmp_path: Path) -> None:
        program = (
            "import os, sys; from config.loading import load; from room_reports.service import make_transport;"
            "from room_reports import destinations, templates; settings = load(os.environ);"
            "templates.template_problems(settings); destinations.build(settings, make_transport(settings));"
            "print('jinja2' in sys.modules)"
        )
        path = tmp_path / "template.txt"
        path.write_text(EXAMPLE)
        told = [
            subprocess.run(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env={**sandbox.environment(), **more},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout.strip()
            for more in ({}, {"SLACK_TEMPLATE_FILE": str(path)})
        ]
        assert told == ["False", "True"]


class TestFile:
    def test_each_destination_has_its_own_inline_or_in_a_file(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "berlin.txt").write_text("Ende {{ data.derived.ended_at | time }}")
        told = settings_with_plan(
            sandbox,
            tmp_path,
            f'[destinations.berlin]\nkind = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\ntimezone = "Europe/Berlin"\n'
            f'template = "file:{tmp_path / "berlin.txt"}"\n'
            '[destinations.short]\nkind = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\n'
            'template = """*{{ data.room_name }}*"""\n',
        )
        assert template_problems(told) == []
        berlin = writer_of(told, "berlin")(make_report(), ZoneInfo("Europe/Berlin"))
        assert "Ende 2026-11-23 15:05 CET" in render(berlin)
        assert writer_of(told, "short")(make_report(), UTC)["blocks"][1]["text"]["text"] == "*weekly-planning*"
        assert writer_of(told, "slack") is message

    def test_a_bad_one_is_named_by_its_destination(self, sandbox: Sandbox, tmp_path: Path) -> None:
        bad = settings_with_plan(
            sandbox,
            tmp_path,
            '[destinations.short]\nkind = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\ntemplate = "{{ nothing }}"\n',
        )
        (problem,) = template_problems(bad)
        assert problem.startswith("DESTINATIONS_FILE: destinations.short.template: line 1: uses something")

    def test_an_empty_one_is_seen_by_every_process(self, sandbox: Sandbox, tmp_path: Path) -> None:
        empty = settings_with_plan(
            sandbox, tmp_path, '[destinations.short]\nkind = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\ntemplate = ""\n'
        )
        assert empty.has_templates
        assert template_problems(empty) == ["DESTINATIONS_FILE: destinations.short.template: it is empty"]

    def test_a_file_that_is_away(self, sandbox: Sandbox, tmp_path: Path) -> None:
        with pytest.raises(SettingsError) as caught:
            settings_with_plan(
                sandbox,
                tmp_path,
                f'[destinations.short]\nkind = "slack"\nurl = "env:SLACK_WEBHOOK_URL"\ntemplate = "file:{CANARY}"\n',
            )
        (problem,) = caught.value.problems
        assert "destinations.short.template: the file that it names cannot be read (No such file" in problem
        assert CANARY not in problem


def settings_with_plan(sandbox: Sandbox, tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "destinations.toml"
    path.write_text(text)
    return load({**sandbox.environment(), "DESTINATIONS_FILE": str(path)})


class TestSending:
    def test_one_that_fails_leaves_the_built_in_message_and_a_line_in_the_log(
        self, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        fragile = with_template(sandbox, tmp_path, "{{ 10 / ((data.derived.people or 1) - 7) }}")
        report = make_report(summary_with(unique_participants=7, unique_participant_identities=7))
        assert template_problems(fragile) == []
        write = writer_of(fragile, "slack")
        with capture_logs() as logged:
            assert [write(report, UTC) for _ in range(2)] == [message(report)] * 2
        assert [line["failures"] for line in logged] == [1, 2]
        assert logged[0]["event"] == "template_failed"
        assert logged[0]["problem"] == "line 1: divides by nought"
        assert (logged[0]["destination"], logged[0]["room_sid"]) == ("slack", ROOM_SID)

    @pytest.mark.parametrize("name", ["slack", "slack_app"])
    def test_what_arrives_is_what_the_template_makes(self, sandbox: Sandbox, tmp_path: Path, name: str) -> None:
        told = with_template(sandbox, tmp_path, "*{{ data.room_name }}* is over", **sandbox.slack_app_environment)
        transport = make_transport(told)
        build(told, transport)[name].send(make_report(), Delivery("msg_RM1_slack_0", 1, datetime.now(UTC)))
        transport.close()
        (arrived,) = sandbox.slack.messages() if name == "slack" else sandbox.slack_api.messages()
        assert "weekly-planning is over" in render(arrived)

    def test_header_sid_and_link_stay(self, sandbox: Sandbox, tmp_path: Path) -> None:
        payload = writer_of(with_template(sandbox, tmp_path, "hello"), "slack")(make_report(), UTC)
        built_in = message(make_report())
        assert payload["blocks"][0] == built_in["blocks"][0]
        assert payload["blocks"][-1] == built_in["blocks"][-1]
        assert payload["text"] == built_in["text"]
        assert payload["blocks"][1]["text"] == {"type": "mrkdwn", "text": "hello", "verbatim": True}
        assert len(payload["blocks"]) == 3
