"""Running the service on one machine: the embedded server, the demo, `make run`, and what the README says of them."""
