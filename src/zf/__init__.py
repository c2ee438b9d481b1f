"""zf: a DAG task runner whose every run leaves a proof an auditor can check without trusting it."""

__version__ = "0.1.0"
