"""Detectors beside those of other libraries, on ADBench and OddBench."""
