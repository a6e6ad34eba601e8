"""What `boltq workflow` is made of: submitting, acting, and the picture of the graph."""
