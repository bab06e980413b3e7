"""Faults of processes and of Redis, with real processes on a real server. `bNN` is the row of the fault table."""
