"""Tests of the commands at the terminal."""
