"""Devices, sessions and CPUs."""
