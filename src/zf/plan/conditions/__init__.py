"""The language of conditions: parsed, evaluated, explained."""
