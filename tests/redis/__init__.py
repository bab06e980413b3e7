"""The kinds of Redis a company runs, each with the whole service on it."""
