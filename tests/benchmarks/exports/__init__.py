"""Time and memory of exports."""
