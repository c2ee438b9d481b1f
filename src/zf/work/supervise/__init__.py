"""A worker's children: found, measured, ended, and proven to be gone."""
