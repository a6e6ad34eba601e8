"""What goes out, as msgspec structs: what several resources answer."""
