"""The routes of the page: signing in and out, the rooms, one room, the figures, resend and resume."""

from __future__ import annotations

import hmac
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import structlog
from flask import Blueprint, Response, abort, flash, g, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from room_reports.callbacks import ROOM_SID
from room_reports.ledger import LedgerUnavailable, Room
from room_reports.story import can_be_resent, deliveries_of
from room_reports.web.ops import listing, wording
from room_reports.web.ops.days import day_page
from room_reports.web.ops.desk import Desk, Patience
from room_reports.web.ops.figures import figures
from room_reports.web.ops.overview import overview
from room_reports.web.ops.room import room_page
from room_reports.web.ops.sessions import came_from_our_form, csrf_token, is_signed_in, sign_in, sign_out
from room_reports.web.verifying import forwarded
from room_reports.words import count_of

OPEN_TO_ALL = frozenset({"ops.static", "ops.ask_to_sign_in", "ops.take_password"})

EARLIEST = date(2010, 1, 1)
"""No room is older."""

_OWN_PATH = re.compile(r"/(?:[A-Za-z0-9?=&%+._~-][A-Za-z0-9/?=&%+._~-]*)?")

log = structlog.get_logger(__name__)


def add_to(blueprint: Blueprint, desk: Desk) -> None:
    """Adds the routes, what stands in front of all of them, and what is shown when one fails."""
    blueprint.before_request(lambda: check(desk))
    known = {"csrf_token": csrf_token, "wording": wording, "count_of": count_of}
    blueprint.context_processor(lambda: {**known, "now": datetime.now(UTC)})
    blueprint.register_error_handler(LedgerUnavailable, show_unavailable)
    blueprint.register_error_handler(HTTPException, show_refusal)
    blueprint.register_error_handler(Exception, show_fault)
    add_signing_in(blueprint, desk)
    add_reading(blueprint, desk)
    add_acting(blueprint, desk)


def check(desk: Desk) -> AnyResponse | None:
    """Lets through who is signed in, and of forms only our own."""
    if request.endpoint not in OPEN_TO_ALL and not is_signed_in(desk.ledger.sign_ins):
        wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(url_for("ops.ask_to_sign_in", next=None if wanted == "/" else wanted), 303)
    if request.method == "POST" and not came_from_our_form():
        abort(400)
    return None


def add_signing_in(blueprint: Blueprint, desk: Desk) -> None:
    """Routes for those who are not signed in yet, and the way out."""

    @blueprint.get("/login")
    def ask_to_sign_in() -> str:
        return sign_in_form()

    @blueprint.post("/login")
    def take_password() -> AnyResponse:
        client = client_of(desk)
        if wait := desk.ledger.sign_ins.wait(client, is_known=desk.known.knows()):
            note(desk, "sign-in refused: too many tries", remote=client)
            refusal = make_response(sign_in_form(wait=wait), 429)
            refusal.headers["Retry-After"] = str(int(wait) + 1)
            return refusal
        given = request.form.get("password", "").encode()
        if not hmac.compare_digest(given, desk.password.encode()):
            note(desk, "sign-in refused: wrong password", remote=client)
            return make_response(sign_in_form(is_wrong=True), 403)
        desk.ledger.sign_ins.forgive(client)
        sign_in(desk.ledger.sign_ins)
        log.info("signed in to the page", remote=client, request_id=g.get("request_id"))
        response = redirect(own_path(request.form.get("next", "")), 303)
        desk.known.remember(response)
        return response

    @blueprint.post("/logout")
    def leave() -> AnyResponse:
        sign_out(desk.ledger.sign_ins)
        return redirect(url_for("ops.ask_to_sign_in"), 303)


def sign_in_form(*, is_wrong: bool = False, wait: float = 0) -> str:
    """The form, with what went wrong with the try before."""
    wanted = own_path(request.values.get("next", ""))
    return render_template("login.html", next=wanted, is_wrong=is_wrong, wait=wait)


def own_path(path: str) -> str:
    """A path of this host, `/` for anything that might lead elsewhere."""
    return path if _OWN_PATH.fullmatch(path) else "/"


def client_of(desk: Desk) -> str:
    """The address of who asks, as far as the trusted proxies tell."""
    return forwarded(request.environ, "FOR", desk.trusted_proxies) or request.remote_addr or "unknown"


def note(desk: Desk, event: str, **facts: Any) -> None:
    """Logs a refusal, thinned out in a flood."""
    if seen := desk.tally.count(event):
        log.warning(event, **facts, request_id=g.get("request_id"), so_far=seen)


def add_reading(blueprint: Blueprint, desk: Desk) -> None:
    """Routes that show something."""

    @blueprint.get("/")
    def show_rooms() -> AnyResponse | str:
        patience = Patience()
        query = listing.query_of(request.args, desk.destinations)
        if ROOM_SID.fullmatch(query.text) and patience.ask(lambda: desk.ledger.room(query.text)):
            return redirect(url_for("ops.show_room", sid=query.text), 303)
        state = overview(desk, patience)
        return render_template(
            "rooms.html",
            overview=state,
            rooms=listing.rooms(desk, patience, query, [held.hold for held in state.held]),
            query=query,
            destinations=desk.destinations,
            kinds=desk.kinds,
            verdicts=listing.VERDICTS,
        )

    @blueprint.get("/rooms/<sid>")
    def show_room(sid: str) -> str:
        patience = Patience()
        room = found(desk, patience, sid)
        holds = patience.ask(desk.ledger.holds)
        return render_template("room.html", page=room_page(desk, room, holds))

    @blueprint.get("/figures")
    def show_figures() -> str:
        return render_template("figures.html", figures=figures(desk, Patience()))

    @blueprint.get("/days")
    def show_yesterday() -> AnyResponse:
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        return redirect(url_for("ops.show_day", day=yesterday), 303)

    @blueprint.get("/days/<day>")
    def show_day(day: str) -> str:
        return render_template("day.html", page=day_page(desk, Patience(), day_of(day)))


def day_of(text: str) -> date:
    """The day, `YYYY-MM-DD`. Ends the request when it is none, or has not come yet."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        abort(404)
    if day > datetime.now(UTC).date() or day < EARLIEST:
        abort(404)
    return day


def found(desk: Desk, patience: Patience, sid: str) -> Room:
    """The room. Ends the request when there is none."""
    room = patience.ask(lambda: desk.ledger.room(sid)) if ROOM_SID.fullmatch(sid) else None
    if room is None:
        abort(404)
    return room


def add_acting(blueprint: Blueprint, desk: Desk) -> None:
    """Routes that do something; each is told in the log, with who asked."""

    @blueprint.post("/rooms/<sid>/resend")
    def resend(sid: str) -> AnyResponse | str:
        patience = Patience()
        room = found(desk, patience, sid)
        name = request.form.get("destination", "")
        step = deliveries_of(room, configured=desk.destinations).get(name)
        if step is None:
            abort(400)
        if not can_be_resent(step):
            flash(f"The delivery to {name} is under way already: nothing was resent.")
        elif step.state == "delivered" and request.form.get("confirmed") != "yes":
            return render_template("confirm.html", room=room, step=step, kind=desk.kinds[name])
        elif desk.ledger.resend(sid, [name], who=who(desk)):
            log.info("resend asked for", room_sid=sid, step=name, who=who(desk), request_id=g.get("request_id"))
            held = {hold.lane for hold in patience.ask(desk.ledger.holds)}
            flash(f"Resending to {name}{', when its hold ends' if name in held else ''}.")
        else:
            flash("Nothing was resent: somebody else has just done it.")
        return redirect(url_for("ops.show_room", sid=sid), 303)

    @blueprint.post("/holds/<lane>/resume")
    def resume(lane: str) -> AnyResponse:
        patience = Patience()
        waiting = patience.ask(desk.ledger.due)
        if lane not in waiting:
            abort(400)
        if desk.ledger.resume(lane):
            log.info("resume asked for", lane=lane, who=who(desk), request_id=g.get("request_id"))
            flash(f"{lane} is resumed: {count_of(waiting[lane][0], 'unfinished step')} will go on.")
        else:
            flash(f"{lane} was not held.")
        return redirect(url_for("ops.show_rooms"), 303)


def who(desk: Desk) -> str:
    """Who acts, as the ledger remembers it."""
    return f"ops page, {client_of(desk)}"


def show_unavailable(error: LedgerUnavailable) -> Response:
    """Redis is away, slow, or refuses us."""
    log.warning("page not shown: redis", reason=error.reason, request_id=g.get("request_id"))
    response = make_response(render_template("unavailable.html", reason=error.reason, again=again()), 503)
    response.headers["Retry-After"] = "5"
    return response


def again() -> str:
    """Where to try again: what was asked for, if asking for it does nothing."""
    if request.method != "GET":
        return "/"
    return request.path + (f"?{urlencode(list(request.args.items(multi=True)))}" if request.args else "")


def show_refusal(error: HTTPException) -> AnyResponse:
    """What is not there, or not allowed."""
    if error.code == 400 and request.endpoint == "ops.take_password":
        return make_response(render_template("login.html", next="/", is_stale=True), 400)
    response = make_response(render_template("refused.html", code=error.code), error.code or 500)
    response.headers.update({name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")})
    return response


def show_fault(error: Exception) -> Response:
    """A fault of ours: told in the log alone."""
    log.error("page failed unexpectedly", path=request.path, request_id=g.get("request_id"), exc_info=error)
    return make_response(render_template("refused.html", code=500), 500)
