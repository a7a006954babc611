"""The largest memory of a server of one bundle, and its rates beside another commit's."""
