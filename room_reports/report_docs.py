"""Writes what is documented about reports from the code: `python -m room_reports.report_docs` makes the files anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from config.thresholds import Thresholds
from room_reports.digests import RoomDigest
from room_reports.reports import LARGEST, RoomReport
from room_reports.verdicts import RULES

DOCS = Path(__file__).parents[1] / "docs"


def schema() -> str:
    """`docs/report.schema.json`: the JSON Schema of a report."""
    return _document(RoomReport)


def guide() -> str:
    """`docs/report.md`: every field in a table."""
    return _HEADING + "\n".join(_rows(RoomReport, "")) + "\n"


def digest_schema() -> str:
    """`docs/digest.schema.json`: the JSON Schema of a digest."""
    return _document(RoomDigest)


def digest_guide() -> str:
    """`docs/digest.md`: every field of it in a table."""
    return _DIGEST + "\n".join(_rows(RoomDigest, "")) + "\n"


def verdicts() -> str:
    """`docs/verdicts.md`: every rule, and every threshold."""
    rules = (
        f"| `{rule.code}` | {rule.severity} | {rule.meaning} | {', '.join(f'`{name}`' for name in rule.thresholds)} |"
        for rule in RULES
    )
    thresholds = (
        f"| `{name}` | {field.default:.10g} | {field.description} |" for name, field in Thresholds.model_fields.items()
    )
    return _RULES + "\n".join(rules) + "\n" + _THRESHOLDS + "\n".join(thresholds) + "\n"


def _document(model: type[BaseModel]) -> str:
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode="serialization"),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    properties = model.model_json_schema(mode="serialization")["properties"]
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner = _model_in(field.annotation)
        description = field.description or (inner.__doc__ if inner else None) or ""
        first = description.split("\n\n")[0].replace("\n", " ")
        yield f"| `{path}` | {_type_of(properties[name])} | {first} |"
        if inner is not None:
            many = "[]" if _type_of(properties[name]).startswith("list") else ""
            yield from _rows(inner, f"{path}{many}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone, in a tuple or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _type_of(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type_of(one) for one in schema["anyOf"])
    if schema.get("format") == "date-time":
        return "time"
    return {"array": "list"}.get(kind := str(schema.get("type", "object")), kind)


_HEADING = f"""\
# The report

What is posted to `REPORT_WEBHOOK_URL` when a room has ended: JSON of at most {LARGEST // 1000} kB, signed as
[Standard Webhooks](https://www.standardwebhooks.com) has it, checkable with [the JSON Schema](report.schema.json).
Times are ISO 8601 in UTC. Fields may be added; ignore those you do not know. The verdicts have
[a page of their own](verdicts.md).

Drop repeats by the header `webhook-id`, which is the same for every attempt of one delivery: when your answer does not
reach us, the report comes again. Two signatures come while the secret is rotated; a signature is good for five minutes.
The order of reports is not guaranteed.

Answer any 2xx when you have it. 401, 403 or 404 holds your reports, and one is tried now and then; 410 holds them until
an operator resumes. Any other 3xx or 4xx gives that report up, except 408, 425 and 429; after these, 5xx and a broken
connection it is tried again for five days (`DELIVERY_DEADLINE`), with growing pauses.

When Twilio or another destination is held, a payload of type `room_reports.held` comes, with `data` of `lane` (who is
held), `reason`, `detail` and `heals` (whether it goes on by itself). Where `DIGEST_AT` is set, a payload of type
`room.digest` comes once a day: [the digest](digest.md).

| field | type | meaning |
|---|---|---|
"""

_DIGEST = """\
# The digest

What the rooms of a day came to, posted to `REPORT_WEBHOOK_URL` once a day where `DIGEST_AT` is set: signed like
[a report](report.md), told from it by its `type`, checkable with [the JSON Schema](digest.schema.json). `flask digest
--json` shows the same.

A room belongs to the day (UTC) on which it ended. The counts hold every room that was reported, and are kept for 400
days; single rooms are listed as long as they are remembered (`RETENTION`), and if they were heard of within a day. They
have no name for a destination whose `fields` leave out `room_name`.

It comes again when your answer does not reach us, with the same `webhook-id`: `msg_digest_`, the day, the name of the
destination, and a number that is 1 until an operator has it sent again.

| field | type | meaning |
|---|---|---|
"""

_RULES = """\
# Verdicts

What a report says an operator should notice. A verdict is right or absent: a rule whose figures are missing says
nothing, and none takes a nought from a summary that Twilio had not completed. `info` is for the record, `notice` is
worth a look, `warning` means that something is likely wrong; Slack shows notices and warnings.

| code | severity | when | thresholds |
|---|---|---|---|
"""

_THRESHOLDS = """
## Thresholds

`VERDICT_THRESHOLDS=many_rejoins=10,at_capacity_share=0.9` changes these two and leaves the others. A very large one
silences its rule; a rule with two speaks when both are reached.

| name | default | what counts |
|---|---|---|
"""


if __name__ == "__main__":
    (DOCS / "report.schema.json").write_text(schema(), encoding="utf-8")
    (DOCS / "report.md").write_text(guide(), encoding="utf-8")
    (DOCS / "digest.schema.json").write_text(digest_schema(), encoding="utf-8")
    (DOCS / "digest.md").write_text(digest_guide(), encoding="utf-8")
    (DOCS / "verdicts.md").write_text(verdicts(), encoding="utf-8")
