"""A fake Twilio, a fake Slack and a downstream receiver: real servers on loopback, with faults.

Used by the demo, the tests, the benchmarks and the chaos run; `python -m sandbox` runs it, `sandbox.client` drives it.
"""
