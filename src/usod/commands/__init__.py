"""The verbs of the command line: files in, files out. Each module is one group; heavy imports wait for the call."""
