"""`flask signature`: given a request that was refused, why does its signature not verify?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import click

from config.loading import load_or_exit
from room_reports.signatures import HINTS, SignedParts, diagnose, verify
from room_reports.words import clean

Params = Mapping[str, Sequence[str]]


@click.command(
    epilog="""\b
Examples:
  flask signature --url https://reports.example.com/twilio/rooms \\
      --form 'RoomSid=RM…&RoomStatus=completed' --signature 'RSOYDt4T1cUTdK1PDd93/VVr8B8='
  flask signature --url 'https://reports.example.com/twilio/rooms?RoomSid=RM…' --signature '…'   (a GET)
Twilio's Console shows URL, parameters and headers of a failed callback under Monitor > Errors."""
)
@click.option("--url", required=True, help="The URL as the service saw it, or as it is configured at Twilio.")
@click.option("--signature", required=True, help="The header X-Twilio-Signature.")
@click.option("--form", "body", help="The raw body of the request: name=value&name=value, percent-encoded.")
@click.option("--param", "pairs", multiple=True, metavar="NAME=VALUE", help="One decoded parameter; repeatable.")
@click.option("--settings", "header", help="The header X-Twilio-Webhooks-Signature-Settings, if there was one.")
@click.option("--ask-token", is_flag=True, help="Ask for another auth token to try, such as a subaccount's.")
def signature(
    url: str, signature: str, body: str | None, pairs: tuple[str, ...], header: str | None, ask_token: bool
) -> None:
    """Say why the signature of a request does not verify.

    Tries the auth tokens of the settings with the URL as given, and then with other schemes, ports, hosts, slashes and
    escapes, and the parameters with other white space. Exit code 0: it verifies as it is.
    """
    settings = load_or_exit()
    tokens = {
        f"entry {number} of {f'accounts.{name}.auth_token' if name else 'TWILIO_AUTH_TOKEN'}": token
        for name, account in settings.accounts.items()
        for number, token in enumerate(account.tokens, start=1)
    }
    if ask_token:
        tokens["the token that you entered"] = click.prompt("Auth token", hide_input=True)
    signed = SignedParts(url, parameters(body, pairs), signature.strip(), header)
    verifies, sentence = find(tokens, signed, public=settings.public_base_url)
    click.echo(clean(sentence), err=not verifies)
    sys.exit(0 if verifies else 1)


def parameters(body: str | None, pairs: Sequence[str]) -> Params:
    """The parameters of a form, each with all its values; none for a GET."""
    if body is not None and pairs:
        raise click.UsageError("give the form either as --form or as --param, not both")
    params: dict[str, list[str]] = {}
    if body is not None:
        for name, value in parse_qsl(body.strip(), keep_blank_values=True):
            params.setdefault(name, []).append(value)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{clean(pair, 40)!r} is not NAME=VALUE", param_hint="--param")
        params.setdefault(name, []).append(value)
    return params


def find(tokens: Mapping[str, str], signed: SignedParts, *, public: str | None) -> tuple[bool, str]:
    """Whether it verifies as it is, and a sentence about it. `tokens` by where they come from."""
    for place, token in tokens.items():
        if verify([token], signed):
            return True, f"It verifies, with {place}."
    secrets = list(tokens.values())
    for explanation, url in nearby_urls(signed.url, public):
        if verify(secrets, replace(signed, url=url)):
            return False, f"It was signed for {url}: {explanation}."
    cause = diagnose(secrets, signed, other_hosts=other_hosts(signed.url, public))
    if cause == "mismatch":
        for explanation, params in nearby_forms(signed.params):
            if verify(secrets, replace(signed, params=params)):
                return False, f"The URL and the token are right, but {explanation}."
    return False, f"It does not verify: {HINTS[cause]}."


def nearby_urls(url: str, public: str | None) -> Iterator[tuple[str, str]]:
    """URLs that are often signed instead of this one, and what to do when one of them was."""
    parts = urlsplit(url)
    if "#" in url:
        yield "Twilio leaves out what follows #, so leave it out here", url.partition("#")[0]
    if public is not None:
        base = public + parts.path + (f"?{parts.query}" if parts.query else "")
        yield "that is PUBLIC_BASE_URL, so the settings are right and the URL given here is not what is checked", base
    host = parts.hostname or ""
    for scheme in ("https", "http"):
        for port in ("", ":80", ":443", ":8000", ":8080", ":8443"):
            near = parts._replace(scheme=scheme, netloc=f"{host}{port}").geturl()
            if near == url:
                continue
            if scheme != parts.scheme and port in ("", f":{parts.port}"):
                yield "the scheme differs, set PUBLIC_BASE_URL (or TRUSTED_PROXIES) so that the service knows", near
            else:
                yield "the port differs, set PUBLIC_BASE_URL to scheme, host and port as configured at Twilio", near


def other_hosts(url: str, public: str | None) -> list[str]:
    """Other hosts that may have been signed."""
    name = urlsplit(url).netloc
    toggled = name.removeprefix("www.") if name.startswith("www.") else f"www.{name}"
    return [toggled, *([urlsplit(public).netloc] if public else [])]


def nearby_forms(params: Params) -> Iterator[tuple[str, Params]]:
    """What middlemen make of forms, undone."""
    yield (
        "the signature covers no parameters: the request was a GET, or its body was not a form",
        {},
    )
    stripped = {name: [value.strip() for value in values] for name, values in params.items()}
    yield "the values here have white space around them that was not signed", stripped
    spaced = {name: [value.replace("+", " ") for value in values] for name, values in params.items()}
    yield "the values here have + where a space was signed: decode the form", spaced
    plus = {name: [value.replace(" ", "+") for value in values] for name, values in params.items()}
    yield "the values here have spaces where + was signed: encode + as %2B in --form", plus
    filled = {name: values for name, values in params.items() if any(values)}
    yield "the empty parameters here were not signed", filled
    for name in params:
        rest = {other: values for other, values in params.items() if other != name}
        yield f"the parameter {clean(name, 40)!r} was added after signing", rest
