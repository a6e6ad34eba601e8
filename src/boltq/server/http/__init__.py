"""What every call needs between the socket and its answer: bounds, guard, login, bodies, queries, problems."""
