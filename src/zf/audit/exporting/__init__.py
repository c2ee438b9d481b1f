"""A verified run as something to hand over: an archive, a BagIt bag, an RO-Crate."""
