"""Room Reports: every ended Twilio Video room reported once, enriched, in Slack and at a signed webhook."""

__version__ = "0.1.0"
