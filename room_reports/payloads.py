"""Other forms of what a webhook gets: parts of a report, and the envelope of CloudEvents. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from room_reports.reports import LARGEST, RoomReport

EVENT_TYPES: Mapping[str, str] = {
    "room.report": "com.room-reports.room.report",
    "room.digest": "com.room-reports.room.digest",
    "room_reports.held": "com.room-reports.held",
}
"""The CloudEvents type for each type of ours."""

CLOUD_EVENT = "application/cloudevents+json"

ALWAYS = ("schema_version", "room_sid", "left_out")
"""The parts of a report's data that no choice leaves out."""


def part_of(report: RoomReport, fields: Sequence[str]) -> bytes:
    """The report with only these parts of its `data`, each `name` or `name.field`; all of it for none.

    It is shortened only if what was chosen is too long.
    """
    if not fields:
        return report.to_json()
    body = _chosen(report.model_dump_json(), fields)
    return body if len(body) <= LARGEST else _chosen(report.to_json(), fields)


def _chosen(body: str | bytes, fields: Sequence[str]) -> bytes:
    document = json.loads(body)
    whole = document["data"]
    # One level down: that is where what one might not want to pass on is told apart.
    within: dict[str, set[str]] = {}
    for field in fields:
        name, _, inner = field.partition(".")
        within.setdefault(name, set()).add(inner)
    document["data"] = {
        name: value if name in ALWAYS or "" in within[name] else _inner(value, within[name])
        for name, value in whole.items()
        if name in ALWAYS or name in within
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _inner(value: Any, names: set[str]) -> Any:
    """What is chosen of a part that is an object; another one is null or a list, and goes whole."""
    return {name: field for name, field in value.items() if name in names} if isinstance(value, dict) else value


def cloud_event(body: bytes, *, event_id: str, source: str) -> bytes:
    """A payload of ours as a CloudEvent in structured mode.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md. `source` is a URI reference; together with
    `event_id` it tells repeats of an event from another event.
    """
    payload = json.loads(body)
    data = payload["data"]
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": EVENT_TYPES[payload["type"]],
        # A hold is about no room.
        **({"subject": data["room_sid"]} if "room_sid" in data else {}),
        "time": payload["timestamp"],
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
