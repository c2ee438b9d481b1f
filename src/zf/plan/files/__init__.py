"""Which files a project has and what each of them says: read, checked by its form."""
