"""The receiving path, over real sockets against a running gunicorn."""
