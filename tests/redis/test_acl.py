"""A user that may do no more than docs/redis.md says."""

from __future__ import annotations

import re
from typing import cast

from tests.redis.conftest import Serve
from tests.support.processes import ROOT
from tests.support.servers import RedisServer

PASSWORD = "password-of-the-user"


def documented_rule() -> list[str]:
    found = re.search(r"^ACL SETUSER (.*)$", (ROOT / "docs/redis.md").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].replace("PASSWORD", PASSWORD).split()


def test_documented_user_is_enough_and_reaches_nothing_else(serve: Serve, engine: RedisServer) -> None:
    user, *rule = documented_rule()
    with engine.client() as admin:
        admin.flushall()
        admin.set("someone-elses", "x")
        admin.acl_log_reset()
        admin.execute_command("ACL", "SETUSER", user, *rule)
        try:
            serve({"REDIS_URL": engine.tcp_url.replace("redis://", f"redis://{user}:{PASSWORD}@")})
            refused = {entry["object"] for entry in cast(list[dict[str, str]], admin.acl_log())}
            assert refused <= {"config|get", "config"}, "only whether it takes snapshots is asked in vain"
            for words in (("GET", "someone-elses"), ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "SET", "save", "")):
                answer = str(admin.execute_command("ACL", "DRYRUN", user, *words))
                assert "has no permissions" in answer or "no permissions" in answer, (words, answer)
        finally:
            admin.acl_deluser(user)
