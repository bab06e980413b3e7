"""What the tests of the transport talk to."""
