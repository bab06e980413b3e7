"""Errors and traces, against servers that speak what Sentry and a collector speak."""
