"""The machine that tries to lose or repeat a report: `python -m tests.chaos --rooms 10000 --seed 1`.

Real processes on a real Redis-protocol server; while rooms end at a steady rate, workers, webs and the server are
killed and stopped, and Twilio and the destinations go away and come back, all from one seed. Then the history is
judged (`judge`).
"""
