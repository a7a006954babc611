"""The gRPC room."""
