"""The one seam for HTTP out: whatever goes wrong beyond it arrives here as one of `room_reports.errors`.

What it promises for every request:

- **It ends.** `connect_timeout` bounds DNS, connecting and the TLS handshake each, `read_timeout` every silence,
  `total_timeout` the whole. Reading from a socket only knows silences, and a reply that drips a byte a second is never
  silent; so the sockets here cut every wait to what is left of the total, in headers and body alike.
- **It is bounded.** At most `max_bytes` of body, counted after decompression.
- **It goes where it was sent.** Redirects are not followed, certificates always verified, cookies never kept, and the
  environment is not read. A host is resolved once and the address that was checked is the one connected to, so a name
  cannot be public for the check and private for the connection. Behind a proxy it is the proxy that resolves and
  connects; there, only the check at start remains (`room_reports.addresses`).
- **It is not repeated**, but for a GET on a kept connection that the other side has just closed. The same could be done
  for a POST only if the other side were known not to have acted on it.
- **It tells nothing.** Errors name the host and never the path, which may be a secret.

Requests are handed to an adapter of requests rather than its session, and the adapter hands them to connections of
urllib3 rather than its pool's `urlopen`: three quarters of the CPU of a small exchange would go into settings, cookies,
redirects and retries that are all off here. What writes a request and reads a reply is `http.client`, as ever.
"""

from room_reports.transport.responses import Response, parse_retry_after, raise_for_status
from room_reports.transport.transport import Transport, redact_url

__all__ = ["Response", "Transport", "parse_retry_after", "raise_for_status", "redact_url"]
