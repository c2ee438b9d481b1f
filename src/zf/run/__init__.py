"""DECIDE: the loop and the rules that turn a plan into starts, kills and an outcome."""
