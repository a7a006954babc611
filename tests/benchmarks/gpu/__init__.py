"""What needs an NVIDIA GPU, in two halves of a few minutes each."""
