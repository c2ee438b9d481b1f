"""What tasks measure of themselves: metrics, the usage of language models, and budgets of both."""
