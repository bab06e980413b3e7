"""The settings of a run."""

from __future__ import annotations

PUBLIC_URL = "http://reports.example.com"
CALLBACK_PATH, EVENTS_PATH = "/twilio/rooms", "/twilio/events"

METRICS_TOKEN = "chaos-token-of-the-scrapes"

VARIABLES = {
    "METRICS_TOKEN": METRICS_TOKEN,
    "PUBLIC_BASE_URL": PUBLIC_URL,
    "WEB_CONCURRENCY": "2",
    "WORKER_THREADS": "16",
    "SUMMARY_WAITS": "0.3,0.6,1",
    "DELIVERY_WAITS": "0.3,0.6,1",
    "HTTP_CONNECT_TIMEOUT": "1",
    "HTTP_READ_TIMEOUT": "1.5",
    "HTTP_TOTAL_TIMEOUT": "1.5",
    "STEP_LEASE": "5",
    "DISPATCH_EVERY": "0.2",
    "SHUTDOWN_GRACE": "5",
    "SLACK_RATE": "0",
    # Off, for it would hide what it repairs: a row that was promised and lost.
    "RECONCILE_EVERY": "0",
}
"""Short waits, so that everything happens often; deadlines stay long, so that nothing is given up."""
