"""What Slack's own models say of a message that we build without them."""

from __future__ import annotations

from typing import Any

from slack_sdk.models.blocks import Block

MOST_BLOCKS = 50


def checked(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload, after slack_sdk has parsed each of its blocks, validated it and written it out again, the same.

    Raises `SlackObjectFormationError`, or `AssertionError` for what the models know no name for.
    """
    written = payload.get("blocks", [])
    assert len(written) <= MOST_BLOCKS
    parsed = [block for one in written if (block := Block.parse(one)) is not None]
    for block in parsed:
        block.validate_json()
    assert [block.to_dict() for block in parsed] == written
    return payload
