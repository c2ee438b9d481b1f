"""The front door: what every verb shares, and the words it is told by; `verbs` has the verbs."""
