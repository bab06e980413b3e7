"""The page for operators, over HTTP, against a real web process and a real Valkey."""
