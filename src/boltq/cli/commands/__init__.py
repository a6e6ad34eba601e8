"""One file a command: `boltq COMMAND` loads it when it is called."""
