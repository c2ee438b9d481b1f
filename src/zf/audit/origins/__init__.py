"""Where results and instances come from that the plan of the run did not say."""
