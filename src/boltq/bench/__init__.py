"""What `boltq bench` measures: a server, real processes, jobs that do nothing, all duties on."""
