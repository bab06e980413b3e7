"""The tests: real sockets, a real Redis-protocol server, real gunicorn and worker processes."""
