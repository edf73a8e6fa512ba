"""The verbs of the command line: files in, files out; heavy imports wait for the call.

`usod VERB` is in VERB.py; `usod GROUP VERB` in GROUP.py or, where a group is a folder, in GROUP/VERB.py. A group is a
folder where its verbs share little: a rule of the workflow then depends on the code of its own verb alone.
"""
