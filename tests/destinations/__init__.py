"""Destinations against real sockets: what they send, and what follows from each answer."""
