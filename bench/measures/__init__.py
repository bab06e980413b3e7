"""The measurements, one module each. Every one takes a workbench and leaves figures on it."""
