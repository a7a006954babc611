"""What manifests say: of flows, of tables, of detectors."""
