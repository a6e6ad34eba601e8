"""Where jobs live: the only package that speaks Redis."""
