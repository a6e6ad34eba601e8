"""What a job is: its states, its limits, how a run may end and what happens then. No input or output."""
