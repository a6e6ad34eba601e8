"""What a workflow is: a form, what it compiles to, and the rules by which its steps run. No I/O."""
