"""The verbs, a module for each family: parse, one call, print, an exit code."""
